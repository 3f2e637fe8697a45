"""The stationary family of functional descent in exact algebra, each formula by a second method."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.algebra.stationary_family import (
    LinearSetting,
    averages_to_trace,
    idle_rate,
    linear_gradient,
    quarter_turns,
    signed_permutations,
    stationarity_claim,
)

small = st.fractions(min_value=-2, max_value=2, max_denominator=8)
positive = st.fractions(min_value=Fraction(1, 4), max_value=3, max_denominator=8)


def at(polynomial, **values):
    """A polynomial of linear_gradient at a point, as a Fraction."""
    named = {name: fmpq(Fraction(v).numerator, Fraction(v).denominator) for name, v in values.items()}
    left = polynomial.subs(named).to_dict()
    total = sum(left.values(), fmpq(0))
    return Fraction(int(total.p), int(total.q))


@pytest.mark.parametrize("L", [1, 2])
def test_nothing_is_off_the_family(L):
    found = linear_gradient(L)
    assert found.stationary and len(found.off) == 6 * L and len(found.along) == 2 * L


@pytest.mark.parametrize(
    "setting",
    [LinearSetting(family=0), LinearSetting(family=-2), LinearSetting(family=1), LinearSetting(task=0)],
)
@pytest.mark.parametrize("L", [1, 2])
def test_another_family_and_other_labels_leave_it(setting, L):
    assert not linear_gradient(L, setting).stationary


@given(small, small, small, positive, positive, st.integers(1, 20), positive)
def test_one_layer_is_the_parabola_worked_out_by_hand(r, b, c, s0, s1, n, noise):
    """With q = r b c P, P = (s0 s1)^2: loss = 2 P (1 + 2 q + q^2 (1 + 3/n)) + 2 noise q^2 / n."""
    P, m = (s0 * s1) ** 2, Fraction(1, n)
    q = r * b * c * P
    in_q = 2 * P * (2 + 2 * q * (1 + 3 * m)) + 4 * noise * q * m
    point = {"r0": r, "b0": b, "c0": c, "s0": s0, "s1": s1, "m": m, "noise2": noise}
    found = linear_gradient(1)
    # d/db = <g S^1/2, diag(s1, s0)> = 2 g s0 s1, and `along` is g s0.
    assert at(found.along[0], **point) == r * c * P * in_q / (2 * s1)
    assert at(found.along[1], **point) == r * b * P * in_q / (2 * s1)


def quadrature_slope(n, s, noise2, parameters, bumped, i, j):
    """The derivative of two layers' loss by complex steps, on Gauss-Hermite prompts; from the label row."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    grid = np.array(list(product(range(5), repeat=2 * n)))
    weight = (weights / weights.sum())[grid].prod(axis=1)
    x = nodes[grid].reshape(-1, n, 2) * s
    D = np.diag(s[::-1])
    total = 0.0
    for query, w, noise in [
        *((np.diag(s)[k], np.diag(s[::-1])[a], np.zeros(n)) for k in range(2) for a in range(2)),
        *((np.diag(s)[k], np.zeros(2), noise2**0.5 * np.eye(n)[a]) for k in range(2) for a in range(n)),
    ]:
        tokens = np.concatenate([x, np.broadcast_to(query, (len(x), 1, 2))], axis=1)
        row = np.concatenate([x @ w + noise, np.zeros((len(x), 1))], axis=1).astype(complex)
        for l, (r, b, c) in enumerate(parameters):
            B, C = b * D.astype(complex), c * D.astype(complex)
            (B if bumped[0] == "b" else C)[i, j] += 1e-30j * (l == bumped[1])
            h = np.einsum("kia,ba,bc,kjc->kij", x, B, C, tokens)
            row = row + r / n * np.einsum("ki,kij->kj", row[:, :n], h)
        total += weight @ ((row[:, n] + query @ w) ** 2)
    return total.imag / 1e-30


def test_two_layers_agree_with_quadrature():
    n, s, noise2 = 2, np.array([0.75, 1.25]), 0.5
    parameters = [(-0.5, 0.75, 1.25), (-0.25, 1.5, 0.5)]
    values = {
        f"{name}{l}": v for l, triple in enumerate(parameters) for name, v in zip("rbc", triple, strict=True)
    }
    point = values | {"s0": s[0], "s1": s[1], "m": Fraction(1, n), "noise2": noise2}
    found = linear_gradient(2)
    for index, bumped in enumerate(product("bc", range(2))):
        slope = {
            ij: quadrature_slope(n, s, noise2, parameters, bumped, *ij) for ij in product(range(2), repeat=2)
        }
        expected = float(at(found.along[index], **point))
        assert slope[0, 0] == pytest.approx(expected, rel=1e-11)
        assert slope[1, 1] == pytest.approx(expected * s[1] / s[0], rel=1e-11)
        assert abs(slope[0, 1]) + abs(slope[1, 0]) <= 1e-11 * abs(expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_signed_permutations_are_all_orthogonal_integer_matrices(d):
    group = signed_permutations(d)
    wanted = [
        rows
        for rows in product(product((-1, 0, 1), repeat=d), repeat=d)
        if np.array_equal(np.array(rows) @ np.array(rows).T, np.eye(d))
    ]
    assert sorted(group) == sorted(wanted)
    A = np.random.default_rng(0).normal(size=(d, d))
    mean = np.mean([np.array(g) @ A @ np.array(g).T for g in group], axis=0)
    assert np.allclose(mean, np.trace(A) / d * np.eye(d), atol=1e-15)
    assert averages_to_trace(group)


def test_turns_of_the_plane_leave_a_turn():
    assert not averages_to_trace(quarter_turns())
    mean = np.mean([np.array(g) @ [[0, 0], [1, 0]] @ np.array(g).T for g in quarter_turns()], axis=0)
    assert np.array_equal(mean, [[0, -0.5], [0.5, 0]])


@given(st.floats(0.1, 2), st.lists(st.floats(-2, 2), min_size=9, max_size=9))
def test_the_idle_rate_is_the_vertex_of_its_parabola(at_zero, entries):
    factor = np.array(entries).reshape(3, 3)
    K = np.tril(factor @ factor.T)
    K = K + np.tril(K, -1).T

    def slope(r):
        """Half the slope of the loss, over the rationals."""
        v = [Fraction(r) * Fraction(at_zero)] * 2 + [1]
        return sum(Fraction(K[i, j]) * v[j] for i in range(2) for j in range(3))

    if K[:2, :2].sum() > 1e-3:
        r = idle_rate(at_zero, K.tolist())  # the float next to the vertex
        assert slope(math.nextafter(r, -math.inf)) <= 0 <= slope(math.nextafter(r, math.inf))
    assert idle_rate(0.0, K.tolist()) == 0.0


def test_the_claim_names_what_it_needs():
    claim = stationarity_claim()
    assert claim.value == pytest.approx(1e-10) and len(claim.hypotheses) == 3
