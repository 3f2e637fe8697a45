"""The mass in ReLU features against mpmath quadrature, and the head count against random networks."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.functions.random_features import feature_mass, sample_features, sampled_heads
from icgd.bounds.functions.scalar import Scalar, t

# By hand, and not from the sympy expressions.
BY_HAND = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "sin": mpmath.sin,
    "identity": lambda x: x,
}


def derivative_of(name, order):
    r = ACTIVATIONS[name].r
    return r.derivative if order else r


def by_quadrature(name, order, R):
    """A by numerical derivatives, split at the sign changes that a scan of g'' finds."""
    R = mpmath.mpf(R)

    def g(x, k):
        return mpmath.diff(BY_HAND[name], x, order + k) if order + k else BY_HAND[name](x)

    def bend(x):
        return g(x, 2)

    scan = [R * k / 37 for k in range(-37, 38)]
    at = [bend(x) for x in scan]
    ends = {-R, mpmath.mpf(0), R}
    for x, y, low, high in zip(scan, scan[1:], at, at[1:], strict=False):
        if low * high < 0:
            ends.add(mpmath.findroot(bend, (x, y), solver="anderson", tol=1e-16, verify=False))
    integral = mpmath.quad(lambda s: abs(bend(s)) * (R + abs(s)), sorted(ends))
    return float(abs(g(-R, 0)) + 2 * R * abs(g(-R, 1)) + integral)


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("order", [0, 1])
def test_the_mass_is_an_upper_bound_and_tight(name, order):
    with mpmath.workdps(20):
        for R in (0.3, 2.0, 5.0):
            A, expected = feature_mass(derivative_of(name, order), R), by_quadrature(name, order, R)
            assert expected * (1 - 1e-9) <= A <= expected * (1 + 1e-4) + 1e-12


@given(st.lists(st.tuples(st.floats(-1.9, 1.9), st.floats(-3, 3)), min_size=1, max_size=4), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_the_mass_of_a_polygon_counts_its_kinks(kinks, slope):
    kinks = {round(k, 2): c for k, c in kinks}
    expr = sum((c * sympy.Max(0, t - sympy.Rational(k)) for k, c in kinks.items()), slope * (t + 2) + 1)
    A = feature_mass(Scalar(expr, tuple(sorted(kinks))), 2.0)
    expected = (
        1
        + 4 * abs(Fraction(slope))
        + sum(abs(Fraction(c)) * (2 + abs(Fraction(k))) for k, c in kinks.items())
    )
    # A kink is a ball, whose radius has 30 bits and is rounded up whenever balls are added or multiplied.
    assert expected <= Fraction(A) <= expected * (1 + Fraction(1, 2**25))


@pytest.mark.parametrize("R", [0.5, 1.0])
def test_a_kink_at_the_end_takes_the_inner_derivative(R):
    clip = Scalar(sympy.Max(-R, sympy.Min(R, t)), (-R, R))
    assert feature_mass(clip, R) == pytest.approx(R + 2 * R, rel=1e-6)


def test_a_function_that_jumps_is_refused():
    with pytest.raises(ValueError, match="jumps at 0"):
        feature_mass(ACTIVATIONS["relu"].r.derivative, 1.0)
    with pytest.raises(ValueError):
        feature_mass(parse_activation("sqrt(t)").r, 1.0)


@given(st.floats(1e-3, 1e3), st.floats(1e-4, 1e3))
def test_the_count_is_the_first_at_which_the_inequality_leaves_a_chance(A, e):
    M = int(sampled_heads(sympy.Rational(A), sympy.Rational(e)))
    with mpmath.workdps(40):
        failure = [2 * mpmath.exp(-m * (mpmath.mpf(e) / A) ** 2 / 2) for m in (M - 1, M)]
    assert failure[1] < 1 <= failure[0]


@given(st.floats(0.1, 10), st.floats(-1, 1))
def test_features_fall_along_the_order_of_the_proof(R, place):
    """The lemma behind the count: in one order, the same for all t, signed features fall from 1 to -1."""
    x, radius = Fraction(place * R), Fraction(R)
    places = map(Fraction, np.linspace(-R, R, 101).tolist())
    feature = [max(x - s, 0) / (radius + abs(s)) for s in places]
    signed = [1, *feature, *(-value for value in reversed(feature)), -1]
    assert signed == sorted(signed, reverse=True)


CASES = [("tanh", 0, 1.0), ("tanh", 1, 3.0), ("sin", 0, 4.0), ("gelu", 1, 2.0), ("softplus", 0, 5.0)]


@pytest.mark.parametrize("name, order, R", CASES)
def test_random_features_reach_the_error_with_that_many_and_not_with_far_fewer(name, order, R):
    g = derivative_of(name, order)
    A, x = feature_mass(g, R), np.linspace(-R, R, 4001)
    e = A / 25
    M = int(sampled_heads(A, e))

    def errors(count):
        draws = (sample_features(g, R, count, np.random.default_rng(seed)) for seed in range(20))
        return np.array([np.abs(drawn(x) - g(x)).max() for drawn in draws])

    enough = np.mean(errors(M) <= e)
    too_few = np.mean(errors(M // 100) <= e)
    print(f"{name}: A = {A:.3g}, M = {M}: {enough:.0%} of draws within e, {too_few:.0%} with M/100")
    assert enough >= 0.5
    assert too_few <= 0.25


@pytest.mark.parametrize("name, order, R", CASES)
def test_features_have_norm_one_and_weights_that_add_up_to_the_mass(name, order, R):
    g = derivative_of(name, order)
    drawn = sample_features(g, R, 1000, np.random.default_rng(0))
    assert drawn.units <= 1000
    np.testing.assert_allclose(np.abs(drawn.a) * R + np.abs(drawn.b), 1.0)
    total = np.abs(drawn.c).sum() + abs(drawn.constant)
    assert total == pytest.approx(feature_mass(g, R), rel=1e-5)


@pytest.mark.parametrize("name, order, R", CASES)
def test_draws_are_unbiased(name, order, R):
    g, x, count = derivative_of(name, order), np.linspace(-R, R, 101), 50_000
    mean = sample_features(g, R, count, np.random.default_rng(1))(x)
    assert np.abs(mean - g(x)).max() <= 5 * feature_mass(g, R) / math.sqrt(count)


def test_a_kink_is_drawn_with_its_jump():
    x = np.linspace(-2, 2, 101)
    bent = Scalar(sympy.Max(0, t - 1) * 3, (1.0,))
    drawn = sample_features(bent, 2.0, 50, np.random.default_rng(0))
    np.testing.assert_allclose(drawn(x), 3 * np.maximum(x - 1, 0), atol=1e-6)
