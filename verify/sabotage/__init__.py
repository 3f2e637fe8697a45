"""Sabotage: damaged transformers and forged certificates that the verifier must catch."""
