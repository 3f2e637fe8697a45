"""Plans: the error stays within eps, and the division of the tolerance is better than an even one."""

import math
import multiprocessing
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error import plan as module
from icgd.bounds.step_error.budget import approximated, from_z
from icgd.bounds.step_error.cover import COVER_SLACK, cover
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.product import Product
from icgd.bounds.step_error.recurrence import ranges, step_error_bound
from icgd.bounds.step_error.worst_case import Setting
from icgd.verify.strategies import problems
from tests.rounding import exactly, gamma

SMOOTH = ("tanh", "sigmoid", "softplus", "gelu", "sin", "identity")
CASES = [
    ({"N": 1, "K": 1}, "lean"),
    ({"N": 3, "K": 4, "d": 2}, "lean"),
    ({"N": 2, "K": 3, "loss": "logistic"}, "lean"),
    ({"N": 2, "K": 3, "loss": "logistic", "output": "linear"}, "paper"),
    ({"N": 3, "K": 2, "activation": "sin", "loss": "huber"}, "lean"),
    ({"N": 3, "K": 2, "activation": "sigmoid", "output": "linear"}, "lean"),
    ({"N": 2, "K": 3, "eps": 0.2}, "paper"),
    ({"N": 2, "K": 2, "activation": "identity"}, "lean"),
]


def problem_of(letters):
    return Problem.parse({"eps": 1e-2, **letters})


@pytest.mark.parametrize(("letters", "construction"), CASES)
def test_the_promise_is_kept_and_used_up(letters, construction):
    problem = problem_of(letters)
    made = plan(problem, construction)
    assert made.bound <= problem.eps
    if made.fits and problem.activation.name == "tanh":
        assert made.bound >= 0.4 * problem.eps  # nothing is wasted, but for whole pieces
    for term, fitted in made.fits.items():
        assert fitted.error <= made.tolerances[term]
    for term, product in made.products.items():
        assert product.error <= made.tolerances.get(term, 1e-9)
    assert made.units >= made.fewest_units - len(made.fits) * max(problem.dims)


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=12,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    problems(max_N=3, min_eps=1e-2, max_radius=1.25, activations=SMOOTH), st.sampled_from(["lean", "paper"])
)
def test_the_promise_is_kept_on_random_problems(problem, construction):
    made = plan(problem, construction)
    assert made.bound <= problem.eps
    assert set(made.fits) == set(approximated(problem, construction))


@pytest.mark.parametrize(("letters", "construction"), CASES)
def test_certified_does_not_rely_on_tolerances_but_on_certified_errors(letters, construction):
    problem = problem_of(letters)
    made = plan(problem, construction)
    for term, fitted in made.fits.items():
        assert made.errors[term] > fitted.error  # rounding on top
    again = Setting(problem, ranges(problem, made.errors), from_z(problem, construction))
    assert cover(again, made.errors).bound == pytest.approx(made.bound, rel=0.05)
    found = cover(made.setting, made.errors).bound
    assert found <= made.bound <= found * 1.001
    assert made.bound <= made.recurrence * (1 + COVER_SLACK)


@pytest.mark.parametrize(("letters", "construction"), CASES)
def test_suprema_alone_certify_the_other_route(letters, construction):
    problem = problem_of(letters)
    made = plan(problem, construction, "recurrence")
    reads = from_z(problem, construction)
    assert made.cover is None
    assert made.bound == made.recurrence <= problem.eps
    assert made.bound == step_error_bound(problem, made.layers, made.errors, from_z=reads)


@pytest.mark.parametrize(("letters", "construction"), CASES)
@pytest.mark.parametrize("route", ["cells", "recurrence"])
def test_the_ledger_adds_up(letters, construction, route):
    made = plan(problem_of(letters), construction, route)
    assert sum(made.contributions.values()) == pytest.approx(made.bound, rel=1e-8)
    assert set(made.contributions) == {term for term, error in made.errors.items() if error > 0}
    assert min(made.contributions.values(), default=0) >= -1e-6 * made.bound


def test_exact_constructions_need_no_cells():
    made = plan(Problem.parse({"activation": "relu"}), "exact")
    assert made.cover is None and made.route == "recurrence"


@pytest.mark.parametrize(("letters", "construction"), CASES[:7])
def test_beats_the_best_plan_with_one_tolerance_for_all(letters, construction):
    problem = problem_of(letters)
    made = plan(problem, construction, "recurrence")
    names = list(made.tolerances)

    def uniform(e):
        return module._make(problem, construction, dict.fromkeys(names, e), "recurrence", lambda term: None)

    low, high = 0.0, problem.eps
    for _ in range(40):  # the largest tolerance that the recurrence allows
        middle = (low + high) / 2
        errors = dict.fromkeys(names, middle)
        reached = step_error_bound(
            problem, ranges(problem, errors), errors, from_z=from_z(problem, construction)
        )
        low, high = (middle, high) if reached <= problem.eps else (low, middle)
    even = uniform(low)
    assert even.bound <= problem.eps * 1.001
    # With a handful of pieces, whole numbers decide; otherwise there are savings.
    assert made.units <= even.units + (2 if len(names) < 4 else 0)


def test_saves_much_on_deep_networks():
    problem = Problem(N=4, K=4, d=2, eps=1e-2)
    made = plan(problem)
    shares = np.array([made.contributions[term] for term in made.tolerances])
    assert shares.max() / shares.min() > 3  # far from an even share each


def test_finer_tolerances_cost_more():
    units = [plan(Problem(N=2, K=2, eps=eps)).units for eps in (1e-1, 1e-2, 1e-3, 1e-4)]
    ratios = np.array(units[1:]) / units[:-1]
    assert (ratios > 2.5).all() and (ratios < 4).all()  # sqrt(10) each


@settings(deadline=None, max_examples=40)
@given(
    st.floats(-3, 3),
    st.floats(0, 4),
    st.floats(0.01, 50),
    st.floats(-5, -0.3).map(lambda e: 10**e),
)
def test_products(low, width, radius, tolerance):
    high = low + width
    product = Product.within(low, high, radius, tolerance)
    assert product.error <= tolerance * (
        1 + float(gamma(4))
    )  # what the squares leave is taken off, and added
    x, g = (
        axis.ravel() for axis in np.meshgrid(np.linspace(low, high, 41), np.linspace(-radius, radius, 41))
    )
    found = product.centre * g
    if product.square:
        rho = product.a * (x - product.centre)
        squares = product.square.relus
        found = found + (squares(rho + product.b * g) - squares(rho - product.b * g)) / 4
    # Where floats see the largest error, over the rationals.
    worst = int(np.abs(found - x * g).argmax())
    assert abs(multiplied(product, *(Fraction(axis[worst]) for axis in (x, g)))) <= Fraction(product.error)


def multiplied(product, x, g):
    """How far the product is from x g."""
    if product.square is None:
        return (Fraction(product.centre) - x) * g
    rho, other = Fraction(product.a) * (x - Fraction(product.centre)), Fraction(product.b) * g
    squares = [exactly(product.square.relus, t) for t in (rho + other, rho - other)]
    return Fraction(product.centre) * g + (squares[0] - squares[1]) / 4 - x * g


def test_a_constant_factor_needs_no_square():
    product = Product.within(1.0, 1.0, 5.0, 0.0)
    assert product.square is None and product.centre == 1.0 and product.units == 1


def _refused(eps, connection):
    try:
        plan(Problem(N=3, eps=eps))
    except ProblemError as error:
        connection.send((error.field, str(error)))


@pytest.mark.parametrize("eps", [1e-9, 1e-12])
def test_tolerances_below_float64_are_refused_at_once(eps):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_refused, args=(eps, theirs), daemon=True)
    process.start()
    field, message = ours.recv() if ours.poll(300) else ("", "neither refused nor planned")
    process.kill()
    process.join()
    assert field == "eps" and "raise eps" in message, message


def test_plans_are_kept():
    problem = Problem(N=1, eps=0.1)
    assert plan(problem) is plan(Problem(N=1, eps=0.1))
    assert math.isfinite(plan(problem).bound)


shrunk = st.one_of(st.just(1.0), st.floats(0.5, 1), st.floats(-9, 0).map(lambda power: 10**power))


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(problems(max_N=3, max_K=3, max_d=2, max_n=2, min_eps=1e-2, activations=SMOOTH), shrunk, shrunk, shrunk)
def test_a_plan_is_never_worse_than_that_of_a_problem_that_contains_it(problem, x, y, v):
    radii = {"B_x": x * problem.B_x, "B_y": y * problem.B_y, "B_v": v * problem.B_v}
    inside = replace(problem, **{name: max(radius, 1e-12) for name, radius in radii.items()})
    for construction in ("lean", "paper"):
        assert plan(inside, construction).units <= plan(problem, construction).units


@pytest.mark.parametrize(
    ("letters", "most"),
    [
        ({"N": 2, "K": 2, "d_out": 1, "n": 2, "eps": 0.5, "B_v": 0.001}, 31),  # 31 do for B_v = 1
        ({"B_v": 1e-9, "B_x": 1e3, "B_y": 1e3, "eps": 1e5}, 40),
        ({"activation": "t+t**2/1e12"}, 70),
        ({"activation": "1"}, 0),
        ({"activation": "1e-12*t"}, 10),
    ],
    ids=str,
)
def test_tiny_ranges_need_no_more_than_ordinary_ones(letters, most):
    made = plan(Problem.parse(letters))
    assert made.fewest_units <= made.units <= most and made.bound <= made.problem.eps


@pytest.mark.parametrize(
    ("letters", "reason"),
    [
        ({"N": 6, "B_v": 3.0}, "eps = 0.05: rounding in float64 alone reaches"),
        ({"N": 1, "eps": 1e-9}, "eps = 1e-09: rounding in float64 alone reaches"),
        ({"N": 1, "eps": 1e-4, "precision": "float32"}, "eps = 0.0001: rounding in float32 alone reaches"),
        ({"activation": "tanh(1e8*t)"}, "eps = 0.05: rounding in float64 alone reaches"),
        ({"N": 1000}, "N = 1000: networks of up to 256 layers are supported"),
    ],
    ids=str,
)
def test_what_floats_cannot_hold_is_refused_before_anything_is_fitted(letters, reason, monkeypatch):
    monkeypatch.setattr("icgd.bounds.step_error.plan.fit", lambda *_: pytest.fail("a function was fitted"))
    with pytest.raises(ProblemError, match=re.escape(reason)):
        plan(Problem.parse(letters))


def test_where_the_budget_goes_is_a_number_even_if_nothing_is_spent():
    made = plan(Problem(B_x=0.01, B_v=0.01, B_y=0.01))
    shares = list(made.contributions.values())
    assert all(math.isfinite(share) and share >= 0 for share in shares)
    assert sum(shares) == pytest.approx(made.bound)


@pytest.mark.parametrize(
    "letters",
    [{"B_x": 1e-8, "B_v": 1e-8, "B_y": 1e-8}, {"B_v": 1e-12}, {"activation": "tanh(1e-8*t)"}],
    ids=str,
)
def test_what_is_nearly_linear_is_estimated_as_nothing(letters):
    problem = Problem.parse(letters)
    assert plan(problem).units <= plan(Problem()).units and module.estimated_units(problem) < 100
