"""Enclosures of expressions and derivatives: against mpmath, tight at points, bounded far from 0."""

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import parse_activation
from icgd.bounds.functions.scalar import PRECISION, t
from icgd.bounds.functions.series import balls

FORMULAS = (
    "tanh", "sigmoid", "softplus", "gelu", "sin", "t/(1+exp(-t))", "1/(1+t**2)", "t/sqrt(1+t**2)",
    "1/cosh(t)", "log(cosh(t))", "exp(-t**4)", "(t**2+1)**0.3", "sinh(t)/2", "atan(t)*erf(t)", "tan(t/4)",
    "t**3 - 2*t + pi", "sqrt(sqrt(1+t**2))", "(t**2+1)**(1/999999999)", "1/(2+t**2)**3", "Abs(t**2+1)",
)  # fmt: skip


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(PRECISION):
        yield


@pytest.mark.parametrize("text", FORMULAS)
def test_points_and_balls_hold_the_derivatives_that_mpmath_finds(text):
    expr = parse_activation(text).r.expr
    value, enclose = sympy.lambdify(t, expr, "mpmath"), balls(expr, t)
    with mpmath.workdps(60):
        for x in (-1.7, 0.0, 0.4, 2.3):
            true = [value(mpmath.mpf(x)), *(mpmath.diff(value, mpmath.mpf(x), k) for k in range(1, 5))]
            point, around = enclose(arb(x), 4), enclose(arb(x - 0.01).union(arb(x + 0.02)), 4)
            for exact, at, near in zip(true, point, around, strict=True):
                held = arb(mpmath.nstr(exact, 40, min_fixed=0, max_fixed=0)) + arb(0, 1e-25)
                assert at.overlaps(held) and at.rad() <= 1e-25 * (1 + abs(float(exact)))
                assert near.overlaps(held)


@pytest.mark.parametrize("text", ["softplus", "sigmoid", "t/(1+exp(-t))", "tanh", "log(cosh(t))"])
def test_enclosures_stay_as_tame_as_the_function(text):
    """Derivatives of these are below 1 plus their size; a formula in exponentials would allow e^32."""
    enclose = balls(parse_activation(text).r.expr, t)
    for low in (-32.0, -8.0, 7.0, 31.0):
        found = enclose(arb(low).union(arb(low + 1)), 3)
        assert all(float(abs(y).upper()) < 40 * 4**k for k, y in enumerate(found))


@given(st.sampled_from(FORMULAS), st.floats(-3, 3), st.floats(0, 0.4), st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_balls_hold_all_their_points(text, low, width, order):
    expr = parse_activation(text).r.expr
    enclose = balls(expr, t)
    wide = enclose(arb(low).union(arb(low + width)), order)[order]
    for share in np.linspace(0, 1, 5).tolist():
        assert wide.overlaps(enclose(arb(low + share * width), order)[order]) or not wide.is_finite()


@pytest.mark.parametrize(
    "expr", [1 / t, sympy.log(t), sympy.sqrt(t), sympy.Abs(t), t ** sympy.Rational(1, 3)]
)
def test_where_balls_cannot_tell_there_is_nan(expr):
    assert not any(y.is_finite() for y in balls(expr, t)(arb(0, 1), 2))


def test_values_beyond_a_kink_need_no_derivative():
    found = balls(sympy.Max(t, -t / 2, 1), t)(arb(-4).union(arb(3)), 0)[0]
    assert found.contains(1) and found.contains(3) and float(found.upper()) < 4.01 and found >= 1 - 2.0**-20


def test_a_function_without_a_series_is_named():
    with pytest.raises(NotImplementedError, match="gamma"):
        balls(sympy.gamma(t), t)
