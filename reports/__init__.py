"""Tells a person: LaTeX, figures and JSON."""
