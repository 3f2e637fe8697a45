"""The figures of a report: drawing, style and captions."""
