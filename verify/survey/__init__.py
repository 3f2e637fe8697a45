"""Surveys of the problems near a given one: how sizes and errors change with depth and tolerance."""
