"""The division of the tolerance for sampled features: within eps by cells, no worse than its neighbours."""

import math

import pytest

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.functions.random_features import feature_mass
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import approximated
from icgd.bounds.step_error.cover import cover
from icgd.bounds.step_error.recurrence import ranges
from icgd.bounds.step_error.sampled_division import largest_layer, sampled_division
from icgd.bounds.step_error.worst_case import Setting

PROBLEM = Problem(N=2, K=3, eps=0.1)


def bound(problem, errors):
    setting = Setting(problem, ranges(problem, errors), False)
    return cover(setting, errors, 0.002, enough=1e-9 * problem.eps).bound


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("loss, eps", [("squared", 0.1), ("logistic", 0.1), ("squared", 100.0)])
def test_the_bound_is_within_eps_and_uses_it_up(equal, loss, eps):
    """At a large eps the bound grows faster than the errors, as ranges grow with them."""
    problem = Problem(N=2, K=3, eps=eps, loss=LOSSES[loss])
    found = sampled_division(problem, equal=equal)
    assert set(found.errors) == set(approximated(problem, "paper"))
    assert bound(problem, found.errors) <= problem.eps * (1 + 1e-9) and found.bound >= 0.99 * problem.eps
    assert (len(set(found.errors.values())) == 1) == equal


def test_heads_are_counted_layer_by_layer():
    found = sampled_division(PROBLEM)
    layers = ranges(PROBLEM, found.errors)
    count = {
        term: PROBLEM.dims[term.layer]
        * (
            math.floor(
                2 * math.log(2) * (feature_mass(g, layers[term.layer - 1].z) / found.errors[term]) ** 2
            )
            + 1
        )
        for term, g in approximated(PROBLEM, "paper").items()
    }
    slopes = sum(number for term, number in count.items() if term.kind == "dr")
    assert found.largest == max(slopes, *(number for term, number in count.items() if term.kind == "r"))


def test_no_other_division_nearby_needs_fewer_heads():
    """Each error up or down by a tenth, then all scaled back to eps: the largest layer is never smaller."""
    best = sampled_division(PROBLEM)
    for term in best.errors:
        for factor in (0.9, 1.1):
            moved = {other: e * (factor if other == term else 1.0) for other, e in best.errors.items()}
            scale = PROBLEM.eps / bound(PROBLEM, moved)
            heads = largest_layer(PROBLEM, {other: scale * e for other, e in moved.items()})
            # Cells are tight to 2 %, of which heads see the square.
            assert heads >= best.largest * 0.96


def test_what_is_piecewise_linear_needs_no_features():
    assert sampled_division(Problem(activation=ACTIVATIONS["identity"])).largest == 0
