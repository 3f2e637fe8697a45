"""The evidence that reproduces each finding: one function per finding, one module per subject."""
