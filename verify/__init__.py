"""Decides whether the promise is kept: sampling, attack and certificates."""
