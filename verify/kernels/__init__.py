"""Judges attention kernels: prompts drawn for them, referees, and the family of functional descent."""
