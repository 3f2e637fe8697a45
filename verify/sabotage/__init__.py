"""Sabotage: damage that the verifier must catch."""
