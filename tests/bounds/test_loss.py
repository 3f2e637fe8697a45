"""The ridge form of each loss slope against sympy's derivative of the loss itself."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.loss import HUBER_RADIUS, LOSSES, p, parse_loss, y

numbers = st.floats(-4, 4)


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_ridge_form_is_the_gradient(name, at_p, at_y):
    loss = LOSSES[name]
    gradient = sympy.diff(loss.expr, p).subs({p: at_p, y: at_y})
    found = loss.phi(at_p - loss.rho * at_y) - loss.sigma * at_y
    assert found == pytest.approx(float(gradient), abs=1e-13)


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


def test_huber_turns_linear_at_its_radius():
    slope = LOSSES["huber"].phi
    assert slope.kinks == (-HUBER_RADIUS, HUBER_RADIUS)
    assert slope(np.array([-9.0, -0.5, 0.25, 0.5, 9.0])).tolist() == [-0.5, -0.5, 0.25, 0.5, 0.5]


def test_names():
    assert parse_loss("huber") is LOSSES["huber"]
    for wrong in ("", "Squared", "hinge", "__class__"):
        with pytest.raises(ValueError, match="not one of squared, logistic, huber"):
            parse_loss(wrong)
    assert LOSSES["logistic"].data_range == (0.0, 1.0)
