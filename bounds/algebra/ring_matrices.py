"""Matrices over any ring (polynomials, rationals, integers), as rows of entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Ring: TypeAlias = Any
"""An element of a commutative ring: a flint polynomial, a flint rational, a Fraction, an int."""

Matrix: TypeAlias = Sequence[Sequence[Ring]]


def matrix_product(left: Matrix, right: Matrix) -> list[list[Ring]]:
    """left times right.

    >>> matrix_product([[1, 2]], [[3], [4]])
    [[11]]
    """
    return [[sum(x * right[k][j] for k, x in enumerate(row)) for j in range(len(right[0]))] for row in left]


def matrix_sum(left: Matrix, right: Matrix) -> list[list[Ring]]:
    """left plus right; raises ValueError where their shapes differ."""
    return [[x + y for x, y in zip(row, other, strict=True)] for row, other in zip(left, right, strict=True)]


def scaled(factor: Ring, matrix: Matrix) -> list[list[Ring]]:
    """Every entry times the factor."""
    return [[factor * value for value in row] for row in matrix]


def transposed(matrix: Matrix) -> list[list[Ring]]:
    """The columns of a matrix as rows."""
    return [list(column) for column in zip(*matrix, strict=True)]


def diagonal(values: Sequence[Ring], zero: Ring) -> list[list[Ring]]:
    """These values on the diagonal, and the ring's own 0 elsewhere."""
    return [[value if i == j else zero for j in range(len(values))] for i, value in enumerate(values)]
