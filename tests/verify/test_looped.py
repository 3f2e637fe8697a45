"""Verdicts on the looped block: undamaged weights keep the claims, and damage is caught."""

from dataclasses import replace

import pytest
import torch
from flint import arb, fmpq, fmpq_mat

from icgd.bounds.looped import LoopedProblem, claims
from icgd.construct.looped import LoopedTransformer, build
from icgd.verify import looped
from icgd.verify.linear_attention.condition import condition_numbers, judge_condition, judge_failure
from icgd.verify.looped import verify
from icgd.verify.search.prompts import seeded

PROBLEM = LoopedProblem(d=3, n=40, T=6)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(looped, "_SIMULATED", 500)


def status(found):
    return {verdict.claim.removeprefix("looped/"): verdict.status for verdict in found.verdicts}


def test_honest_weights_keep_every_claim():
    found = verify(PROBLEM)
    judged = status(found)
    assert judged["steps"] == "proved" and judged["contraction"] == "proved on given prompts"
    assert judged["rounding"] == judged["condition"] == judged["examples"] == "held"
    assert judged["parameters"] == "counted"
    assert judged["failure"] == "held"
    assert judged["examples-before"] == "inapplicable"  # its constant is assumed: compared, never judged
    assert len(found.grids[0].rows) == 3 and len(found.plots[0].curves) == 3
    assert {v.claim: v.numbers for v in verify(PROBLEM, prompts=5).verdicts}["looped/rounding"][
        "prompts"
    ] == 5


@pytest.mark.parametrize(
    ("letters", "claim", "expected"),
    [
        ({"n": 2}, "contraction", "inapplicable"),
        ({"n": 12}, "condition", "vacuous"),
        ({"n": 12}, "failure", "vacuous"),
        ({"n": 12}, "contraction", "inapplicable"),
        ({"eta": 9.0}, "contraction", "inapplicable"),
        ({"eta": 0.1}, "examples", "inapplicable"),
        ({"t": 0.5, "n": 60}, "condition", "vacuous"),
        ({"T": 1}, "examples", "inapplicable"),
    ],
)
def test_hypotheses_that_fail_are_named(letters, claim, expected):
    judged = status(verify(LoopedProblem(**{"d": 3, "n": 40, "T": 6, **letters})))
    assert judged[claim] == expected and judged["steps"] == "proved"
    assert "failed" not in judged.values()


def wrong_sign(transformer):
    transformer.Q *= -1


def n_plus_one_for_n(transformer):
    transformer.Q *= 40 / 41


def one_entry(transformer):
    transformer.Q[0, 0] *= 1 + 2**-40


def labels_attended(transformer):
    transformer.Q[3, 3] = 1e-9


def inputs_written(transformer):
    transformer.P[0, 3] = 1e-7


@pytest.mark.parametrize("damage", [wrong_sign, n_plus_one_for_n, one_entry, labels_attended, inputs_written])
def test_damaged_weights_are_caught(damage):
    transformer = build(PROBLEM)
    damage(transformer)
    judged = status(verify(PROBLEM, transformer=transformer))
    assert judged["steps"] == "failed"
    if damage in (wrong_sign, n_plus_one_for_n, inputs_written):
        assert judged["rounding"] == "failed"
    if damage is wrong_sign:
        assert judged["contraction"] == judged["examples"] == "failed"


def given(letters, seed=0):
    problem = LoopedProblem(**letters)
    found = looped._steps(
        build(problem), problem, looped.draw_regressions(problem, 3, seeded(seed)), lambda done: None
    )[1]
    return problem, found, {claim.key: claim.value for claim in claims(problem)}["looped/contraction"]


@pytest.mark.parametrize("letters", [{"eta": 1e-9}, {"eta": 0.01, "T": 2}, {"eta": 0.6}, {}])
def test_no_bound_on_the_error_is_false(letters):
    problem, found, claimed = given({"T": 10, **letters})
    verdict = looped._contraction(problem, found, claimed)
    assert verdict.said == "proved on given prompts by balls" and "given prompts" in verdict.evidence
    assert all(float(item.measured) <= claimed**2 for item in found)
    if letters:  # what was claimed before: the step of the bound, whatever the step in use
        before = (1 - 1 / looped.condition_bound(problem.d, problem.n, problem.t)) ** problem.T
        wrong = looped._contraction(problem, found, before)
        assert wrong.status == ("failed" if problem.eta < 0.1 else "proved on given prompts")


def test_a_bound_that_is_exceeded_is_proved_nowhere():
    problem, found, claimed = given({"eta": 0.5})
    slow = {"factor": arb(0.9995), "measured": fmpq(9, 10)}  # 1 - eta lambda at lambda = 1/1000
    outside = replace(found[0], smallest=arb(1) / 1000, **slow)
    verdict = looped._contraction(problem, [outside, *found[1:]], claimed)
    assert verdict.status == "inapplicable" and "its hypothesis fails" in verdict.evidence
    inside = replace(found[0], **slow)
    assert looped._contraction(problem, [inside, *found[1:]], claimed).status == "failed"


class Unmasked(LoopedTransformer):
    """The query's label takes part, and n + 1 tokens are counted."""

    def literal(self, H):
        Z = H.mT
        return (Z + self.P @ Z @ (Z.mT @ self.Q @ Z) / (H.shape[1] - 1)).mT


def test_a_missing_mask_is_caught():
    judged = status(verify(PROBLEM, transformer=Unmasked(PROBLEM.rate, 3)))
    assert judged["rounding"] == "failed"


def test_the_probability_bound_can_fail():
    kappas = condition_numbers(40, 3, 500, seeded(0))
    assert judge_condition(kappas, 9.0, 0.1).status == "held"
    assert judge_condition(kappas, float(kappas.median()), 0.1).status == "failed"
    assert judge_failure(kappas, 9.0, 0.1).status == "held"
    assert judge_failure(kappas, float(kappas.median()), 0.1).status == "failed"
    X = torch.randn(500, 40, 3, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(kappas, torch.linalg.cond(X) ** 2, rtol=1e-9, atol=0)


def test_only_the_block_of_descent_is_proved_for_every_prompt():
    P, Q, rate = fmpq_mat(3, 3), fmpq_mat(3, 3), fmpq(1, 3)
    P[2, 2], Q[0, 0], Q[1, 1] = 1, -rate, -rate
    assert looped._is_descent(P, Q, rate) and not looped._is_descent(P, Q, rate / 2)
    for matrix in (P, Q):
        for i in range(3):
            for j in range(3):
                was = matrix[i, j]
                matrix[i, j] = was + fmpq(1, 2**40)
                assert not looped._is_descent(P, Q, rate)
                matrix[i, j] = was
