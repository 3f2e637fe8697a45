"""Verdicts on preconditioned descent: the theorems hold, and altered versions of them fail."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy
import torch
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.expected_loss import one_layer_loss
from icgd.bounds.preconditioned import AS_PUBLISHED, ONE_STEP, PreconditionedProblem, claims
from icgd.construct.preconditioned import attend, build
from icgd.verify.linear_attention.cubature import chi_square_rule, ensemble, normal_rule
from icgd.verify.linear_attention.step_sizes import Depth
from icgd.verify.linear_attention.trained import Training
from icgd.verify.linear_attention.training import train
from icgd.verify.preconditioned import (
    THEOREM,
    _critical_verdicts,
    _identities,
    _trained,
    _training_verdicts,
    judge_one_step,
    verify,
)
from icgd.verify.requests import Request
from icgd.verify.search.prompts import seeded
from tests.rounding import gamma

PROBLEM = PreconditionedProblem(n=6, L=2)
DEPTH = Depth(1, (0.5,), 0.5, 0.5, ())


def status(found):
    return {verdict.claim.removeprefix("preconditioned/"): verdict.status for verdict in found.verdicts}


def failed(found):
    return {claim for claim, found_status in status(found).items() if found_status == "failed"}


@pytest.fixture(scope="module")
def honest():
    return verify(PROBLEM)


def test_every_claim_is_kept(honest):
    found = status(honest)
    assert set(found.values()) <= {"proved", "counted", "held", "inapplicable"}
    for name in ("lemma-1", "theorem-1/global", "theorem-1/gradient", "theorem-3/stationary",
                 "theorem-3/one-step", "theorem-3/critical-point", "theorem-4/stationary",
                 "theorem-4/critical-point"):  # fmt: skip
        assert found[name] == "proved"
    said = {v.claim.removeprefix("preconditioned/"): v.said for v in honest.verdicts}
    assert said["theorem-4/critical-point"] == "proved by balls" and found["parameters"] == "counted"
    assert said["lemma-1"] == "proved by exact arithmetic"
    for name in ("lemma-1/model", "theorem-1/loss", "training/theorem-1", "training/theorem-3"):
        assert found[name] == "held"
    assert len(honest.plots) == 3 and len(honest.grids[0].rows) == PROBLEM.L
    assert {row[0] for row in honest.grids[1].rows} == {"Theorem 1", "Theorem 3", "Theorem 4"}
    assert all(curve.label.startswith("Theorem ") for plot in honest.plots[1:] for curve in plot.curves)


def test_for_inputs_on_the_sphere_every_announced_claim_is_judged_and_no_other():
    sphere = PreconditionedProblem(d=2, n=4, L=1, covariates="sphere")
    judged = THEOREM.attributed(verify(sphere).verdicts)
    announced = {one: Request(THEOREM, one).claim_keys() for one in (PROBLEM, sphere)}
    assert sorted(one.claim for one in judged) == sorted(announced[sphere])
    own = {one for one in announced[sphere] if one.startswith("preconditioned/sphere/")}
    assert {*announced[sphere]} - {*announced[PROBLEM]} == own and len(own) == 7
    told = {one.claim: (one.status, one.about) for one in judged}
    assert all(told[one] in (("proved", "icgd"), ("held", "icgd")) for one in own)
    of_normal_inputs = [one for one in told if "/theorem-" in one]
    assert of_normal_inputs and all(told[one][0] == "inapplicable" for one in of_normal_inputs)


def test_a_search_that_misses_is_no_counterexample():
    verdicts = {v.claim: v for v in _critical_verdicts(PROBLEM, [DEPTH, replace(DEPTH, L=2)])}
    verdict = verdicts["preconditioned/theorem-4/critical-point"]
    assert verdict.status == "inapplicable" and "L = 2: not decided" in verdict.evidence


def test_sizes_beyond_those_shown_are_not_proved():
    far = {v.claim: v for v in _identities(PreconditionedProblem(d=5, n=31, L=4), AS_PUBLISHED)}
    beyond = {"lemma-1": "n = 31", "theorem-1/global": "d = 5"}
    beyond |= dict.fromkeys(("theorem-3/stationary", "theorem-4/stationary"), "d = 5, L = 4")
    for name, posed in beyond.items():
        verdict = far[f"preconditioned/{name}"]
        assert verdict.status == "held" and f"the posed {posed} is not among them" in verdict.evidence


@pytest.mark.parametrize(("L", "theorem_4"), [(1, "needs L >= 2"), (2, "no critical point")])
def test_trainings_left_out_say_why(L, theorem_4):
    problem = PreconditionedProblem(d=5, L=L)
    verdicts = list(_training_verdicts(problem, [DEPTH, replace(DEPTH, L=2)][:L], []))
    assert [v.claim.rpartition("/")[2] for v in verdicts] == ["theorem-1", "theorem-3", "theorem-4"]
    assert {v.status for v in verdicts} == {"inapplicable"}
    assert "cubature" in verdicts[0].evidence and theorem_4 in verdicts[2].evidence


def test_what_training_beats_is_never_held():
    run = train(lambda z: (z - 1).square().sum() + 0.5, torch.zeros(2).double(), lambda z: 0.0)
    for predicted, least, expected in (
        (0.5, False, "held"),
        (0.51, False, "inapplicable"),
        (0.51, True, "failed"),
    ):
        one = Training("theorem-4", "two layers", (run,), predicted, least)
        verdict = _trained(one)
        assert verdict.status == expected and ("below every predicted loss" in verdict.evidence) == (
            predicted > 0.5
        )


def test_the_loss_of_one_step_can_fail():
    claim = next(claim for claim in claims(PROBLEM) if claim.key == ONE_STEP)
    assert judge_one_step(PROBLEM, claim).status == "proved"
    assert (
        judge_one_step(PROBLEM, replace(claim, bound=claim.bound + sympy.Rational(1, 10**9))).status
        == "failed"
    )
    assert judge_one_step(replace(PROBLEM, n=1000), claim).status == "failed"


def test_a_seed_gives_the_same_findings(honest):
    again = verify(PROBLEM)
    assert again.verdicts == honest.verdicts and again.plots == honest.plots


MUTANTS = {
    "sign": (
        replace(AS_PUBLISHED, sign=1),
        {"lemma-1", "theorem-1/global", "theorem-1/loss", "lemma-1/model"},
    ),
    "1/n": (
        replace(AS_PUBLISHED, preconditioner=lambda e, trace, m: m * e + m * trace),
        {"theorem-1/global", "theorem-1/gradient", "theorem-1/loss", "training/theorem-1"},
    ),
    "no trace": (
        replace(AS_PUBLISHED, preconditioner=lambda e, trace, m: (1 + m) * e),
        {"theorem-1/global", "theorem-1/gradient", "theorem-1/loss", "training/theorem-1"},
    ),
    "identity": (
        replace(AS_PUBLISHED, family=lambda value, inverse: 1 + 0 * value),
        {"theorem-3/stationary", "theorem-4/stationary", "theorem-3/loss", "theorem-4/loss",
         "training/theorem-3", "lemma-1/model"},
    ),
    "no mask": (
        replace(AS_PUBLISHED, masked=False),
        # One layer has no use for the mask where P is the theorem's: the query's label is still 0.
        {"lemma-1", "lemma-1/model", "theorem-3/loss", "theorem-4/loss"},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(name):
    statement, expected = MUTANTS[name]
    assert failed(verify(PROBLEM, statement=statement)) >= expected


def test_a_damaged_model_is_caught():
    model = build(PROBLEM)
    with torch.no_grad():
        model.Q[0, 0, 1] += 1e-4
    assert failed(verify(PROBLEM, transformer=model)) == {"lemma-1/model", "theorem-3/loss"}
    shallow = build(replace(PROBLEM, L=1))
    assert {"parameters", "lemma-1/model"} <= failed(verify(PROBLEM, transformer=shallow))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1000), st.integers(1, 8))  # SciPy's weights overflow from 344 on
def test_gauss_rules_are_exact(freedom, size):
    nodes, weights = chi_square_rule(freedom, size)
    z, w = normal_rule(size)
    moment = 1.0
    for power in range(2 * size):
        assert abs(weights @ nodes**power - moment) <= of_rule(nodes, power)
        moment *= freedom + 2 * power
    odd = 1.0
    for power in range(0, 2 * size, 2):
        assert abs(w @ z**power - odd) <= of_rule(z, power)
        odd *= power + 1


def of_rule(nodes, power):
    """How far a moment may be off: nodes and weights are those of a Jacobi matrix off by 10 n roundings.

    So is its power, in the norm; and powers, weights and their sum round.
    """
    operations = 10 * len(nodes) * (power + 1) + power + len(nodes) + 3
    return float(gamma(operations)) * float(np.abs(nodes).max()) ** power


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 10**6))
def test_the_model_on_the_prompts_has_the_expected_loss_of_the_polynomial(d, n, seed):
    """Two routes with no code in common: Isserlis in rationals, and the model on cubature prompts."""
    problem = PreconditionedProblem(d=d, n=n, S=",".join(["2", "1/2", "1"][:d]))
    prompts = ensemble(problem, 2, False, seeded(0))
    assert prompts.exact
    P, Q = np.random.default_rng(seed).integers(-4, 5, (2, 1, d + 1, d + 1)) / 4
    model = one_layer_loss(d, tuple(map(tuple, problem.covariance)), n)
    point = [*P[0, -1], *Q[0, :, :d].reshape(-1)]
    named = {k: fmpq(*float(v).as_integer_ratio()) for k, v in enumerate(point)}
    exact = float(Fraction(str(model.loss.subs(named))))
    # Coordinates are off by 60 roundings of the largest one; an error has eight of them, and is squared.
    most, (weights, queries) = prompts.Z.abs().amax(0), (torch.tensor(abs(part)[0]) for part in (P, Q))
    size = float(attend(most[None], weights, queries, n)[0, -1, -1] + prompts.target.abs().max())
    room = float(gamma(2 * (8 * 60 + 4 * (d + 1) + most.shape[1] + 4))) * size**2
    assert abs(float(prompts.loss(torch.tensor(P), torch.tensor(Q))) - exact) <= room


def test_too_many_prompts_are_sampled_and_said_to_be():
    problem = PreconditionedProblem(n=50)
    sampled = ensemble(problem, 4, True, seeded(0), most=10)
    whole = ensemble(problem, 4, True, seeded(0))
    model = build(replace(problem, L=2))
    errors = sampled.squared_errors(model.P, model.Q).detach()
    gap = float(errors.mean() - whole.loss(model.P, model.Q).detach())
    assert not sampled.exact and abs(gap) < 5 * float(errors.std()) / len(errors) ** 0.5


def test_training_ends_where_the_gradient_does():
    start = torch.zeros(3, dtype=torch.float64)
    run = train(lambda z: (z - 2).square().sum() + 1, start, lambda z: float((z - 2).norm()))
    assert run.converged and run.loss == pytest.approx(1) and run.distances[-1] < 1e-6
    short = train(lambda z: (z - 2).pow(4).sum() + 1, start, lambda z: 0.0, iterations=1)
    assert not short.converged and len(short.losses) == 2
