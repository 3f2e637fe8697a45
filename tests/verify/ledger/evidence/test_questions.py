"""Answers to reviewers by a second route: mpmath's derivatives, and the bound on descent evaluated anew."""

import math

import mpmath
import numpy as np
import pytest

from icgd.bounds.convergence import contracting_step, curvature, least_gradient
from icgd.bounds.problem import Problem
from icgd.verify.ledger.evidence import questions as evidence


@pytest.mark.parametrize("order", range(1, 24))
def test_derivatives_of_tanh_at_0_are_those_of_mpmath(order):
    with mpmath.workdps(60):
        expected = mpmath.taylor(mpmath.tanh, 0, order)[order] * mpmath.factorial(order)
        assert abs(evidence.tangent_derivative(order) - expected) < 1e-20 * (1 + abs(expected))


def test_the_derivative_that_lemma_7_must_bound_is_that_of_an_entry_of_the_gradient():
    """The entry is the slope of the loss in t by mpmath, through the network as it is defined."""
    found, posed = evidence.one_sum(), Problem()
    s = found["derivatives"]
    assert found["variables"] == posed.D_w + 2 * posed.d and s == math.ceil((36 - 1) / 2) + 1
    with mpmath.workdps(80):
        p = mpmath.mpf(posed.B_x)
        for _ in range(posed.N - 1):
            p = mpmath.tanh(posed.B_v * p)

        def entry(t, y):
            z = t * p
            return (mpmath.tanh(z) - y) * mpmath.sech(z) ** 2 * p  # half the slope of (tanh(t p) - y)^2

        def largest_slope(y):
            return abs(mpmath.taylor(lambda t: entry(t, y), 0, s)[s] * mpmath.factorial(s))

        derivatives = [largest_slope(y) for y in (-1, 1)]
        assert found["mass"] <= max(derivatives) <= found["mass"] * (1 + mpmath.mpf(10) ** -11)
        assert max(derivatives) > 1e11
    relus = found["mass"] ** 2 * math.log(1 + found["mass"] / posed.eps) / posed.eps**2
    assert found["relus"] == pytest.approx(relus, rel=1e-12)


@pytest.mark.parametrize("eps", [0.001, 0.05])
def test_the_construction_adds_no_more_than_its_floor_after_any_number_of_steps(eps):
    found, posed = evidence.apart(eps), Problem(eps=eps)
    lam, step = curvature(posed).lam, contracting_step(posed)
    assert found["shows"] and found["floor"] == pytest.approx(eps + eps / (1 - lam * step / 2))
    for drop in (1e-6, 1.0, 1e3):
        for steps in (1, 10, 10**6):
            exact = math.sqrt(drop / ((1 - lam * step / 2) * step * steps))
            assert least_gradient(lam, step, 0.0, drop, steps) == pytest.approx(exact)
            assert least_gradient(lam, step, eps, np.array(drop), steps) - exact <= found["floor"] * (
                1 + 1e-9
            )


def test_a_comparison_that_goes_the_other_way_is_not_shown():
    assert not evidence.beside_loop(layers=4)["shows"] and not evidence.beside_loop(heads=9)["shows"]
