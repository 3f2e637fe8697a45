"""What reproduces each finding: one function a finding, one module a subject."""
