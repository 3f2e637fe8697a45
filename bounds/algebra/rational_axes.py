"""Eigenvalues and eigenvectors of a symmetric matrix as rationals: exactly orthonormal, nearly the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import mpmath
import sympy

_DIGITS, _BITS = 50, 60

Axes = tuple[tuple[Fraction, ...], tuple[tuple[Fraction, ...], ...]]


def rational_axes(matrix: Sequence[Sequence[Fraction]]) -> Axes:
    """Rational eigenvalues v and a rational orthogonal R, in rows, with R diag(v) R^T near a symmetric one.

    A diagonal matrix is its own, exactly.  Else R is the Cayley transform of a rational antisymmetric matrix,
    rounded to 60 bits, so that R is exactly orthogonal and the product within 1e-15 of the matrix's size.

    >>> rational_axes([[Fraction(2), Fraction(0)], [Fraction(0), Fraction(1)]])[0]
    (Fraction(2, 1), Fraction(1, 1))
    """
    d = len(matrix)
    if all(matrix[i][j] == 0 for i in range(d) for j in range(d) if i != j):
        identity = tuple(tuple(Fraction(int(i == j)) for j in range(d)) for i in range(d))
        return tuple(matrix[i][i] for i in range(d)), identity
    with mpmath.workdps(_DIGITS):
        plain = mpmath.matrix([[mpmath.mpf(v.numerator) / v.denominator for v in row] for row in matrix])
        values, R = mpmath.eigsy(plain)
        signed = [R * mpmath.diag(list(signs)) for signs in product((1, -1), repeat=d)]
        R = max(signed, key=lambda one: abs(mpmath.det(one + mpmath.eye(d))))  # far from the eigenvalue -1
        K = (mpmath.eye(d) - R) * mpmath.inverse(mpmath.eye(d) + R)
        above = {(i, j): _rounded(K[i, j]) for i in range(d) for j in range(i + 1, d)}
        found = tuple(_rounded(value) for value in values)
    exact = sympy.zeros(d)
    for (i, j), value in above.items():
        exact[i, j] = sympy.Rational(value.numerator, value.denominator)
        exact[j, i] = -exact[i, j]
    turned = (sympy.eye(d) - exact) * (sympy.eye(d) + exact).inv()
    return found, tuple(tuple(Fraction(int(v.p), int(v.q)) for v in turned.row(i)) for i in range(d))


def _rounded(value: mpmath.mpf) -> Fraction:
    return Fraction(int(mpmath.nint(value * 2**_BITS)), 2**_BITS)
