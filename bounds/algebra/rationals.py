"""Conversions of floats and fractions to exact rationals of flint, and back, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq, fmpq_mat


def to_flint(value: float | Fraction) -> fmpq:
    """The exact value of a float, an integer or a fraction; raises OverflowError for inf.

    >>> to_flint(0.75)
    3/4
    """
    return fmpq(*value.as_integer_ratio())


def from_flint(value: fmpq) -> Fraction:
    """The same rational in Python."""
    return Fraction(int(value.p), int(value.q))


def exact_matrix(rows: Sequence[Sequence[float | Fraction]]) -> fmpq_mat:
    """A matrix of the exact values of these numbers."""
    return fmpq_mat([[to_flint(value) for value in row] for row in rows])
