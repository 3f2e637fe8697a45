"""Functions of one variable: rigorous ranges against sampling and a second interval arithmetic."""

import itertools
import math

import flint
import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.functions.scalar import PRECISION, Scalar, ball_between, lower_float, t, upper_float
from icgd.bounds.loss import LOSSES

FUNCTIONS = {
    **{name: activation.r for name, activation in ACTIVATIONS.items()},
    **{f"{name} slope": loss.phi for name, loss in LOSSES.items()},
    "cubic": Scalar(t**3 - t),
    "rational": Scalar(t / (1 + t**2)),
    "root": Scalar(sympy.sqrt(1 + t**2)),
    "wiggle": Scalar(sympy.sin(3 * t) * sympy.exp(-(t**2)) + sympy.atan(t)),
    "three halves": Scalar((1 + t**2) ** sympy.Rational(3, 2)),
    "constants": Scalar(sympy.pi * t + sympy.E + sympy.Rational(1, 3)),
    "abs": Scalar(sympy.Abs(t - 1), (1.0,)),
}
chain = [(name, order) for name in FUNCTIONS for order in range(3)]


def derivative(name, order):
    f = FUNCTIONS[name]
    for _ in range(order):
        f = f.derivative
    return f


intervals = st.tuples(st.floats(-5, 5), st.floats(0, 6)).map(lambda ends: (ends[0], ends[0] + ends[1]))


@pytest.mark.parametrize(("name", "order"), chain)
@settings(deadline=None, max_examples=6)
@given(interval=intervals)
def test_range_holds_every_sample_and_is_tight(name, order, interval):
    f, (lo, hi) = derivative(name, order), interval
    low, high = f.range(lo, hi)
    x = np.concatenate([np.linspace(lo, hi, 401), [k for k in f.kinks if lo <= k <= hi]])
    seen = f(x) if f.kinks else np.array([f.nearest(at) for at in x.tolist()])
    least, most = (precisely(f, float(x[at])) for at in (seen.argmin(), seen.argmax()))
    assert low <= least and most <= high
    room = wider(f, lo, hi)
    assert abs(f.sup(lo, hi) - max(-low, high)) <= 2 * room
    if not f.kinks:  # one-sided values at kinks may be counted
        # An extreme inside is half a step from a sample at most, and f is flat there.
        between = f.derivative.derivative.sup(lo, hi) * ((hi - lo) / 800) ** 2 / 2
        spare = room + (1 + 1e-6) * between
        assert low >= least - spare and high <= most + spare


def wider(f, lo, hi):
    """How much larger than needed a range may be.

    The tolerance is relative to how far f varies, or to 2^-40 of its size; ends and samples round; a formula
    may add up large numbers to a small one, in balls; and no box is smaller than two floats.
    """
    low, high = f.range(lo, hi)
    size = max(abs(low), abs(high))
    of_ends = 0.0 if f.kinks else f.derivative.sup(lo, hi) * 2 * np.spacing(max(abs(lo), abs(hi)))
    return 1e-10 * ((high - low) + 2.0**-40 * size) + 2.0**-51 * size + 2.0**-100 + of_ends


def precisely(f, x):
    """f(x) at 40 digits, by its formula alone."""
    names = {
        "Heaviside": lambda x, *_: mpmath.mpf(x > 0),
        "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
        "log_cosh": lambda x: mpmath.log(mpmath.cosh(x)),
    }
    with mpmath.workdps(40):
        return mpmath.mpf(sympy.lambdify(t, f.expr, modules=[names, "mpmath"])(mpmath.mpf(x)))


@pytest.mark.parametrize(
    "name", ["tanh", "sigmoid", "softplus", "sin", "cubic", "rational", "root", "wiggle", "constants"]
)
@settings(deadline=None, max_examples=5)
@given(interval=intervals)
def test_range_meets_a_second_interval_arithmetic(name, interval):
    """mpmath.iv's natural enclosures of small pieces: each must overlap ours, and their union hold it."""
    names = {key: getattr(mpmath.iv, key) for key in ("exp", "log", "sin", "cos", "sqrt", "pi", "e")}
    names["mpf"] = mpmath.iv.mpf  # how lambdify writes a rational
    names["tanh"] = lambda x: 1 - 2 / (mpmath.iv.exp(2 * x) + 1)
    names["atan"] = lambda x: mpmath.iv.mpf([mpmath.atan(x.a) - 2.0**-52, mpmath.atan(x.b) + 2.0**-52])
    f = sympy.lambdify(t, FUNCTIONS[name].expr, modules=[names, "mpmath"])
    lo, hi = interval
    ends = np.linspace(lo, hi, 65)
    pieces = [mpmath.iv.mpf(f(mpmath.iv.mpf([a, b]))) for a, b in itertools.pairwise(ends)]
    low, high = FUNCTIONS[name].range(lo, hi)
    spare = wider(FUNCTIONS[name], lo, hi)
    assert float(min(piece.a for piece in pieces)) <= low + spare
    assert float(max(piece.b for piece in pieces)) >= high - spare
    assert all(float(piece.b) >= low and float(piece.a) <= high for piece in pieces)


@pytest.mark.parametrize(("name", "order"), chain)
def test_derivative_is_the_limit_of_differences(name, order):
    f = derivative(name, order)
    x = np.linspace(-4.03, 4.01, 101)
    x = x[[all(abs(v - k) > 1e-3 for k in f.kinks) for v in x]]
    differences = (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
    size = max(1.0, np.abs(differences).max())
    np.testing.assert_allclose(f.derivative(x), differences, rtol=0, atol=2e-5 * size)


@pytest.mark.parametrize(("name", "order"), chain)
def test_balls_hold_the_values_of_floats_and_of_intervals(name, order):
    f = derivative(name, order)
    for x in np.linspace(-3.7, 3.9, 39).tolist():
        point = f.ball(flint.arb(x))
        assert lower_float(point) - 1e-12 <= f(x) <= upper_float(point) + 1e-12
        around = f.ball(ball_between(x - 0.01, x + 0.01))
        values = f(np.linspace(x - 0.01, x + 0.01, 21))
        assert lower_float(around) <= values.min() + 1e-12 and values.max() - 1e-12 <= upper_float(around)


def test_rounding_outwards():
    third = flint.arb(1) / 3
    assert lower_float(third) < 1 / 3 < upper_float(third)
    assert upper_float(flint.arb(1)) == math.nextafter(1.0, 2.0)
    assert ball_between(-1.0, 0.3).contains(flint.arb(0.3))


@pytest.mark.parametrize("expr", [1 / t, sympy.log(t), sympy.tan(t)])
def test_no_finite_range_is_an_error(expr):
    with pytest.raises(ValueError, match="no finite enclosure"):
        Scalar(expr).range(-2.0, 2.0)


def test_a_narrow_peak_between_samples_is_found():
    peak = Scalar(sympy.exp(-((1000 * (t - sympy.Rational(1, 3))) ** 2)))
    assert peak.range(0.0, 1.0)[1] >= 1.0


@pytest.mark.parametrize(
    ("name", "linear", "constant"),
    [("identity", True, False), ("relu", True, False), ("huber slope", True, False), ("abs", True, False),
     ("squared slope", True, False), ("tanh", False, False), ("cubic", False, False), ("sin", False, False)],
)  # fmt: skip
def test_kinds(name, linear, constant):
    assert FUNCTIONS[name].is_piecewise_linear == linear
    assert FUNCTIONS[name].is_constant == constant
    assert Scalar(sympy.Integer(3)).is_constant


def test_calls_keep_shape_and_kind():
    f = ACTIVATIONS["tanh"].r
    assert isinstance(f(0.5), float) and f(np.zeros((2, 3))).shape == (2, 3)
    constant = Scalar(sympy.Integer(2))
    assert constant(np.zeros(3)).tolist() == [2.0, 2.0, 2.0]
    assert f([0, 0]).tolist() == [0.0, 0.0]


@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3))
def test_compose(x):
    outer, inner = FUNCTIONS["logistic slope"], FUNCTIONS["sin"]
    with flint.ctx.workprec(PRECISION):
        found, wanted = outer.compose(inner).ball(flint.arb(x)), outer.ball(inner.ball(flint.arb(x)))
    assert found.overlaps(wanted) and max(found.rad(), wanted.rad()) < flint.arb(2) ** (10 - PRECISION)


def test_relu_slope_at_its_kink_is_zero_in_floats_and_in_balls():
    slope = ACTIVATIONS["relu"].derivative
    assert (slope(0.0), slope(1e-300), slope(-1.0)) == (0.0, 1.0, 0.0)
    assert slope.ball(flint.arb(0)) == 0
    assert slope.range(-1.0, 1.0)[0] <= 0 and slope.range(-1.0, 1.0)[1] >= 1
