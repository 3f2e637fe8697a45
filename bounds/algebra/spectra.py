"""Rigorous enclosures of eigenvalues, of rational matrices and of matrices of balls."""

from __future__ import annotations

from typing import Any

import flint
from flint import arb, arb_mat, fmpq, fmpq_mat

from icgd.bounds.algebra.ring_matrices import Matrix

_PRECISION = 320


def exact_gram(x: fmpq_mat) -> fmpq_mat:
    """(1/n) sum_i x_i x_i^T for the n rows of x."""
    return x.transpose() * x * fmpq(1, x.nrows())


def eigenvalues(matrix: fmpq_mat) -> list[arb]:
    """Enclosures of all eigenvalues of a symmetric rational matrix, ascending, with multiplicity.

    Source: roots of the exact characteristic polynomial, isolated by Arb.

    >>> [float(value) for value in eigenvalues(fmpq_mat([[2, 1], [1, 2]]))]
    [1.0, 3.0]
    """
    with flint.ctx.workprec(_PRECISION):
        numerator, denominator = matrix.numer_denom()
        found: Any = numerator.charpoly().complex_roots()  # pairs of root and multiplicity
        roots = [root.real / denominator for root, multiplicity in found for _ in range(multiplicity)]
        return sorted(roots, key=float)


def extreme_eigenvalues(matrix: Matrix) -> tuple[arb, arb]:
    """Enclosures of the smallest and largest eigenvalue of a symmetric matrix of balls.

    Approximate eigenvalues serve as guesses, verified by Sylvester's law of inertia: the number of negative
    pivots of A - s I is the number of eigenvalues below s.

    >>> low, high = extreme_eigenvalues([[arb(2), arb(1)], [arb(1), arb(2)]])
    >>> low.contains(1) and high.contains(3)
    True
    """
    size = len(matrix)
    with flint.ctx.workprec(_PRECISION):
        # A Gershgorin disc contains every eigenvalue: the enclosure if no guess can be verified.
        radius = max((sum((abs(value) for value in row), arb(0)).upper() for row in matrix), key=float)
        middle = arb_mat([[value.mid() for value in row] for row in matrix])
        try:
            guesses = sorted((value.real.mid() for value in middle.eig(algorithm="approx")), key=float)
        except (ValueError, ZeroDivisionError):
            return arb(0, radius), arb(0, radius)

        def around(guess: arb, position: int) -> arb:
            width = abs(guess) * arb(2) ** -80 + radius * arb(2) ** -200
            for _ in range(8):
                below = negative_pivots(matrix, guess - width), negative_pivots(matrix, guess + width)
                if None not in below and below[0] <= position < below[1]:  # type: ignore[operator]
                    return arb(guess, width)
                width *= arb(2) ** 20
            return arb(0, radius)

        return around(guesses[0], 0), around(guesses[-1], size - 1)


def negative_pivots(matrix: Matrix, shift: arb) -> int | None:
    """The number of eigenvalues below `shift`, by L D L^T of the shifted matrix; None if a pivot may be 0."""
    rows = [[value - shift * (i == j) for j, value in enumerate(row)] for i, row in enumerate(matrix)]
    count = 0
    for k, pivots in enumerate(rows):
        pivot = pivots[k]
        if pivot.contains(0) or not pivot.is_finite():
            return None
        count += bool(pivot < 0)
        for i in range(k + 1, len(rows)):
            factor, row = rows[i][k] / pivot, rows[i]
            for j in range(i, len(rows)):  # the upper triangle alone
                row[j] -= factor * pivots[j]
            for j in range(i + 1, len(rows)):
                rows[j][i] = row[j]
    return count
