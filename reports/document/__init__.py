"""The report as data: every number under its name, before any page shows it."""
