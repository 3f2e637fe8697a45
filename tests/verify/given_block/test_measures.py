"""What is measured on a block: the step error by its definition, rounding against exact rationals."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.construct.block.given_block import Declaration, GivenBlock
from icgd.construct.machine import memory
from icgd.construct.prompt import Prompt
from icgd.verify.given_block.measures import (
    FACE_ROOM,
    MEASURES,
    allowances,
    error_within,
    measured,
    rounding,
    rows_at_once,
)
from icgd.verify.search.prompts import random_prompts, seeded
from tests.numpy_layers import layers_by_hand

ONE = Problem(N=1, K=1, d=1, d_out=1, n=1)
HALF, FACE = ONE.half_width(1), face(ONE, 1)


def at_rest(w):
    """A prompt whose gradient is 0, so that descent stays at w."""
    x = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    w = torch.tensor([[w]], dtype=torch.float64)
    return Prompt(x, torch.tanh(x * w[..., None]), torch.zeros(1, 1, dtype=torch.float64), w)


def error(w, reached):
    return float(error_within(ONE, at_rest(w), torch.tensor([[reached]], dtype=torch.float64))[0])


@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
@settings(max_examples=50)
def test_inside_w_the_error_is_the_distance(w, reached):
    assert error(w, reached) == pytest.approx(abs(w - reached), abs=1e-15)


@pytest.mark.parametrize("sign", [1, -1])
def test_on_a_face_of_w_the_error_is_what_leads_there(sign):
    for side in (HALF, FACE, FACE * (1 - FACE_ROOM / 2)):  # theirs, ours, or a little smaller
        assert error(sign * FACE, sign * side) <= HALF - FACE
        assert error(sign * 0.5, sign * side) == pytest.approx(0.5, abs=1e-8)
    assert error(sign * FACE, sign * 0.9) == pytest.approx(0.1, abs=1e-9)
    assert error(sign * FACE, sign * (HALF + 1e-9)) == pytest.approx(1e-9, rel=1e-6)
    assert math.isnan(error(0.0, math.nan))  # `measured` counts that as inf


def exactly(tensors, H, diagonal):
    """The layers in rationals, by the formulas of docs/weights.md."""
    T = len(H)
    for i in range(1 + max(int(name[6:8]) for name in tensors)):
        name = f"layer.{i:02d}"
        heads = zip(*(tensors[f"{name}.{part}"] for part in "QKV"), strict=True)
        added = [{} for _ in H]
        for Q, K, V in heads:
            query, key, value = (
                [
                    [
                        sum(Fraction(float(m[r, c])) * h[c] for c in np.flatnonzero(m[r]))
                        for r in range(len(m))
                    ]
                    for h in H
                ]
                for m in (Q, K, V)
            )
            for s in range(T):
                for other in [s] if name in diagonal else range(T):
                    score = max(sum(a * b for a, b in zip(query[s], key[other], strict=True)), Fraction(0))
                    for r in np.flatnonzero(V.any(axis=1)):
                        part = score * value[other][r] / (1 if name in diagonal else T)
                        added[s][r] = added[s].get(r, 0) + part
        H = [[h[c] + more.get(c, 0) for c in range(len(h))] for h, more in zip(H, added, strict=True)]
        if f"{name}.W1" in tensors:
            W1, W2 = tensors[f"{name}.W1"], tensors[f"{name}.W2"]
            new = []
            for h in H:
                hidden = [
                    max(
                        sum((Fraction(float(w[c])) * h[c] for c in np.flatnonzero(w)), Fraction(0)),
                        Fraction(0),
                    )
                    for w in W1
                ]
                new.append(
                    [
                        h[c]
                        + sum(
                            (Fraction(float(W2[c, m])) * hidden[m] for m in np.flatnonzero(W2[c])),
                            Fraction(0),
                        )
                        for c in range(len(h))
                    ]
                )
            H = new
    return H


def by_hand(**letters):
    tensors, metadata = layers_by_hand(**letters)
    said = Declaration(
        {name: tuple(ends) for name, ends in json.loads(metadata["stream"]).items()},
        diagonal=frozenset(json.loads(metadata["diagonal"])),
    )
    made = {name: torch.from_numpy(one) for name, one in tensors.items()}
    return tensors, GivenBlock(made, Problem.parse(json.loads(metadata["problem"])), said)


def test_floats_are_as_near_to_rationals_as_is_allowed():
    tensors, block = by_hand(N=1, K=1, d=1, n=2, pieces=6)
    prompt = random_prompts(block.problem, 6, seeded(2))
    H = block.pack(prompt)
    after, allowed = block(H), rounding(block, prompt)
    diagonal = block.declaration.diagonal
    apart = 0.0
    for row in range(prompt.batch):
        exact = exactly(tensors, [list(map(Fraction, h)) for h in H[row].tolist()], diagonal)
        pairs = zip(exact, after[row].tolist(), strict=True)
        apart = max(
            apart, *(float(abs(a - Fraction(b))) for h, g in pairs for a, b in zip(h, g, strict=True))
        )
    assert 0 < apart <= allowed < 1e-10


def test_every_property_holds_exactly_or_to_rounding_on_a_good_block():
    _, block = by_hand(N=2, K=1)
    prompt = random_prompts(block.problem, 30, seeded(1))
    for name, limit in allowances(block, prompt).items():
        assert float(measured(block, name, prompt).max()) <= limit
    assert {name for name, measure in MEASURES.items() if not measure.exact} == {"step-error", "loop"}


def test_prompts_that_do_not_fit_are_refused(monkeypatch):
    _, block = by_hand(N=1, K=1, d=1, n=2, pieces=2)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="the prompts do not fit"):
        rows_at_once(block)
