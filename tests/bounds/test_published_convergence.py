"""Corollary 1.1 and Lemma 14, repaired: their bounds on quadratics, where descent is known exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.convergence import accumulated, curvature
from icgd.bounds.problem import Problem
from icgd.bounds.published_convergence import (
    DESCENT_LEMMAS,
    corollary,
    descent_claims,
    mean_square,
    short_step,
)


def descended(a, w, step, errors, half):
    """Projected descent on sum a w^2 / 2 over [-half, half]^d; the path, and its gradient mappings."""

    def moved(at, off=0.0):
        return np.clip(at - step * a * at + off, -half, half)

    path, mappings = [w], []
    for off in errors:
        mappings.append((path[-1] - moved(path[-1])) / step)
        path.append(moved(path[-1], off))
    return np.array(path), np.array(mappings)


@given(
    st.floats(0.01, 1.0),  # step over 1/L_f
    st.floats(0.1, 20.0),
    st.integers(1, 30),
    st.floats(1e-3, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_both_hold_on_quadratics(share, L_f, steps, eps, seed):
    rng = np.random.default_rng(seed)
    a = rng.uniform(-L_f, L_f, 3)
    a[0] = L_f * rng.choice([-1, 1])
    step, w = share / L_f, rng.uniform(-1, 1, 3)
    errors = rng.standard_normal((steps, 3))
    errors *= step * eps / np.linalg.norm(errors, axis=1, keepdims=True)
    if rng.random() < 0.5:  # always the same push
        errors[:] = errors[0]
    path, mappings = descended(a, w, step, errors, 1.0)
    exact, _ = descended(a, w, step, np.zeros((steps, 3)), 1.0)
    apart = np.linalg.norm(path[-1] - exact[-1])
    assert apart <= corollary(L_f, step, eps, steps) * (1 + 1e-12) + 1e-12
    drop = float((a * path[0] ** 2 - a * path[-1] ** 2).sum() / 2)
    mean = float((mappings**2).sum(axis=1).mean())
    assert mean <= mean_square(step, eps, drop, steps) * (1 + 1e-9) + 1e-9


def test_a_larger_step_breaks_lemma_14():
    """f = 3 w^2/2 and eta = 1 <= L_f = 3, as printed: w grows until W ends and changes sides for ever."""
    path, mappings = descended(np.array([3.0]), np.array([0.5]), 1.0, np.zeros((40, 1)), 1.0)
    drop = float(3 * (path[0] ** 2 - 0.0).sum() / 2)
    assert (mappings**2).mean() > mean_square(1.0, 0.0, drop, 40)


def test_the_corollary_is_above_the_sum_of_the_errors():
    for steps in (1, 5, 40):
        assert corollary(3.0, 0.1, 0.2, steps) > accumulated(3.0, 0.1, 0.2, steps)
    assert corollary(3.0, 1e6, 0.1, 1000) == float("inf")


def test_claims_are_those_bounds_at_the_letters():
    problem = Problem(N=2, K=3, eta=0.05)
    lam, claims = curvature(problem).lam, descent_claims(problem)
    assert tuple(claim.key.partition("/")[2] for claim in claims) == DESCENT_LEMMAS
    assert claims[0].value == pytest.approx(corollary(lam, 0.05, problem.eps, problem.L), rel=1e-12)
    step = short_step(problem)
    assert step * lam <= 1 and (step == 0.05 or step > (1 - 1e-9) / lam)
    names = {str(symbol): value for symbol, (value, _) in claims[1].constants.items()}
    assert names["h"] == step and claims[1].value > 10 * problem.eps**2
