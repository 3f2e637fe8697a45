"""Transformers that keep the promise, built weight by weight."""
