"""Exact rationals in flint: floats and fractions as they are, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq, fmpq_mat


def to_flint(value: float | Fraction) -> fmpq:
    """The rational that a float, a whole number or a fraction is; raises OverflowError for inf.

    >>> to_flint(0.75)
    3/4
    """
    return fmpq(*value.as_integer_ratio())


def from_flint(value: fmpq) -> Fraction:
    """The same rational in Python."""
    return Fraction(int(value.p), int(value.q))


def exact_matrix(rows: Sequence[Sequence[float | Fraction]]) -> fmpq_mat:
    """The matrix of rationals that these numbers are."""
    return fmpq_mat([[to_flint(value) for value in row] for row in rows])
