"""The transformers of the theorems, built weight by weight."""
