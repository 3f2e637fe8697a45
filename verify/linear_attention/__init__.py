"""Judges linear attention: expected losses, contraction on given data, training from random matrices."""
