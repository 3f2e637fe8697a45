"""Eigenvalues in ball arithmetic, by two methods and against numpy."""

import math

import numpy as np
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.rationals import exact_matrix
from icgd.bounds.algebra.spectra import eigenvalues, exact_gram, extreme_eigenvalues, negative_pivots
from tests.rounding import gamma, of_eigenvalues

seeds = st.integers(0, 2**32 - 1)
numbers = st.floats(-3, 3).map(lambda value: round(value, 3))


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 5))
def test_eigenvalues_contain_those_of_numpy_in_order(seed, d):
    X = np.random.default_rng(seed).standard_normal((d + 3, d))
    found = eigenvalues(exact_gram(exact_matrix(X.tolist())))
    matrix, sizes = X.T @ X / len(X), np.abs(X).T @ np.abs(X) / len(X)
    off = of_eigenvalues(matrix) + float(gamma(len(X) + 1)) * np.linalg.norm(sizes)
    np.testing.assert_allclose([float(v) for v in found], np.linalg.eigvalsh(matrix), rtol=0, atol=off)
    assert len(found) == d and all(v.rad() < 1e-50 for v in found)


def test_multiple_eigenvalues_count():
    found = eigenvalues(exact_matrix([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -1.0]]))
    assert [float(value) for value in found] == [-1.0, 2.0, 2.0]


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(numbers, min_size=n * n, max_size=n * n)))
def test_eigenvalues_by_inertia_meet_those_by_characteristic_polynomial(entries):
    n = math.isqrt(len(entries))
    matrix = np.array(entries).reshape(n, n)
    matrix = matrix + matrix.T
    low, high = extreme_eigenvalues([[arb(float(value)) for value in row] for row in matrix])
    roots = eigenvalues(exact_matrix(matrix.tolist()))
    assert low.overlaps(roots[0]) and high.overlaps(roots[-1])
    size = max(abs(entry) for entry in matrix.flat) * n
    for ball in (low, high):  # a guess, and what is put around it, made wider twice at most
        assert ball.rad() <= (abs(ball) * 2.0**-80 + size * 2.0**-200) * 2.0**41


def test_inertia_counts_and_declines():
    diagonal = [[arb(value if i == j else 0) for j in range(3)] for i, value in enumerate((-1, 2, 5))]
    assert [negative_pivots(diagonal, arb(shift)) for shift in (-2, 0, 3, 6)] == [0, 1, 2, 3]
    assert negative_pivots(diagonal, arb(2)) is None
