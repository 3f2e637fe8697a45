"""Functions of a network as ReLUs, against the functions themselves."""

import numpy as np
import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term

POINTS = np.linspace(-1.5, 1.5, 301)


@pytest.mark.parametrize("kind", ["r", "dr"])
@pytest.mark.parametrize(("activation", "output"), [("identity", "activated"), ("tanh", "linear")])
def test_lines_and_constants_need_no_fit(kind, activation, output):
    problem = Problem.parse({"activation": activation, "output": output, "N": 2, "K": 2})
    found = activation_relus(problem, {}, Term(kind, 2), 1.5)
    assert found.units == (kind == "r")
    np.testing.assert_array_equal(found(POINTS), POINTS if kind == "r" else 1.0)


@pytest.mark.parametrize("kind", ["r", "dr"])
def test_what_bends_is_the_planned_fit(kind):
    problem = Problem(N=2, K=2, eps=0.2)
    fits = plan(problem, "paper").fits
    term = Term(kind, 1)
    assert activation_relus(problem, fits, term, 1.5) is fits[term].relus


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_loss_slopes_made_of_lines_are_exact(loss):
    problem = Problem.parse({"loss": loss})
    np.testing.assert_array_equal(slope_relus(problem, {})(POINTS), problem.loss.phi(POINTS))


def test_a_loss_slope_that_bends_is_the_planned_fit():
    problem = Problem.parse({"N": 1, "loss": "logistic", "eps": 0.2})
    made = plan(problem)
    assert slope_relus(problem, made.fits) is made.fits[Term("u", 1)].relus
