"""The constants of the lemmas; the ladder: every rung below the one before, its heads those of its bound."""

import math
from dataclasses import replace

import pytest

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.claims import letters
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.published_claims import lemma_claims
from icgd.bounds.relu_icgd import built, claims, local_tolerance
from icgd.bounds.step_error.plan import plan
from icgd.verify.published_ladder import constants_of_lemmas, ladder
from icgd.verify.results import Sandwich
from icgd.verify.search.prompts import seeded
from tests.printed_lemmas import as_printed

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


NAMES = {"E_{r'}": None, "E_l": None, "nu_2": "norm, Lemma 2", "nu_3": "norm, Lemma 3", "nu_7": "norm, C.7"}


@pytest.mark.parametrize("problem", [Problem(), Problem(N=3, K=2, d=3, B_v=1.7, B_x=0.8, B_y=1.3)])
def test_the_printed_constants_stand_beside_the_repaired_ones(problem):
    table = {row[0]: row[1:] for row in constants_of_lemmas(problem).rows}
    for name, value in as_printed(problem).items():
        shown = NAMES.get(name, name.replace("{r'}", "r'").replace("epsilon", "eps"))
        # The grid of `as_printed` misses a maximum by less than 1e-7 of it; powers multiply this.
        assert table[shown][0] == pytest.approx(value, rel=1e-5), name
    repaired = published(problem, repaired=True)
    for name in ("B_l", "B_s", "E_s^r", "C_l", "C_r", "heads"):
        assert table[name][1] == repaired[name] >= table[name][0]
    # P^2 in place of P^(3/2) is the whole repair where rows of norm B_v = 1 leave R_1 and B_r as printed.
    if problem == Problem():
        assert [f"{table[name][0]:.6g}" for name in ("C_l", "C_r", "C_r'")] == [
            "33.9411",
            "12536.5",
            "950.352",
        ]
        for name in ("C_l", "C_r'"):
            assert table[name][1] / table[name][0] == pytest.approx(math.sqrt(2), rel=1e-3)


def test_a_symbol_of_the_lemmas_means_nothing_else_in_the_claims():
    """Our masking offset was once a B_s, too, which Lemma 6 has for the bound on s(j)."""
    problem = Problem()
    shown = {row[0] for row in constants_of_lemmas(problem).rows}
    of_lemmas = set(published(problem, repaired=True).constants.items())
    for claim in (*claims(problem), *built(problem, "paper"), *built(problem, "lean")):
        ours = {symbol for symbol in claim.constants if symbol not in letters(problem)}
        assert not shown & {str(symbol).replace("{r'}", "r'") for symbol in ours}, claim.key
    for claim in lemma_claims(problem):
        assert set(claim.constants.items()) <= of_lemmas


def test_constants_that_are_not_finite_have_no_table():
    assert constants_of_lemmas(replace(PROBLEM, activation=ACTIVATIONS["relu"])) is None
    assert "C(k) is never given" in constants_of_lemmas(PROBLEM).note
