"""Checks whether what was built keeps what the theorems promise: by sampling, attack and certificates."""
