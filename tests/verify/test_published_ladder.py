"""The ladder: every rung below the one before, its heads those of the bounds that it names."""

from dataclasses import replace

import pytest

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.relu_icgd import built, claims, local_tolerance
from icgd.bounds.step_error.plan import plan
from icgd.verify.published_ladder import ladder
from icgd.verify.results import Sandwich
from icgd.verify.search.prompts import seeded

PROBLEM = Problem(N=2, K=3, eps=0.1)


def rows(problem, certified=False):
    planned = plan(problem, "paper")
    sandwich = Sandwich(1e-3, 2e-3, problem.eta * planned.bound, problem.eta * problem.eps)
    return {row[0]: row[1:] for row in ladder(planned, sandwich, certified, seeded(0)).rows}


@pytest.mark.parametrize(
    "problem", [PROBLEM, Problem.parse({"N": 2, "K": 3, "eps": 0.1, "loss": "logistic"})]
)
def test_the_rungs_descend(problem):
    found = rows(problem)
    units = [row[0] for row in found.values() if row[0] is not None]
    descending = ["plain recurrence", "cells, equal local errors", "attacked, every sign free"]
    assert units[:2] == sorted(units[:2]) and units[1] > found[descending[0]][0]
    assert [found[name][0] for name in descending] == sorted(
        (found[name][0] for name in descending), reverse=True
    )
    heads = [found[name][2] for name in ("the paper's lemmas, repaired", "plain recurrence",
                                         "cells, equal local errors", "cells, best division of eps",
                                         "paper, as built: bound", "lean, as built: bound")]  # fmt: skip
    assert heads == sorted(heads, reverse=True)
    assert all(row[1] is None or row[1] <= problem.eps * (1 + 1e-12) for row in found.values())


def test_rungs_are_the_numbers_that_they_name():
    found = rows(PROBLEM)
    made = published(PROBLEM)
    assert found["the paper's lemmas, as printed"] == (made.per_unit, PROBLEM.eps, made["heads"])
    plain = next(claim.value for claim in claims(PROBLEM) if claim.quantity == "heads")
    assert found["plain recurrence"] == (local_tolerance(PROBLEM).C, PROBLEM.eps, plain)
    assert found["paper, as built: bound"][1] == plan(PROBLEM, "paper").bound
    lean = next(claim.value for claim in built(PROBLEM, "lean") if claim.quantity == "heads")
    assert found["lean, as built: bound"][2] == lean


def test_a_bound_is_called_certified_only_where_it_is():
    assert "paper, as built: certified" in rows(PROBLEM, certified=True)
    assert "paper, as built: certified" not in rows(PROBLEM)


def test_there_is_no_ladder_without_the_hypotheses():
    planned = plan(PROBLEM, "paper")
    kinked = replace(planned, problem=replace(PROBLEM, activation=ACTIVATIONS["relu"]))
    assert ladder(kinked, Sandwich(0, 0, None, 0.1), False, seeded(0)) is None
    straight = rows(replace(PROBLEM, activation=ACTIVATIONS["identity"]))
    assert "attacked, every sign free" not in straight and straight["plain recurrence"][0] is None
