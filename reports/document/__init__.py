"""The data of a report, from which the LaTeX and HTML pages are made: its JSON document and named numbers."""
