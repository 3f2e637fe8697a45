"""Verdicts on Theorem 1: damage is caught, shrunk, saved and replayed, and nothing else fails."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.heads import Aggregate
from icgd.verify.block.properties import PROPERTIES, step_properties
from icgd.verify.relu_icgd import THEOREM, replay, verify
from icgd.verify.search.counterexample import Counterexample, shrink
from icgd.verify.search.prompts import random_prompts, seeded

PROBLEM = Problem(N=2, K=2, d=2, n=3, L=2, eps=0.1)
QUICK = {"samples": 2000, "effort": 0.05}


@cache
def honest(construction):
    return verify(PROBLEM, construction, **QUICK)


def status(found):
    return {verdict.claim.removeprefix("relu-icgd/"): verdict.status for verdict in found.verdicts}


def of_block(found):
    """The same by the names without the construction, for the claims about the block that was judged."""
    return {name.partition("/")[2]: verdict for name, verdict in status(found).items() if "/" in name}


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_an_honest_construction_keeps_every_claim(construction):
    found = honest(construction)
    rest = {name: kind for name, kind in status(found).items() if not name.endswith("/structured")}
    assert set(rest.values()) <= {"counted", "held", "vacuous"} and found.step.counterexample is None
    assert len(rest) == len(status(found)) - 1 and "proved" in status(found).values()
    assert [verdict.claim for verdict in found.verdicts] == list(THEOREM.claim_keys(construction))
    error = found.step.sandwich
    assert 0 < error.sampled <= error.attacked <= error.bound <= error.allowed
    assert len(found.step.trajectory.errors) == PROBLEM.L


def test_the_exact_construction_is_judged_off_its_margin_only():
    found = verify(
        replace(PROBLEM, activation=Problem.parse({"activation": "relu"}).activation), "exact", **QUICK
    )
    assert found.step.sandwich.attacked < 1e-12 and 0 < found.step.sweep.covered < found.step.sweep.count
    assert of_block(found)["step-error"] == "held"


def aggregates(transformer):
    return [part for index in range(len(transformer.layers)) for part in transformer.layer(index).heads
            if isinstance(part, Aggregate)]  # fmt: skip


def flipped(transformer):
    aggregates(transformer)[0].scale *= -1


def n_for_n_plus_1(transformer):
    n = transformer.problem.n
    for part in aggregates(transformer):
        part.scale *= n / (n + 1)


def unmasked(transformer):
    for part in aggregates(transformer):
        part.offset = 0.0


def swollen(transformer):
    for part in aggregates(transformer):
        part.scale *= 1e3


def unprojected(transformer):
    last = transformer.layer(len(transformer.layers) - 1)
    del last.hidden[0]


def uncleared(transformer):
    last = transformer.layer(len(transformer.layers) - 1)
    del last.hidden[-1]


def stale(transformer):
    del transformer.layer(len(transformer.layers) - 1).attention[1]


DAMAGE = [
    (flipped, {"step-error"}),
    (n_for_n_plus_1, {"step-error"}),
    (stale, {"step-error"}),
    (unmasked, {"step-error"}),
    (unprojected, {"step-error", "stays-in-W"}),
    (uncleared, {"scratch-clear"}),
    (swollen, {"norm", "least-norm"}),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGE, ids=lambda item: getattr(item, "__name__", ""))
def test_damage_is_caught(damage, expected):
    problem = replace(PROBLEM, eta=2.0)
    transformer = assemble(plan(problem))
    damage(transformer)
    found = verify(problem, transformer=transformer, **QUICK)
    failed = {claim for claim, verdict in of_block(found).items() if verdict == "failed"}
    assert failed & expected, failed


def test_a_counterexample_is_small_saved_and_replayed(tmp_path):
    transformer = assemble(plan(PROBLEM))
    flipped(transformer)
    found = verify(PROBLEM, transformer=transformer, **QUICK)
    example = found.step.counterexample
    assert example.error > example.allowed
    entries = torch.cat([getattr(example.prompt, part).flatten() for part in ("x", "y", "query", "w")])
    assert float((entries == 0).double().mean()) > 0.3  # most entries that do not matter are gone
    assert example.describe() in next(v.evidence for v in found.verdicts if v.claim == example.claim)
    command = example.save_below(tmp_path)
    path = Path(command.split()[-1])
    again = Counterexample.load(path)
    assert torch.equal(again.prompt.w, example.prompt.w) and again.problem == PROBLEM
    # The saved prompt refutes the damaged transformer and not the one we build.
    assert replay(again).status == "held" and replay(again, transformer).status == "failed"
    assert cli.main(["verify", "--replay", str(path)]) == cli.KEPT
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prompt": {}}))
    with pytest.raises(ProblemError, match="not a counterexample file"):
        Counterexample.load(path)


def test_shrinking_keeps_what_matters_and_nothing_else():
    prompt = random_prompts(PROBLEM, 1, seeded(3))
    small = shrink(prompt, lambda candidate: float(candidate.w[0, 1].abs()) > 0.05)
    assert float(small.w[0, 1].abs()) > 0.05
    assert float(small.x.abs().sum() + small.y.abs().sum() + small.query.abs().sum()) == 0.0
    assert int((small.w != 0).sum()) == 1


def test_properties_come_in_the_order_they_are_listed_in():
    verdicts = list(step_properties("x", assemble(plan(PROBLEM)), random_prompts(PROBLEM, 2, seeded(0))))
    assert [verdict.claim for verdict in verdicts] == [f"x/{name}" for name in PROPERTIES]


def test_real_prompts_are_followed():
    found = verify(replace(PROBLEM, d_out=1), data="diabetes", prompts=5, **QUICK)
    assert found.step.trajectory.prompts == 5 and found.step.trajectory.source == "diabetes"


def test_the_start_of_the_theorem_is_judged():
    assert of_block(honest("lean"))["start"] == "vacuous"
    sigmoid = Problem.parse({"N": 2, "K": 2, "n": 3, "eps": 0.2, "activation": "sigmoid"})
    assert of_block(verify(sigmoid, **QUICK))["start"] == "held"


CORNERS = [
    # r' is approximated by a constant, so its slot must be filled or not read.
    {"N": 1, "K": 1, "d_out": 3, "n": 1, "eps": 0.505, "B_y": 5.0, "B_v": 0.3, "activation": "sin"},
    {"N": 1, "K": 3, "d_out": 3, "n": 3, "eps": 0.0359, "eta": 0.0221, "B_v": 0.1},
    {"N": 2, "K": 4, "n": 2, "eps": 5.3e-3, "B_v": 0.3, "activation": "sigmoid"},
    # A product of which nothing is left.
    {"N": 1, "K": 1, "d_out": 3, "n": 1, "eps": 24.0, "eta": 3.0, "B_x": 0.01, "B_v": 0.01,
     "activation": "t**2", "loss": "logistic"},
    # Steps that overshoot W by far.
    {"N": 3, "K": 3, "n": 4, "eta": 10.0},
    {"N": 2, "K": 2, "n": 4, "eta": 1000.0},
    # Hardly any accuracy asked for.
    {"N": 4, "K": 4, "d": 1, "n": 1, "eps": 422.0, "loss": "logistic", "output": "linear"},
    {"N": 3, "K": 2, "n": 2, "eps": 2.5, "B_y": 0.01, "B_v": 0.01, "activation": "sigmoid",
     "loss": "logistic"},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize("letters", CORNERS, ids=str)
def test_claims_are_kept_in_the_corners(letters, construction):
    found = verify(Problem.parse(letters), construction, samples=3000, effort=0.05)
    assert "failed" not in status(found).values(), found.verdicts
    assert found.step.sandwich.attacked <= found.step.sandwich.bound + 1e-9


def test_an_error_above_the_certificate_is_a_failure_even_below_eps():
    problem = Problem(N=1, K=1, n=3, eps=0.5, output="linear")  # nothing is approximated here
    transformer = assemble(plan(problem))
    for part in aggregates(transformer):
        part.scale *= 1.001
    found = verify(problem, transformer=transformer, **QUICK)
    assert found.step.sandwich.bound < found.step.sandwich.attacked < 0.1 * found.step.sandwich.allowed
    assert of_block(found)["step-error"] == "failed"


def test_not_a_number_is_a_failure(monkeypatch):
    transformer = assemble(plan(PROBLEM))
    honest = transformer.step
    monkeypatch.setattr(
        transformer, "step", lambda prompt: torch.where(prompt.w[:, :1] > 0.2, torch.nan, honest(prompt))
    )
    found = verify(PROBLEM, transformer=transformer, samples=500, effort=0)
    assert of_block(found)["step-error"] == "failed" and found.step.counterexample.error == float("inf")


def test_a_failure_met_only_on_the_followed_prompts_is_the_counterexample(monkeypatch):
    transformer = assemble(plan(PROBLEM))
    honest = transformer.step
    monkeypatch.setattr(
        transformer, "step", lambda prompt: honest(prompt) + (0.1 if prompt.batch == 64 else 0.0)
    )
    found = verify(PROBLEM, transformer=transformer, samples=500, effort=0)
    assert of_block(found)["step-error"] == "failed"


@pytest.mark.parametrize("floor", ["checker", "matrices"])
def test_a_refused_certificate_leaves_the_claim_held_and_says_why(monkeypatch, floor):
    name, reason = {"checker": ("refusal", "dr[2] holds"), "matrices": ("mismatch", "layer 3, W1")}[floor]
    monkeypatch.setattr(f"icgd.verify.certificate.proof.{name}", lambda *_: reason)
    found = verify(PROBLEM, samples=100, effort=0, certify=True)
    verdict = next(one for one in found.verdicts if one.claim.endswith("/step-error"))
    assert verdict.status == "held" and verdict.replay is None and found.step.counterexample is None
    if floor == "checker":
        assert "not proved, because the checker does not accept that dr[2] holds" in verdict.evidence
        assert f"(activation {PROBLEM.activation.name}, loss squared)" in verdict.evidence
        assert verdict.evidence.endswith("smaller radii or a larger eps give the checker more room")
    else:
        assert "the matrices are not the certificate's program: layer 3, W1" in verdict.evidence


def test_starts_from_which_nothing_moves():
    cosine = Problem.parse({"N": 2, "K": 2, "n": 3, "eps": 0.2, "activation": "cos(t)"})
    assert of_block(verify(cosine, **QUICK))["start"] == "vacuous"


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_beyond_what_the_checker_looks_at_a_bound_is_held_and_not_failed(construction):
    letters = {"N": 1, "activation": "identity", "B_x": 1e6, "B_y": 1e6, "eps": 1e4}
    found = verify(Problem.parse(letters), construction, samples=100, effort=0.0, certify=True)
    verdict = next(one for one in found.verdicts if one.claim.endswith("/step-error"))
    assert found.step.proof is None and verdict.status == "held"
    assert "no certificate: z reaches 1e+06, the checker goes up to 131,072" in verdict.evidence
