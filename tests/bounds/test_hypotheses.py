"""The hypotheses of Theorem 1: their verdicts on given problems, and what still holds if one fails."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.hypotheses import hypotheses
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import ranges
from icgd.verify.descent import descend
from icgd.verify.search.prompts import random_prompts, seeded, start
from tests.rounding import gamma

NAMES = [
    "r-smooth", "r-lipschitz", "slope-lipschitz", "u-smooth", "radii", "start", "equal-sizes", "projection",
    "projection-width",
]  # fmt: skip


def judged(**letters):
    return {one.name: one for one in hypotheses(Problem.parse(letters))}


def test_the_default_problem():
    found = judged()
    assert list(found) == NAMES
    assert [name for name in NAMES if found[name].status != "holds"] == ["start", "projection-width"]
    assert "64" in found["projection-width"].why  # two units for each of 32 weights
    assert "|r''| <= 0.7698" in found["slope-lipschitz"].why  # 4 / (3 sqrt 3), at tanh z = 1 / sqrt 3


@pytest.mark.parametrize(
    "letters, failing",
    [
        ({"activation": "relu"}, {"r-smooth", "slope-lipschitz", "start"}),
        ({"activation": "Max(t,t/10)"}, {"r-smooth", "slope-lipschitz", "start"}),
        ({"activation": "Max(-1,Min(1,t))"}, {"r-smooth", "slope-lipschitz", "start"}),
        ({"activation": "t*Abs(t)/2"}, {"r-smooth", "start"}),
        (
            {"activation": "relu", "B_x": 1e-3, "loss": "huber"},
            {"r-smooth", "slope-lipschitz", "start", "u-smooth"},
        ),
        ({"activation": "sigmoid", "loss": "huber"}, {"u-smooth"}),
        ({"activation": "sigmoid", "loss": "logistic"}, set()),
        ({"activation": "softplus", "d_out": 1}, {"equal-sizes"}),
        ({"activation": "tanh", "N": 1}, set()),
        ({"activation": "t**2", "N": 1}, {"start"}),
        ({"activation": "relu", "N": 1, "output": "linear"}, set()),
        ({"activation": "1/t", "N": 1}, {"r-smooth", "start"}),
        ({"activation": "sqrt(t)", "N": 1}, {"r-smooth"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "-".join(sorted(value)),
)
def test_which_fail(letters, failing):
    found = judged(**letters)
    assert {name for name in NAMES if found[name].status == "fails"} == failing | {"projection-width"}


def test_what_still_holds_is_said():
    assert "exact" in judged(activation="relu")["r-smooth"].still
    assert "nothing is certified" in judged(activation="Max(t,t/10)")["slope-lipschitz"].still
    assert "continuous" in judged(activation="t*Abs(t)/2")["r-smooth"].still
    assert "exactly" in judged(loss="huber")["u-smooth"].still
    assert "derivative 2 of t*Abs(t)/2 jumps by 2 at 0" in judged(activation="t*Abs(t)/2")["r-smooth"].why
    assert "jumps by 9/10" in judged(activation="Max(t,t/10)")["slope-lipschitz"].why


def test_what_cannot_be_settled_is_undecided():
    found = judged(activation="exp(t)", B_v=9)  # exp(exp(exp(9))) leaves the floats
    assert found["r-smooth"].status == found["r-lipschitz"].status == "undecided"
    assert judged(activation="Max(0,t)**6", B_v=0.5)["r-smooth"].status == "undecided"
    assert judged(activation="relu", N=1)["start"].status == "undecided"


problems = st.fixed_dictionaries(
    {
        "N": st.integers(1, 3),
        "K": st.integers(1, 3),
        "d": st.integers(1, 3),
        "d_out": st.integers(1, 3),
        "B_v": st.sampled_from([0.5, 1.0, 2.0]),
        "activation": st.sampled_from(
            ["tanh", "sigmoid", "softplus", "gelu", "sin", "relu", "t**2", "cos(t)"]
        ),
        "loss": st.sampled_from(["squared", "logistic", "huber"]),
        "output": st.sampled_from(["activated", "linear"]),
    }
)


@given(problems)
@settings(max_examples=40, deadline=None)
def test_judgements_agree_with_the_network(letters):
    """The start against one step of descent, the constants against differences of r on a grid."""
    problem = Problem.parse(letters)
    found = {one.name: one for one in hypotheses(problem)}
    assert all(bool(one.still) <= (one.status != "holds") for one in found.values())
    prompt = random_prompts(problem, 8, seeded(0))
    path = descend(problem, prompt.with_weights(start(problem, "zero", 8, seeded(0))), 1)
    if found["start"].status == "fails":
        assert float(path[-1].abs().max()) == 0
    elif found["start"].status == "holds" and problem.loss.name != "logistic":
        assert float(path[-1].abs().max()) > 0
    radius = max(layer.z for layer in ranges(problem, {}))
    grid = np.linspace(-radius, radius, 401)
    hidden = {problem.activation_at(j) for j in range(1, problem.N + 1)}
    steepest = max(np.abs(np.diff(one.r(grid)) / np.diff(grid)).max() for one in hidden)
    size = max(np.abs(one.r(grid)).max() for one in hidden)
    rounding = 2 * float(gamma(16)) * size / np.diff(grid).min()  # of values, in their quotients
    allowed = float(found["r-lipschitz"].why.split("<= ")[1].split(" ")[0])
    assert steepest <= allowed * (1 + 5e-6) + rounding  # six digits are printed
    assert math.isfinite(allowed)
    jumping = {one.name for one in hidden} & {"relu"}
    assert (found["slope-lipschitz"].status == "fails") == bool(jumping)
