"""Exact algebra: expectations, definiteness and stationary points as polynomials and rationals."""
