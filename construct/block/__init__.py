"""One block of a transformer: slots, heads, hidden units, and the literal matrices of them all."""
