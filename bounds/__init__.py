"""What a theorem promises: problems, claims and rigorous bounds, without torch."""
