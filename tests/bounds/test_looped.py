"""Contraction on exact data, and examples for a target error, each by a second route."""

import math

import mpmath
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import (
    CONDITION,
    LoopedProblem,
    claims,
    condition_bound,
    contraction,
    eigenvalue_bounds,
    eigenvalues,
    exact_descent,
    exact_gram,
    exact_matrix,
    examples_needed,
    is_conditioned,
    least_squares,
)

seeds = st.integers(0, 2**32 - 1)


def exact(seed, n=7, d=3):
    generator = np.random.default_rng(seed)
    X, w = generator.standard_normal((n, d)), generator.standard_normal((d, 1))
    return X, X @ w, exact_matrix(X.tolist()), exact_matrix((X @ w).tolist())


def floats(matrix):
    return np.array([[int(value.p) / int(value.q) for value in row] for row in matrix.tolist()])


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 5))
def test_eigenvalues_contain_those_of_numpy_in_order(seed, d):
    X, _, x, _ = exact(seed, n=d + 3, d=d)
    found = eigenvalues(exact_gram(x))
    np.testing.assert_allclose([float(v) for v in found], np.linalg.eigvalsh(X.T @ X / len(X)), rtol=1e-9)
    assert len(found) == d and all(v.rad() < 1e-50 for v in found)


def test_multiple_eigenvalues_count():
    found = eigenvalues(exact_matrix([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -1.0]]))
    assert [float(value) for value in found] == [-1.0, 2.0, 2.0]


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_exact_descent_is_that_of_numpy_and_contracts(seed):
    X, Y, x, y = exact(seed)
    spectrum = np.linalg.eigvalsh(X.T @ X / len(X))
    rate = 1 / spectrum[-1]
    w = np.zeros((3, 1))
    for _ in range(6):
        w = w - rate * X.T @ (X @ w - Y) / len(X)
    step = fmpq(*float(rate).as_integer_ratio())
    path = exact_descent(x, y, step, 6)
    np.testing.assert_allclose(floats(path[-1]), w, rtol=1e-9, atol=1e-9)
    query = exact_matrix([[1.0, 2.0, -1.0]])
    answer = (query * path[-1])[0, 0]
    found = contraction(x, path[-1], least_squares(x, y), step, 6, query, answer)
    assert found.holds and float(found.kappa) == pytest.approx(spectrum[-1] / spectrum[0], rel=1e-8)
    # With a step of 1/lambda_max the factor is 1 - 1/kappa (to the rounding of the step).
    assert float(found.factor) == pytest.approx(1 - spectrum[0] / spectrum[-1], abs=1e-9)
    off = contraction(x, path[-1] * 5 + path[0], least_squares(x, y), step, 60, query, answer)
    assert not off.holds
    far = contraction(x, path[-1], least_squares(x, y), step, 6, query, answer + 100)
    assert not far.holds


def test_singular_data_has_no_condition_number():
    x, y = exact_matrix([[1.0, 2.0]]), exact_matrix([[1.0]])
    assert least_squares(x, y) is None
    w = exact_descent(x, y, fmpq(1, 10), 3)[-1]
    found = contraction(x, w, None, fmpq(1, 10), 3, exact_matrix([[1.0, 1.0]]), fmpq(0))
    assert found.measured is None and not found.holds and not found.kappa.is_finite()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 64), st.integers(1, 40), st.floats(1e-6, 0.5), st.floats(0.5, 4))
def test_examples_needed_solve_the_bound_on_the_condition_number(d, T, eps, t):
    with mpmath.workdps(60):

        def error(n):
            gap = mpmath.sqrt(n) - mpmath.sqrt(d) - t
            kappa = ((mpmath.sqrt(n) + mpmath.sqrt(d) + t) / gap) ** 2
            return (1 - 1 / kappa) ** T if gap > 0 else mpmath.inf

        n = examples_needed(d, T, eps, t)
        slack = 1 + mpmath.mpf(2) ** -30
        assert error(mpmath.ceil(n * slack)) <= eps
        assert error(mpmath.floor((n - 1) / slack)) > eps * (1 - mpmath.mpf(2) ** -20)


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
    assert set(LoopedProblem.meanings) == set(problem.as_dict())


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
    with pytest.raises(ProblemError, match="overflows"):
        LoopedProblem(eta=1e6, T=500)
    assert LoopedProblem(eta=1e-6, T=500).eta == 1e-6
