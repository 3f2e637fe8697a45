"""The ridge form of each loss slope against sympy's derivative of the loss, and losses without one."""

import numpy as np
import pytest
import sympy
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.scalar import PRECISION, Scalar, t
from icgd.bounds.loss import LOSSES, p, parse_loss, y

numbers = st.floats(-4, 4)


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_ridge_form_is_the_gradient(name, at_p, at_y):
    loss = LOSSES[name]
    gradient = sympy.diff(loss.expr, p).subs({p: sympy.Rational(at_p), y: sympy.Rational(at_y)})
    with ctx.workprec(PRECISION):
        found = loss.phi.ball(arb(at_p) - loss.rho * arb(at_y)) - loss.sigma * arb(at_y)
        assert found.overlaps(arb(str(gradient.evalf(30)), 1e-25)) and found.rad() < 1e-30


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_against_differences(name):
    loss = LOSSES[name]
    value = sympy.lambdify((p, y), loss.expr, "math")
    for at_p in np.linspace(-2.03, 2.01, 23):
        for at_y in (-1.5, 0.0, 0.4, 1.0, 2.0):
            difference = (value(at_p + 1e-6, at_y) - value(at_p - 1e-6, at_y)) / 2e-6
            assert loss.phi(at_p - loss.rho * at_y) - loss.sigma * at_y == pytest.approx(difference, abs=2e-6)


def test_losses_are_convex_in_p():
    for loss in LOSSES.values():
        assert loss.phi.derivative.range(-5.0, 5.0)[0] >= -1e-8  # balls around a jump carry 30 bits


def test_the_known_slopes_are_what_they_have_always_been():
    """Certificates are made of these very expressions."""
    half = sympy.Rational(1, 2)
    slopes = {name: (loss.phi, loss.rho, loss.sigma) for name, loss in LOSSES.items()}
    assert slopes["squared"] == (Scalar(2 * t), 1.0, 0.0)
    assert slopes["logistic"] == (Scalar((1 + sympy.tanh(t / 2)) / 2), 0.0, 1.0)
    clip = Scalar(sympy.Max(-half, sympy.Min(half, t)), (-0.5, 0.5))
    assert slopes["huber"] == (clip, 1.0, 0.0)


def test_huber_is_a_parabola_that_turns_linear():
    value = sympy.lambdify((p, y), LOSSES["huber"].expr, "math")
    for apart in (-3.0, -0.5, -0.25, 0.0, 0.375, 0.5, 0.75, 9.0):
        expected = apart**2 / 2 if abs(apart) <= 0.5 else (abs(apart) - 0.25) / 2
        assert value(apart + 2.0, 2.0) == expected
    slope = LOSSES["huber"].phi
    assert slope(np.array([-9.0, -0.5, 0.25, 0.5, 9.0])).tolist() == [-0.5, -0.5, 0.25, 0.5, 0.5]


@pytest.mark.parametrize(
    ("formula", "phi", "rho", "sigma"),
    [
        ("(p - y)**2/2", t, 1.0, 0.0),
        ("p**2 - 3*p*y", 2 * t, 1.5, 0.0),
        ("(p - y)**2 + log(1 + y**2)", 2 * t, 1.0, 0.0),
        ("p**4 + p*y/2", 4 * t**3, 0.0, -0.5),
        ("log(cosh(p + y))", sympy.tanh(t), -1.0, 0.0),
        ("sqrt(1 + (p - 2*y)**2)", t / sympy.sqrt(1 + t**2), 2.0, 0.0),
        ("Min(Abs(p - y), 1)*(Abs(p - y) - Min(Abs(p - y), 1)/2)", sympy.Max(-1, sympy.Min(1, t)), 1.0, 0.0),
        ("Abs(p - y)**2", 2 * t, 1.0, 0.0),
    ],
)
def test_ridge_forms_are_found(formula, phi, rho, sigma):
    loss = parse_loss(formula)
    assert sympy.simplify(loss.phi.expr - phi) == 0 and (loss.rho, loss.sigma) == (rho, sigma)
    assert loss.name == loss.formula == formula and loss.data_range is None


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("", "not a formula"),
        ("Squared", "unknown name 'Squared'"),
        ("__class__", "unknown name"),
        ("relu(1 - p*y)", "is not seen to be phi"),
        ("Abs(p - y)", "is not seen to be phi|not differentiable|no clip"),
        ("relu(p - y)**2", "has kinks at 0 and is no clip"),
        ("exp(p - y) - p*y", "rho = 1 and sigma = 1, but layers read y only once"),
        ("(p - y/3)**2", "numbers of float64"),
        ("p**2", "does not depend on y"),
        ("y*p", "does not depend on p"),
        ("Min(Abs(p), 1)*(Abs(p) - Min(Abs(p), 1)/2) - y*p", "has kinks in p alone"),
    ],
)
def test_losses_without_a_slope_that_layers_read_are_refused(formula, words):
    with pytest.raises(ValueError, match=words) as refused:
        parse_loss(formula)
    assert str(refused.value).startswith("neither one of squared, logistic, huber")


def test_names():
    assert parse_loss("huber") is LOSSES["huber"]
    assert LOSSES["logistic"].data_range == (0.0, 1.0)
