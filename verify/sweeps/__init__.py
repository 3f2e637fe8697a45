"""Sweeps: a theorem on many problems, or one search in many parts, by many processes, into one table."""
