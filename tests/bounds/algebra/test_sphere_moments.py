"""Moments of inputs on the sphere against cubature, random walks in the plane and pairs of vectors."""

from fractions import Fraction
from functools import cache
from itertools import product
from math import comb, prod

import numpy as np
import pytest
from flint import fmpq

from icgd.bounds.algebra.gaussian_moments import wishart_traces
from icgd.bounds.algebra.sphere_moments import SphereCovariance, sample_traces, sphere_traces
from tests.rounding import gamma


def sphere_rule(d):
    """Points of length sqrt(d) with equal weights or those of Gauss and Legendre: exact up to degree 7."""
    angles = 2 * np.pi * np.arange(8) / 8
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if d == 2:
        return np.sqrt(2) * circle, np.full(8, 1 / 8)
    heights, weights = np.polynomial.legendre.leggauss(4)
    points = [[*np.sqrt(1 - z * z) * p, z] for z in heights for p in circle]
    return np.sqrt(3) * np.array(points), np.repeat(weights / 16, 8)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("n", [1, 2])
def test_moments_are_those_of_cubature(d, n):
    S = [[fmpq(2 + (i == j), 1 + abs(i - j)) for j in range(d)] for i in range(d)]
    root = np.linalg.cholesky(np.array([[float(v.p) / float(v.q) for v in row] for row in S]))
    points, weights = sphere_rule(d)
    x = points @ root.T
    moments = SphereCovariance(S, fmpq(1, n))
    tried = [((0, 0),), ((0, 1), (0, 0)), ((1, 1), (1, 1)), ((0, 0), (0, 1), (1, 1)), ((0, 1),) * 3]
    for pairs in [*tried, ((d - 1, d - 1), (0, d - 1), (0, 0))]:
        total, size = 0.0, 0.0
        for at in product(range(len(x)), repeat=n):
            C = sum(np.outer(x[k], x[k]) for k in at) / n
            total += prod(weights[k] for k in at) * prod(C[pair] for pair in pairs)
            size += prod(weights[k] for k in at) * prod(abs(C[pair]) for pair in pairs)
        found = moments.moment(pairs)
        # Rounding of roots, products and a sum of up to 32^2 terms.
        assert abs(float(found.p) / float(found.q) - total) <= gamma(32**2 + 200) * size


@cache
def walk(n, j):
    """E |sum of n uniform complex numbers of length 1|^(2j): the squares of multinomial coefficients."""
    if n == 0:
        return int(j == 0)
    return sum(comb(j, i) ** 2 * walk(n - 1, j - i) for i in range(j + 1))


@pytest.mark.parametrize("n", [1, 2, 3, 9, 40])
def test_traces_in_the_plane_are_those_of_a_random_walk(n):
    """At d = 2 the eigenvalues of V are n + W and n - W, W the length of a walk of the doubled angles."""
    for k, trace in enumerate(sphere_traces(n, 2, 8)):
        assert trace == 2 * sum(comb(k, 2 * j) * n ** (k - 2 * j) * walk(n, j) for j in range(k // 2 + 1))


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_traces_of_two_vectors_are_those_of_their_cosine(d):
    """V of two vectors has the eigenvalues d (1 + c) and d (1 - c), c the cosine of their angle."""

    def even(j):
        return Fraction(prod(range(1, 2 * j, 2)), prod(d + 2 * i for i in range(j)))

    for k, trace in enumerate(sphere_traces(2, d, 8)[1:], start=1):
        assert trace == 2 * d**k * sum(comb(k, 2 * j) * even(j) for j in range(k // 2 + 1))


@pytest.mark.parametrize(("n", "d"), [(1, 3), (4, 2), (50, 5)])
def test_normal_lengths_give_the_traces_of_wishart_matrices(n, d):
    assert sample_traces(n, d, (Fraction(1),) * 9) == wishart_traces(n, d, 8)


def test_entries_and_traces_agree_on_four_samples():
    moments = SphereCovariance([[fmpq(i == j) for j in range(2)] for i in range(2)], fmpq(1, 4))
    cycles = (((i, j), (j, k), (k, l), (l, i)) for i, j, k, l in product(range(2), repeat=4))
    total = sum((moments.moment(cycle) for cycle in cycles), fmpq(0))
    assert Fraction(int(total.p), int(total.q)) == sphere_traces(4, 2, 4)[4] / 4**4
