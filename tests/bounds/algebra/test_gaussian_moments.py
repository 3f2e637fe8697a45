"""Gaussian moments against Isserlis' pairings listed one by one, and against known values."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.gaussian_moments import SampleCovariance, wishart_traces


def isserlis(variables, covariance):
    """E of a product of Gaussian variables (sample, coordinate): the sum over all pairings."""
    if not variables:
        return Fraction(1)
    (a, i), rest = variables[0], variables[1:]
    return sum(
        (
            covariance[i][j] * isserlis(rest[:k] + rest[k + 1 :], covariance)
            for k, (b, j) in enumerate(rest)
            if a == b
        ),
        Fraction(0),
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=0, max_size=3),
    st.integers(1, 3),
    st.integers(0, 100),
)
def test_moments_are_sums_over_pairings(pairs, n, seed):
    root = np.random.default_rng(seed).integers(-2, 3, (3, 3)).astype(int)
    S = [[Fraction(int(v)) for v in row] for row in root @ root.T]
    listed = sum(
        isserlis(tuple((a, i) for a, pair in zip(at, pairs, strict=True) for i in pair), S)
        for at in product(range(n), repeat=len(pairs))
    )
    assert SampleCovariance(S, Fraction(1, n)).moment(pairs) * n ** len(pairs) == listed


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9))
def test_traces_agree_with_entries_and_with_scalars(n, d):
    traces = wishart_traces(n, d, 3)
    assert traces[2] == n * d * (n + d + 1)
    assert traces[3] == n * d * (n**2 + d**2 + 3 * n * d + 3 * n + 3 * d + 4)
    identity = [[Fraction(int(i == j)) for j in range(d)] for i in range(d)]
    moments = SampleCovariance(identity, Fraction(1, n))
    squares = sum(moments.moment(((i, j), (i, j))) for i in range(d) for j in range(d))
    assert squares * n**2 == traces[2]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_one_dimension_is_chi_square(n):
    expected = [math.prod(n + 2 * i for i in range(k)) for k in range(9)]
    assert wishart_traces(n, 1, 8) == expected
