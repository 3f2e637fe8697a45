"""One block of a transformer: its slots, heads and hidden units, and their literal matrices."""
