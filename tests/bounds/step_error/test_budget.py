"""Division of the tolerance: which errors cost units, and that no other division is cheaper."""

import math

import numpy as np
import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import (
    approximated,
    costs,
    divide,
    expected_rounding,
    from_z,
    radius,
    sensitivities,
    shares,
)
from icgd.bounds.step_error.cover import cover
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term, ranges, step_error_bound
from icgd.bounds.step_error.worst_case import Cells, Setting

CASES = [
    ({"N": 1, "K": 1}, "lean"),
    ({"N": 3, "K": 4, "d": 2}, "lean"),
    ({"N": 2, "K": 3, "loss": "logistic"}, "lean"),
    ({"N": 2, "K": 3, "loss": "logistic", "output": "linear"}, "paper"),
    ({"N": 3, "K": 2, "activation": "sin", "loss": "huber"}, "lean"),
    ({"N": 2, "K": 3, "eps": 0.2}, "paper"),
    ({"N": 2, "K": 2, "activation": "identity"}, "lean"),
]


def problem_of(letters):
    return Problem.parse({"eps": 1e-2, **letters})


def price_of(problem, construction):
    layers = ranges(problem, divide(problem, construction, "recurrence"))
    return costs(problem, construction, layers, approximated(problem, construction))


def cost(price, errors):
    return sum(price[term] / math.sqrt(error) for term, error in errors.items())


def test_what_is_approximated():
    tanh = Problem(N=2)
    both = {Term(kind, j) for kind in ("r", "dr") for j in (1, 2)}
    assert set(approximated(tanh, "lean")) == set(approximated(tanh, "paper")) == both
    logistic = Problem.parse({"N": 2, "loss": "logistic"})
    assert set(approximated(logistic, "lean")) == both - {Term("r", 2)} | {Term("u", 2)}
    assert set(approximated(logistic, "paper")) == both | {Term("u", 2)}
    linear = Problem(N=2, output="linear")
    assert set(approximated(linear, "lean")) == {Term("r", 1), Term("dr", 1)}
    assert approximated(Problem.parse({"activation": "relu"}), "exact") == {}
    assert approximated(Problem.parse({"activation": "identity"}), "lean") == {}


def test_only_lean_reads_the_slope_off_z():
    logistic, squared = Problem.parse({"loss": "logistic"}), Problem()
    assert from_z(logistic, "lean")
    assert not (from_z(logistic, "paper") or from_z(squared, "lean") or from_z(squared, "exact"))
    layers = ranges(logistic, {})
    slope = Term("u", logistic.N)
    assert radius(logistic, "lean", layers, slope) == layers[-1].z
    assert radius(logistic, "paper", layers, slope) == layers[-1].r


@pytest.mark.parametrize(("letters", "construction"), CASES)
def test_sensitivities_sum_to_the_step_error(letters, construction):
    """Euler: a function that is homogeneous of degree one is the sum of its derivatives times arguments."""
    problem = problem_of(letters)
    made = plan(problem, construction, "recurrence")
    weights = sensitivities(problem, construction, made.layers, made.errors)
    assert sum(weights[term] * error for term, error in made.errors.items()) == pytest.approx(
        made.bound, rel=1e-8
    )
    assert sum(made.contributions.values()) == pytest.approx(made.bound, rel=1e-8)
    for term, error in made.errors.items():  # and they are the derivatives
        more = dict(made.errors) | {term: error * 1.001 + 1e-6}
        bounds = [
            step_error_bound(problem, made.layers, each, from_z=from_z(problem, construction))
            for each in (made.errors, more)
        ]
        slope = (bounds[1] - bounds[0]) / (more[term] - error)
        # The norm is convex: the derivative here is below the one a little further, and both are close.
        assert weights[term] <= slope * (1 + 1e-5) + 1e-7
        if bounds[0] > 1e-3:
            assert slope == pytest.approx(weights[term], rel=0.05, abs=0.01)


def test_shares_are_elasticities_of_the_bound():
    problem = Problem(N=2, K=3)
    errors = {Term("r", 1): 1e-3, Term("dr", 1): 2e-3, Term("product", 2): 1e-3, Term("dr", 2): 1e-9}
    setting = Setting(problem, ranges(problem, errors), False)
    points = Cells(np.array([[0.2, 0.5], [0.1, 0.3]]), np.array([[0.2, 0.5], [0.1, 0.3]]))
    found = shares(setting, points, errors)
    assert found.shape == (2, 4) and (found >= -1e-9).all()
    assert (found[:, 3] < 1e-4).all()  # what is tiny accounts for nothing
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0.02)  # homogeneous but for second order
    for k, term in enumerate(errors):
        more = setting.bound(points, errors | {term: errors[term] * 1.1})
        less = setting.bound(points, errors | {term: errors[term] / 1.1})
        np.testing.assert_allclose(found[:, k], np.log(more / less) / (2 * math.log(1.1)), atol=2e-3)


def test_costs_count_pieces():
    """About c / sqrt(error) units: what a certified fit spends at a small error."""
    problem = Problem(N=2, K=3, eps=1e-3)
    made = plan(problem)
    price = costs(problem, "lean", made.layers, approximated(problem, "lean"))
    for term, fitted in made.fits.items():
        expected = price[term] / problem.dims[term.layer] / math.sqrt(fitted.error)
        assert fitted.relus.units == pytest.approx(expected, abs=4, rel=0.1)
    for term, product in made.products.items():
        expected = price[term] / problem.dims[term.layer] / math.sqrt(product.error)
        assert product.units == pytest.approx(expected, abs=4, rel=0.1)


@pytest.mark.parametrize(("letters", "construction"), CASES[:-1])
@pytest.mark.parametrize("route", ["cells", "recurrence"])
def test_the_bound_is_about_eps(letters, construction, route):
    problem = problem_of(letters)
    errors = divide(problem, construction, route)
    reads, layers = from_z(problem, construction), ranges(problem, errors)
    setting = Setting(problem, layers, reads)
    found = (
        cover(setting, errors).reached
        if route == "cells"
        else step_error_bound(problem, layers, errors, from_z=reads)
    )
    assert found == pytest.approx(problem.eps, rel=0.1)
    assert set(errors) == set(price_of(problem, construction)) and min(errors.values()) > 0


def test_nothing_to_divide():
    for route in ("cells", "recurrence"):
        assert divide(Problem.parse({"activation": "identity"}), "lean", route) == {}
    assert expected_rounding(Problem.parse({"activation": "relu"}), "exact", {}) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("N", [2, 3, 4])
def test_cells_need_fewer_units_than_suprema(N):
    problem = Problem(N=N, K=3, eps=1e-2)
    price = price_of(problem, "lean")
    spent = [cost(price, divide(problem, "lean", route)) for route in ("cells", "recurrence")]
    assert spent[0] < spent[1] * 0.87
    units = [plan(problem, "lean", route).units for route in ("cells", "recurrence")]
    assert units[0] < units[1]
    assert units[0] == pytest.approx(spent[0], rel=0.2)


@pytest.mark.parametrize(
    "letters", [{"N": 2, "K": 3}, {"N": 2, "K": 2, "activation": "gelu"}, {"N": 2, "loss": "logistic"}]
)
def test_no_other_division_is_cheaper(letters):
    """A random search over divisions, every one scaled until its bound is eps, finds no saving above 1 %."""
    problem = problem_of(letters)
    price, start = price_of(problem, "lean"), divide(problem, "lean")
    terms = list(start)
    setting = Setting(problem, ranges(problem, start), from_z(problem, "lean"))

    def scaled(x):
        return x * problem.eps / cover(setting, dict(zip(terms, x, strict=True)), slack=0.01).bound

    def spent(x):
        return cost(price, dict(zip(terms, scaled(x), strict=True)))

    rng = np.random.default_rng(0)
    x = scaled(np.array(list(start.values())))
    best = ours = spent(x)
    size = 0.3
    for _ in range(120):
        other = x * np.exp(size * rng.standard_normal(len(x)) * (rng.uniform(size=len(x)) < 0.5))
        found = spent(other)
        if found < best:
            x, best, size = other, found, size * 1.5
        else:
            size = max(size * 0.95, 0.02)
    assert best >= 0.99 * ours
