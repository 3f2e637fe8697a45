"""Fits with few linear pieces: their certificates, checked by independent code."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.functions.pieces import Fit, certified_error, fit, square
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.functions.scalar import Scalar, t

tanh, sigmoid = sympy.tanh(t), 1 / (1 + sympy.exp(-t))
BASE = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": sympy.log(1 + sympy.exp(t)),
    "gelu": t * (1 + sympy.erf(t / sympy.sqrt(2))) / 2,
    "sin": sympy.sin(t),
    "sigmoid(tanh)": sigmoid.subs(t, tanh),
}
SMOOTH = {name: Scalar(f) for name, f in BASE.items()}
SMOOTH |= {f"{name}'": g.derivative for name, g in SMOOTH.items()} | {"square": Scalar(t**2)}
LINEAR = {
    "relu": Scalar(sympy.Max(t, 0), (0.0,)),
    "clip": Scalar(sympy.Max(sympy.Min(t, 1), -1), (-1.0, 1.0)),
    "identity": Scalar(t),
    "leaky": Scalar(sympy.Max(t, t / 10), (0.0,)),
}

names = st.sampled_from(sorted(SMOOTH))
radii = st.floats(math.log(0.3), math.log(8)).map(math.exp)


def tolerances(finest: float) -> st.SearchStrategy[float]:
    return st.floats(finest, -1).map(lambda power: 10**power)


def samples(proved: Fit, per_piece: int) -> npt.NDArray[np.float64]:
    """Every kink and end, and points evenly between them."""
    kinks = np.array([float(k) for k in proved.relus.segments()[0]])
    inside = kinks[(kinks > proved.lo) & (kinks < proved.hi)]
    ends = np.array([proved.lo, *inside, proved.hi])
    return np.unique(np.linspace(ends[:-1], ends[1:], per_piece))


def precise(g: Scalar, x: float) -> mpmath.mpf:
    """g(x) at mpmath's precision, for an exact float x."""
    return sympy.lambdify(t, g.expr, modules="mpmath")(mpmath.mpf(x))


def error_at(relus: ReluSum, g: Scalar, points: npt.NDArray[np.float64]) -> float:
    """The largest |relus - g| at the points, from the definition, at 40 digits; rounded once."""
    with mpmath.workdps(40):
        f = sympy.lambdify(t, g.expr, modules="mpmath")
        unit = [[mpmath.mpf(x) for x in w] for w in zip(relus.a, relus.b, relus.c, strict=True)]
        return max(
            float(abs(relus.constant + sum(c * max(a * x + b, 0) for a, b, c in unit) - f(x)))
            for x in map(mpmath.mpf, points.tolist())
        )


def unseen(proved: Fit, points: npt.NDArray[np.float64]) -> float:
    """How much more than at the points the error may be, and be certified.

    Where it is largest between two points it is flat, bends like g, and half their distance from one of them.
    """
    half = float(np.diff(points).max()) / 2
    bend = proved.g.derivative.derivative.sup(proved.lo, proved.hi)
    return bend * half**2 / 2 + 2.0**-21 * proved.error


@settings(deadline=None, max_examples=50)
@given(names, radii, tolerances(-5))
def test_error_and_count(name: str, radius: float, tolerance: float) -> None:
    proved = fit(SMOOTH[name], -radius, radius, tolerance)
    dense = samples(proved, 41)
    worst = float(dense[np.abs(proved.relus(dense) - proved.g(dense)).argmax()])
    seen = error_at(proved.relus, proved.g, np.array([worst]))
    assert seen <= proved.error <= min(tolerance, seen + unseen(proved, dense))
    assert proved.fewest <= proved.pieces <= proved.fewest + 2
    assert proved.relus.units <= proved.pieces
    assert proved.pieces <= len(dense[::40]) - 1 and proved.fewest == len(proved.witnesses) + 1


@settings(deadline=None, max_examples=15)
@given(names, radii, tolerances(-3))
def test_error_at_forty_digits(name: str, radius: float, tolerance: float) -> None:
    proved = fit(SMOOTH[name], -radius, radius, tolerance)
    points = samples(proved, 13)
    seen = error_at(proved.relus, proved.g, points)
    assert seen <= proved.error <= seen + unseen(proved, points)


@settings(deadline=None, max_examples=15)
@given(names, radii, tolerances(-4))
def test_witnesses_at_forty_digits(name: str, radius: float, tolerance: float) -> None:
    proved = fit(SMOOTH[name], -radius, radius, tolerance)
    ends = [proved.lo, *(x for triple in proved.witnesses for x in (triple[0], triple[2])), proved.hi]
    assert ends == sorted(ends)
    with mpmath.workdps(40):
        for triple in proved.witnesses:
            assert triple[0] < triple[1] < triple[2]
            x1, x2, x3 = map(mpmath.mpf, triple)
            g1, g2, g3 = (precise(proved.g, x) for x in triple)
            assert abs(g2 - g1 - (g3 - g1) / (x3 - x1) * (x2 - x1)) > 2 * mpmath.mpf(tolerance)


@pytest.mark.parametrize("damage", ["a", "b", "c", "constant", "dropped"])
@pytest.mark.parametrize("name", ["tanh", "tanh'", "gelu", "sin'", "softplus", "square"])
def test_damage_is_noticed(name: str, damage: str) -> None:
    """The error grows beyond the tolerance once one weight is off by 1e-3 or one unit is gone."""
    proved = fit(SMOOTH[name], -4.0, 4.0, 1e-6)
    relus = proved.relus
    m = int(np.argmax(np.abs(relus.c) * np.maximum(4 * relus.a + relus.b, -4 * relus.a + relus.b)))
    weights = {key: getattr(relus, key).copy() for key in "abc"}
    constant = relus.constant + (1e-3 if damage == "constant" else 0.0)
    if damage in weights:
        weights[damage][m] += 1e-3
    if damage == "dropped":
        weights = {key: np.delete(w, m) for key, w in weights.items()}
    damaged = ReluSum(weights["a"], weights["b"], weights["c"], constant)
    error = certified_error(damaged, proved.g, -4.0, 4.0)
    x = np.linspace(-4, 4, 4001)
    assert error > proved.tolerance
    assert error >= float(np.abs(damaged(x) - proved.g(x)).max()) - 1e-12


@pytest.mark.parametrize("name", sorted(LINEAR))
@pytest.mark.parametrize("tolerance", [1e-1, 1e-9])
def test_piecewise_linear_functions_are_exact(name: str, tolerance: float) -> None:
    proved = fit(LINEAR[name], -2.0, 3.0, tolerance)
    assert proved.error <= 1e-15
    assert proved.pieces == len(LINEAR[name].kinks) + 1
    assert proved.fewest <= proved.pieces
    assert proved.relus.units <= proved.pieces
    if tolerance == 1e-9:
        assert proved.fewest == proved.pieces


def test_constants_need_no_unit() -> None:
    for g, tolerance in ((Scalar(sympy.Rational(1, 3) + 0 * t), 1e-6), (SMOOTH["sin"], 1.1)):
        proved = fit(g, -2.0, 3.0, tolerance)
        assert (proved.relus.units, proved.pieces, proved.fewest) == (0, 1, 1)


def test_kinks_of_curved_functions() -> None:
    """A kink that is not the end of a linear piece is found and judged rightly."""
    g = Scalar(sympy.Max(t, t**2), (0.0, 1.0))
    proved = fit(g, -1.0, 2.0, 1e-4)
    dense = samples(proved, 41)
    seen = float(np.abs(proved.relus(dense) - np.maximum(dense, dense**2)).max())
    assert seen - 1e-14 <= proved.error <= min(1e-4, 1.01 * seen)
    assert proved.pieces <= proved.fewest + 2


def test_a_jump_is_never_certified() -> None:
    step = LINEAR["relu"].derivative
    one, none = np.ones(1), np.ones(0)
    for ramp in (ReluSum(one / 2, 0 * one, one), ReluSum(none, none, none)):
        for lo in (-1.0, 0.0):
            assert certified_error(ramp, step, lo, 2.0) >= 1.0


def test_bad_problems_are_refused() -> None:
    for lo, hi, tolerance in ((1.0, 1.0, 0.1), (0.0, 1.0, 0.0), (0.0, 1.0, math.nan)):
        with pytest.raises(ValueError, match="need"):
            fit(SMOOTH["sin"], lo, hi, tolerance)
    with pytest.raises(ValueError, match="no float64 weights"):
        fit(SMOOTH["sin"], 0.0, 1.0, 1e-16)
    with pytest.raises(ValueError, match="need"):
        square(0.0, 0.1)


@settings(deadline=None, max_examples=25)
@given(radii, tolerances(-5))
def test_square_is_optimal_and_exactly_bounded(radius: float, tolerance: float) -> None:
    proved = square(radius, tolerance)
    # Witnesses are off their chords by a share of 1e-9 more than needed; the other 1e-9 is for their places.
    assert fewest_sides(radius, tolerance, 2e-9) <= proved.fewest <= fewest_sides(radius, tolerance)
    # Four roundings in the ratio of radius and tolerance's root may ask for the next odd number of pieces.
    assert proved.fewest <= proved.pieces <= fewest_sides(radius, tolerance, -(2.0**-49)) + 1
    assert proved.relus.units == proved.pieces - 1 and len(set(proved.relus.c.tolist())) <= 1
    kinks, slopes, intercepts = proved.relus.segments()
    ends = [-Fraction(radius), *kinks, Fraction(radius)]
    worst = Fraction(0)  # t^2 - s t - i is extreme at the ends and at s / 2
    for (a, b), s, i in zip(pairwise(ends), slopes, intercepts, strict=True):
        assert a <= s / 2 <= b
        worst = max(worst, *(abs(x * x - s * x - i) for x in (a, b, s / 2)))
    # What certified_error leaves unresolved, and the float above it.
    assert worst <= Fraction(proved.error) <= worst * (1 + Fraction(1, 2**22)) * (1 + Fraction(1, 2**51))
    assert proved.error <= tolerance


def fewest_sides(radius: float, tolerance: float, more: float = 0.0) -> int:
    """How many sides stay within the tolerance of t^2, or a share above it: each spans sqrt(8 tolerance)."""
    square = 4 * Fraction(radius) ** 2 / (8 * Fraction(tolerance) * (1 + Fraction(more)))
    floor = math.isqrt(math.floor(square))
    return floor + (floor**2 < square)


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_count_follows_the_curvature(name: str) -> None:
    """In the limit a piece spans 4 sqrt(tolerance / |g''|): (1/4) int sqrt|g''| / sqrt(tolerance)."""
    g, tolerance = SMOOTH[name], 1e-6
    x = np.linspace(-4.0, 4.0, 20_001)
    density = np.sqrt(np.abs(g.derivative.derivative(x))) / 4
    expected = float(np.trapezoid(density, x)) / math.sqrt(tolerance)
    if name == "tanh":
        assert expected == pytest.approx(0.82 / math.sqrt(tolerance), rel=5e-3)
    assert fit(g, -4.0, 4.0, tolerance).pieces == pytest.approx(expected, rel=5e-3, abs=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMOOTH))
@pytest.mark.parametrize("tolerance", [1e-7, 1e-9])
def test_fine_fits(name: str, tolerance: float) -> None:
    proved = fit(SMOOTH[name], -3.0, 3.0, tolerance)
    assert proved.error <= tolerance
    assert proved.fewest <= proved.pieces <= proved.fewest + 2


def test_a_polygon_that_ends_right_after_a_knot_is_kept():
    end, tolerance = 1.1266351072727219, 0.00045549
    found = fit(ACTIVATIONS["tanh"].r, -end, end, tolerance)
    assert found.error <= tolerance and found.fewest <= found.pieces <= found.fewest + 2
