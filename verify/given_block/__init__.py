"""Judging a block that others built, from its literal matrices alone."""
