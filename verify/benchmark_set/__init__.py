"""Instances for verifiers of neural networks: step errors whose worst cases are known by certificate."""
