"""Surveys against plans, claims and an independent descent."""

import math
from dataclasses import replace

import numpy as np
import pytest

import icgd.verify.survey.surveys as module
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import claims
from icgd.bounds.step_error.plan import plan
from icgd.verify.survey.surveys import depths, losses, sizes

PROBLEM = Problem(N=2, K=2, d=2, n=4, L=2, eps=0.2)


def curves(plot):
    return {curve.label: dict(zip(curve.x, curve.y, strict=True)) for curve in plot.curves}


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_sizes_are_those_of_plans_and_claims(construction):
    both, over = sizes(PROBLEM, construction, (4.0, 2.0))
    assert both.logarithmic == "xy" and over.logarithmic == "x"
    heads, theorem, units, fewest, ours = curves(both).values()
    assert sorted(units) == [0.2, 0.4, 0.8]
    for eps, count in units.items():
        one = replace(PROBLEM, eps=eps)
        made = plan(one, construction)
        assert (count, fewest[eps]) == (made.units, made.fewest_units) and fewest[eps] <= count
        assert heads[eps] == next(c.value for c in claims(one) if c.quantity == "heads")
        assert curves(over)[over.curves[0].label][eps] == made.units / made.fewest_units
    for law, exponent in ((theorem, -2), (ours, -0.5)):
        slope = math.log(law[0.2] / law[0.8]) / math.log(0.2 / 0.8)
        assert slope == pytest.approx(exponent, rel=1e-12)


def test_measured_slopes_are_those_of_the_laws():
    heads, _, units, _, _ = (curve.y for curve in sizes(PROBLEM, "lean", (2.0**-6, 2.0**-8))[0].curves)
    # x falls, so the last two points are the smallest tolerances, a factor of four apart
    assert math.log(heads[-1] / heads[-2]) / math.log(4) == pytest.approx(2, abs=0.02)
    assert math.log(units[-1] / units[-2]) / math.log(4) == pytest.approx(0.5, abs=0.05)


def test_a_refused_plan_is_left_out(monkeypatch):
    def choosy(problem, construction="lean"):
        if problem.eps > 0.5:
            raise ProblemError("eps", problem.eps, "not today")
        return plan(problem, construction)

    monkeypatch.setattr(module, "plan", choosy)
    assert [curve.x for curve in sizes(PROBLEM, factors=(4.0, 2.0))[0].curves] == [(0.4, 0.2)] * 5
    monkeypatch.setattr(module, "_MOST_UNITS", 1)
    assert sizes(PROBLEM, factors=(0.5,)) == () == depths(PROBLEM)


@pytest.mark.slow
def test_depths_keep_the_order_of_the_sandwich():
    (plot,) = depths(PROBLEM, over=(1, 2), seed=1)
    sampled, attacked, certified, allowed = (curve.y for curve in plot.curves)
    for row in zip(sampled, attacked, certified, allowed, strict=True):
        assert row[0] > 0 and list(row) == sorted(row)
    assert certified[1] == pytest.approx(plan(PROBLEM).bound, rel=1e-15)  # times eta, over eta
    assert allowed == pytest.approx((0.2, 0.2), rel=1e-15)
    assert plot.curves[0].x == (1.0, 2.0)
    assert depths(PROBLEM, over=(), seed=1) == ()  # one point is no curve


def test_networks_too_large_for_a_brief_attack_are_left_out():
    assert depths(replace(PROBLEM, K=40), over=(2, 3)) == ()


def test_losses_agree_with_descent_by_hand():
    problem = replace(PROBLEM, N=1, d=2, d_out=1, n=5, eta=0.3)
    loss, distance = losses(problem, seed=3)
    curve, exact = (one.y for one in loss.curves)
    assert curve[0] == exact[0] and len(curve) == 21 and len(distance.curves[0].x) == 20
    assert np.abs(np.subtract(curve, exact)).max() < 0.01 and curve[-1] < curve[0]
    prompt = module._real(problem, 3)
    x, y, w = prompt.x.numpy(), prompt.y.numpy()[..., 0], prompt.w.numpy()
    face = problem.B_v / math.sqrt(2)
    for expected in exact:
        p = np.tanh(np.einsum("bni,bi->bn", x, w))
        assert ((p - y) ** 2).sum(axis=1).mean() / 10 == pytest.approx(expected, rel=1e-12)
        slope = np.einsum("bn,bni->bi", (p - y) * (1 - p**2), x) / 5
        w = np.clip(w - 0.3 * slope, -face, face)


def test_data_of_too_few_columns_are_left_out():
    assert losses(replace(PROBLEM, d=11, d_out=1, N=1)) == ()


def test_functions_without_curvature_have_no_sizes():
    linear = Problem.parse({"N": 1, "d": 2, "n": 4, "activation": "identity"})
    assert sizes(linear) == ()
