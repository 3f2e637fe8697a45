"""The report as LaTeX and PDF."""
