"""Linear attention, held against exact expected losses and trained from random matrices."""
