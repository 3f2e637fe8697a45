"""Verdicts on Theorem 2: our transformer keeps the claims, and every kind of damage fails."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import icgd.verify.softmax_icgd as module
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved, plan_softmax
from icgd.construct.block.table import LookupTable
from icgd.construct.softmax_icgd import Products, SoftmaxTransformer, build
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.proof import refusal
from icgd.verify.softmax_icgd import verify

PROBLEM = Problem(N=2, K=2, d=2, n=3, L=3, eps=0.05)


@cache
def judged_once(certificate):
    """The checker's answer: most transformers here are held to the same certificate."""
    return refusal(*json.loads(certificate))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "refusal", lambda *given: judged_once(json.dumps(given)))
    monkeypatch.setattr(module, "_CELLS", (1, 2, 4))
    monkeypatch.setattr(module, "_WIDTHS", (2, 3))
    monkeypatch.setattr(module, "_TOLERANCES", (1.0, 0.1, 0.01))


def judged(transformer=None, problem=PROBLEM):
    found = verify(problem, samples=1000, transformer=transformer)
    return by_claim(found)


def by_claim(found):
    return {verdict.claim.removeprefix("softmax-icgd/"): verdict for verdict in found.verdicts}


def broken(verdicts):
    return {key for key, verdict in verdicts.items() if verdict.status == "failed"}


def failed(transformer):
    return broken(judged(transformer))


def parts(transformer, kind):
    return [part for layer in transformer.blocks for part in layer.listed if isinstance(part, kind)]


def test_an_honest_construction_keeps_every_claim():
    found = verify(PROBLEM, samples=1000)
    verdicts = by_claim(found)
    assert {key: v.said for key, v in verdicts.items() if key != "four-layers"} == dict.fromkeys(
        ["loop", "uniform-attention", "query-masked", "matrices", "polynomial-width"], "held"
    ) | dict.fromkeys(["layers", "heads", "width", "mlp-width"], "counted") | {
        "step-error": "proved by certificate",
        "structured": "proved by exact arithmetic",
    }
    assert verdicts["four-layers"].status == "inapplicable"  # so few cells do not reach eps
    evidence = verdicts["step-error"].evidence
    leaves = plan_softmax(halved(PROBLEM)).cover.leaves
    assert (
        f"with {leaves} cells, which an independent checker accepts" in evidence
        and "2 eta and eps/2 of (1/(2n)) sum" in evidence
    )
    assert all(len(row) == len(grid.columns) for grid in found.grids for row in grid.rows)
    assert found.plots[0].logarithmic == "xy" and found.census["heads"] == 1
    assert found.trusted == CONSTRUCTIONS["softmax"].trusted  # exp among them
    # The step error is in the unit of w, that of the claim in Theorem 2's eta.
    known, told = found.sandwich, verdicts["step-error"].numbers
    assert 0 < known.sampled <= known.attacked <= known.bound <= known.allowed and found.is_certified
    for value, name in ((known.attacked, "largest"), (known.bound, "bound"), (known.allowed, "allowed")):
        assert value == pytest.approx(PROBLEM.eta * told[name], rel=1e-12)


def test_four_layers_reach_a_coarse_eps():
    assert judged(problem=Problem(N=1, d=1, n=2, L=2, eps=0.9))["four-layers"].status == "held"


@pytest.mark.parametrize("factor", [3 / 4, -1.0, 0.5], ids=["1/n", "wrong sign", "1/(2n)"])
def test_a_wrong_scale_is_caught(factor):
    transformer = build(PROBLEM)
    transformer.head.scale *= factor
    assert {"step-error", "uniform-attention"} <= failed(transformer)


def test_an_unmasked_query_is_caught():
    transformer = build(PROBLEM)
    for part in parts(transformer, Products):
        part.offset = None
    assert {"step-error", "query-masked"} <= failed(transformer)


def test_what_no_sampling_can_see_is_not_proved():
    """One weight off by an ulp: the verdict names the entry."""
    transformer = build(PROBLEM)
    part = parts(transformer, Products)[0]
    c = part.relus.c.copy()
    c[0] = np.nextafter(c[0], 9)
    part.relus = ReluSum(part.relus.a, part.relus.b, c)
    part.table = LookupTable(part.relus)
    verdicts = judged(transformer)
    assert not broken(verdicts) and verdicts["step-error"].status == "held"
    evidence = verdicts["step-error"].evidence
    assert re.search(
        r"not proved, .*: layer 0, W2 \(\d+, \d+\) is \S+, not \S+ as in the certificate$", evidence
    )


def test_a_gate_that_is_too_near_is_not_proved():
    transformer = build(PROBLEM)
    for part in parts(transformer, Products):
        if part.offset is not None:
            part.offset *= 0.5
    verdicts = judged(transformer)
    assert verdicts["step-error"].status == "held"
    said = "not proved, because the matrices are not the certificate's program: layer 8, W1"
    assert said in verdicts["step-error"].evidence


def test_a_certificate_that_is_refused_leaves_the_claim_held(monkeypatch):
    monkeypatch.setattr(module, "refusal", lambda *_: "the error z[1] covers what the program does")
    found = verify(PROBLEM, samples=1000)
    verdict = by_claim(found)["step-error"]
    assert verdict.status == "held" and found.sandwich.bound and not found.is_certified
    said = "not proved, because the checker does not accept that the error z[1] covers what the program does"
    assert f"{said} (activation tanh, loss squared)" in verdict.evidence


def test_errors_of_shorter_prompts_are_not_those_of_a_step(monkeypatch):
    monkeypatch.setattr(module, "excerpt", lambda planned: replace(planned, problem=shorter(planned.problem)))
    found = verify(PROBLEM, samples=100)
    assert "searched prompts have 2 examples" in by_claim(found)["step-error"].evidence
    assert found.sandwich is None and by_claim(found)["step-error"].means == "certificate"


def shorter(problem):
    return replace(problem, n=2)


class Stale(SoftmaxTransformer):
    """Every step reads the gradient at the first w."""

    def simulate(self, prompt, steps=None):
        moves = self.step(prompt) - prompt.w
        return torch.stack([prompt.w + k * moves for k in range((steps or self.problem.L) + 1)])


def test_a_stale_w_is_caught():
    honest = build(PROBLEM)
    assert "loop" in failed(Stale(honest.problem, honest.stream, honest.blocks))


@pytest.mark.parametrize("index", range(5))
def test_a_dropped_product_is_caught(index):
    transformer = build(PROBLEM)
    part = parts(transformer, Products)[index]
    whole = part.increment

    def without_the_first(values):
        right = values[part.right].clone()
        right[..., 0] = 0.0
        return whole(values | {part.right: right})

    part.increment = without_the_first
    assert {"step-error", "matrices"} <= failed(transformer)


def test_attention_that_is_not_uniform_is_caught():
    transformer = build(PROBLEM)
    head = transformer.head
    mean = type(head).forward
    head.forward = lambda values: mean(head, values) + 1e-6 * values[:, 0]
    assert "uniform-attention" in failed(transformer)


def test_a_layer_too_many_is_counted():
    honest = build(PROBLEM)
    blocks = [*honest.blocks[:-1], type(honest.blocks[0])([]), honest.blocks[-1]]
    assert "layers" in failed(SoftmaxTransformer(honest.problem, honest.stream, blocks))
