"""Rational axes of symmetric matrices: exactly orthonormal, and nearly the matrix."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.algebra.rational_axes import rational_axes


@given(st.integers(1, 4), st.data())
def test_the_axes_are_orthonormal_and_give_the_matrix_back(d, data):
    entries = data.draw(st.lists(st.fractions(-3, 3, max_denominator=7), min_size=d * d, max_size=d * d))
    A = [[entries[min(i, j) * d + max(i, j)] for j in range(d)] for i in range(d)]
    values, R = rational_axes(A)
    assert [[sum(a * b for a, b in zip(r, s, strict=True)) for s in R] for r in R] == np.eye(d).tolist()
    size = max(1, *(abs(v) for row in A for v in row))
    for i in range(d):
        for j in range(d):
            found = sum(R[i][k] * values[k] * R[j][k] for k in range(d))
            assert abs(found - A[i][j]) <= size * Fraction(1, 10**15)
    if all(A[i][j] == 0 for i in range(d) for j in range(d) if i != j):
        assert list(values) == [A[k][k] for k in range(d)]
