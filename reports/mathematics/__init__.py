"""Formulas, names and sources as mathematics that any page can show."""
