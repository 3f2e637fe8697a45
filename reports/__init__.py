"""Reports for people: the command line's output, and audits as PDF, HTML and JSON."""
