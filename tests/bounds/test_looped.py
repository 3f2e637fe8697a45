"""Contraction on Gaussian data and examples for a target error, each recomputed by a second method."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import (
    CONDITION,
    LoopedProblem,
    claims,
    condition_bound,
    eigenvalue_bounds,
    examples_needed,
    is_conditioned,
)
from tests.rounding import gamma


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 64), st.integers(1, 40), st.floats(1e-6, 0.5), st.floats(0.5, 4))
def test_examples_needed_solve_the_bound_on_the_condition_number(d, T, eps, t):
    with mpmath.workdps(60):

        def error(n):
            gap = mpmath.sqrt(n) - mpmath.sqrt(d) - t
            kappa = ((mpmath.sqrt(n) + mpmath.sqrt(d) + t) / gap) ** 2
            return (1 - 1 / kappa) ** T if gap > 0 else mpmath.inf

        n = examples_needed(d, T, eps, t)
        # Roundings: eps^(1/T) is taken from 1, and 1 from the root of what comes out.
        x = mpmath.mpf(eps) ** (mpmath.mpf(1) / T)
        root = mpmath.sqrt(1 / (1 - x))
        in_kappa = 3 + (2 + abs(mpmath.log(eps)) / T) * x / (1 - x)
        in_n = 8 + 2 * (1 + in_kappa / 2) * (1 + root / (root - 1))
        slack = 1 + mpmath.mpf(float(gamma(math.ceil(in_n))))
        assert error(mpmath.ceil(n * slack)) <= eps < error(mpmath.floor((n - 1) / slack))


def test_symbolic_and_float_bounds_agree():
    problem = LoopedProblem(d=5, n=100, T=12, t=1.5, eps=0.03)
    values = {claim.key: claim.value for claim in claims(problem)}
    assert values["looped/condition"] == pytest.approx(condition_bound(5, 100, 1.5), rel=1e-12)
    assert values["looped/examples"] == examples_needed(5, 12, 0.03, 1.5)
    assert values["looped/failure"] == pytest.approx(2 * math.exp(-1.125))
    assert values["looped/contraction"] == pytest.approx((1 - 1 / condition_bound(5, 100, 1.5)) ** 12)
    assert values["looped/parameters"] == 72 and CONDITION.free_symbols


def test_fixed_step_meets_the_contraction_of_the_bound():
    """At the smallest eigenvalue allowed 1 - eta lambda is 1 - 1/bound: one step serves all data."""
    problem = LoopedProblem()
    smallest = (1 - (math.sqrt(problem.d) + problem.t) / math.sqrt(problem.n)) ** 2
    assert 1 - problem.rate * smallest == pytest.approx(1 - 1 / condition_bound(4, 64, 2.0))


def test_too_few_examples_have_no_bound():
    problem = LoopedProblem(d=16, n=16)
    assert not is_conditioned(problem)
    assert {claim.key: claim.value for claim in claims(problem)}["looped/condition"] == math.inf


@pytest.mark.parametrize(
    ("field", "value"),
    [("d", 0), ("n", 5000), ("T", True), ("eta", -1.0), ("t", 0.0), ("eps", 1.0), ("eps", 0.0), ("c", "x")],
)
def test_impossible_letters_are_refused(field, value):
    with pytest.raises(ProblemError, match=field):
        LoopedProblem(**{field: value})


def test_plain_values_pose_the_same_problem():
    problem = LoopedProblem(T=3)
    assert LoopedProblem.parse(problem.as_dict()) == problem
    assert all(text != name for name, text in LoopedProblem.meanings().items())


@pytest.mark.parametrize("eta", [1e-9, 0.01, 0.3, 1.5])
def test_the_bound_on_the_error_is_that_of_the_step_in_use(eta):
    """Over a grid of the eigenvalues allowed, in numpy."""
    problem = LoopedProblem(eta=eta, T=2)
    low, high = (float(end) for end in eigenvalue_bounds(problem))
    assert (low, high) == pytest.approx(((8 - 4) ** 2 / 64, (8 + 4) ** 2 / 64))
    worst = np.abs(1 - eta * np.linspace(low, high, 1001)).max() ** 2
    value = {claim.key: claim.value for claim in claims(problem)}["looped/contraction"]
    assert value == pytest.approx(worst, rel=1e-12)


def test_a_bound_without_enough_examples_is_no_contraction():
    for eta, least in ((0.0, 1.0), (1.0, 1.0)):
        value = {c.key: c.value for c in claims(LoopedProblem(n=12, eta=eta))}["looped/contraction"]
        assert value >= least


def test_a_step_that_overflows_is_refused():
    with pytest.raises(ProblemError, match="overflow after"):
        LoopedProblem(eta=1e6, T=500)
    assert LoopedProblem(eta=1e-6, T=500).eta == 1e-6
