"""A block from the matrices of anyone: it computes what the formulas say, and a flaw is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import Declaration, GivenBlock, parse_stream
from icgd.construct.block.weights import save_weights
from icgd.construct.machine import memory
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.search.prompts import random_prompts, seeded
from tests.rounding import gamma

PROBLEM = Problem(N=1, K=1, d=2, d_out=1, n=3)
STREAM = {"x": (0, 2), "y": (2, 3), "V1": (3, 5), "one": (6, 7), "t": (7, 8)}
"""Coordinate 5 is scratch."""
D = 8


def matrices(rng, layers=2, heads=2, hidden=3):
    found = {}
    for i in range(layers):
        shapes = {
            "Q": (heads, D, D),
            "K": (heads, D, D),
            "V": (heads, D, D),
            "W1": (hidden, D),
            "W2": (D, hidden),
        }
        for part, shape in shapes.items():
            kept = rng.random(shape) < 0.3
            found[f"layer.{i:02d}.{part}"] = np.where(kept, rng.normal(size=shape), 0.0)
    return found


def by_formula(made, H, kind, diagonal):
    """H + sum_m weights V H, then H + W2 relu(W1 H), for one prompt, and the sums of absolute values."""
    for i in range(len({name.split(".")[1] for name in made})):
        part = {name.split(".")[2]: one for name, one in made.items() if name.startswith(f"layer.{i:02d}")}
        added = np.zeros_like(H)
        for Q, K, V in zip(part["Q"], part["K"], part["V"], strict=True):
            scores = H @ Q.T @ (H @ K.T).T
            if kind == "softmax":
                weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            else:
                weights = np.maximum(scores, 0) * (np.eye(len(H)) if i in diagonal else 1 / len(H))
            added += weights @ (H @ V.T)
        H = H + added
        H = H + np.maximum(H @ part["W1"].T, 0) @ part["W2"].T
    return H


@given(st.integers(0, 2**32), st.sampled_from(["relu", "softmax"]), st.sampled_from([(), (1,)]))
@settings(max_examples=15)
def test_it_computes_the_formulas_of_the_documentation(seed, kind, diagonal):
    if kind == "softmax":
        diagonal = ()
    rng = np.random.default_rng(seed)
    made = matrices(rng)
    said = Declaration(STREAM, kind, frozenset(f"layer.{i:02d}" for i in diagonal))
    block = GivenBlock({name: torch.from_numpy(one) for name, one in made.items()}, PROBLEM, said)
    prompt = random_prompts(PROBLEM, 2, seeded(seed))
    H = block.pack(prompt)
    for row in range(2):
        wanted = by_formula(made, H[row].numpy(), kind, diagonal)
        found = block(H)[row].numpy()
        # The same sums in another order; sizes grow from layer to layer, so the last one decides.
        assert np.abs(found - wanted).max() <= float(gamma(400)) * (1 + np.abs(wanted).max()) ** 3
    assert np.array_equal(block.step(prompt).numpy(), block(H)[:, -1, 3:5].numpy())


def test_the_input_is_laid_out_as_the_stream_says():
    block = GivenBlock(
        {"layer.00.W1": torch.ones(1, D), "layer.00.W2": torch.ones(D, 1)}, PROBLEM, Declaration(STREAM)
    )
    prompt = random_prompts(PROBLEM, 1, seeded(0))
    H = block.pack(prompt)[0]
    assert torch.equal(H[:3, :2], prompt.x[0]) and torch.equal(H[3, :2], prompt.query[0])
    assert torch.equal(H[:3, 2:3], prompt.y[0]) and H[3, 2] == 0
    assert all(torch.equal(row, prompt.w[0]) for row in H[:, 3:5])
    assert torch.equal(H[:, 5], torch.zeros(4)) and torch.equal(H[:, 6], torch.ones(4).double())
    assert H[:, 7].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("construction", ["lean", "paper", "softmax"])
def test_our_own_file_is_read_back_bit_for_bit(construction, tmp_path):
    problem = Problem(N=2, K=2, d=2, n=3, eps=0.5)
    made = build_softmax(problem) if construction == "softmax" else build(problem, construction)
    save_weights(made, tmp_path / "model.safetensors")
    block = GivenBlock.read(tmp_path / "model.safetensors")
    assert block.problem == made.problem and block.declaration.construction == construction
    for wanted, found in zip(made.literal(), block.literal(), strict=True):
        assert wanted.diagonal == found.diagonal and len(wanted.heads) == len(found.heads)
        for a, b in zip(
            [wanted.W1, wanted.W2, *(m for h in wanted.heads for m in (h.Q, h.K, h.V))],
            [found.W1, found.W2, *(m for h in found.heads for m in (h.Q, h.K, h.V))],
            strict=True,
        ):
            assert torch.equal(a.dense(), b.dense())
    same = GivenBlock.of_block(made)
    prompt = random_prompts(made.problem, 5, seeded(0))
    assert torch.equal(block.step(prompt), same.step(prompt))
    assert torch.allclose(block.step(prompt), made.step(prompt), rtol=0, atol=float(gamma(2000)))


def test_the_gradient_goes_through_the_matrices():
    block = GivenBlock.of_block(build(Problem(N=1, K=1, d=1, n=2, eps=0.5), "lean"))
    prompt = random_prompts(block.problem, 1, seeded(3))
    w = prompt.w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(block.step(prompt.with_weights(w)).sum(), w)
    ends = [float(block.step(prompt.with_weights(prompt.w + h)).sum()) for h in (1e-6, -1e-6)]
    # Where the step is linear, a difference quotient is exact up to rounding over its width.
    assert abs(float(slope.sum()) - (ends[0] - ends[1]) / 2e-6) < 1e-7


def good():
    return matrices(np.random.default_rng(1)), Declaration(STREAM)


def without(name):
    return lambda made, said: (made.pop(name), said)[1]


def reshaped(name, shape):
    return lambda made, said: (made.update({name: np.zeros(shape)}), said)[1]


def stream(**slots):
    return lambda made, said: replace(said, stream={k: v for k, v in (said.stream | slots).items() if v})


FLAWS = {
    "a missing K": (without("layer.00.K"), r"tensor = layer.00.K: it is missing, and Q and V are there"),
    "a missing W2": (without("layer.01.W2"), r"tensor = layer.01.W2: it is missing, and W1 are? there"),
    "an extra tensor": (reshaped("P", (2, 2)), r"tensor = P: the tensors of a block are"),
    "an odd name": (reshaped("layer.2.Q", (2, 8, 8)), r"tensor = layer.2.Q: the tensors of a block are"),
    "a gap in the layers": (reshaped("layer.03.W1", (2, 8)), r"tensor = layer.02: it has no matrices"),
    "a Q of another width": (
        reshaped("layer.00.Q", (2, 8, 9)),
        r"layer.00.Q = shape \(2, 8, 9\): \(2, 8, 8\)",
    ),
    "a V with one head": (reshaped("layer.00.V", (1, 8, 8)), r"layer.00.V = shape .*\(2, 8, 8\) is needed"),
    "a W1 transposed": (reshaped("layer.01.W1", (8, 3)), r"layer.01.W1 = shape \(8, 3\)"),
    "no heads": (reshaped("layer.00.Q", (0, 8, 8)), r"layer.00.Q = shape \(0, 8, 8\): it is empty"),
    "no slot of y": (stream(y=None), r"there is no slot y"),
    "a slot too large": (stream(x=(0, 3)), r"stream.x = 0:3: it needs 2 coordinates \(d\)"),
    "a slot outside": (stream(t=(8, 9)), r"stream.t = 8:9: the matrices have 8 coordinates"),
    "slots that overlap": (stream(one=(4, 5)), r"stream.one = 4:5: it overlaps the slot V1"),
    "one layer more": (stream(V2=(5, 6)), r"stream.V2 = .*the letters pose N = 1 layers"),
    "too few layers": (
        lambda made, said: replace(said, layers=1),
        r"layers = 1: there are tensors of layer.01",
    ),
    "a layer without matrices": (lambda made, said: replace(said, layers=3), r"layer.02: it has no matrices"),
    "an unknown attention": (lambda made, said: replace(said, attention="odd"), r"attention = odd"),
    "a mask elsewhere": (
        lambda made, said: replace(said, diagonal=frozenset({"layer.07"})),
        r"diagonal = layer.07",
    ),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_is_named_in_one_sentence(name):
    made, said = good()
    damage, words = FLAWS[name]
    said = damage(made, said)
    with pytest.raises(ProblemError, match=words):
        GivenBlock({name: torch.from_numpy(one) for name, one in made.items()}, PROBLEM, said)


def test_metadata_are_checked(tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata, words in (
        ({}, "its metadata name no slots"),
        ({"stream": "x"}, "stream = x: these metadata are not JSON"),
        ({"stream": "[1]"}, "slots with their"),
        ({"stream": json.dumps({"x": [2, 0]})}, r"stream.x = \[2, 0\]"),
        ({"stream": "1" * (1 << 17)}, "longer than 64 KiB"),
        ({"diagonal": "{}"}, "a list of layers"),
        ({"stream": json.dumps(STREAM)}, "its metadata name no kind of attention; give it as --attention"),
        ({"stream": json.dumps(STREAM), "attention": "relu"}, "its metadata name no letters"),
        ({"layers": "0"}, "a number of layers"),
        ({"problem": "[]"}, "letters with their values"),
        ({"stream": json.dumps(STREAM), "attention": "relu", "problem": '{"N": -1}'}, "N = -1"),
        (
            {"stream": json.dumps(STREAM), "attention": "relu", "problem": '{"Q": 1}'},
            "there is no such letter",
        ),
    ):
        save_file(good()[0], path, metadata)
        with pytest.raises(ProblemError, match=words):
            GivenBlock.read(path)


def test_matrices_that_do_not_fit_are_refused_before_they_are_read(tmp_path, monkeypatch):
    save_file(good()[0], tmp_path / "m", {"stream": json.dumps(STREAM), "attention": "relu"})
    monkeypatch.setattr(memory, "available_bytes", lambda: 100)
    monkeypatch.setattr("icgd.construct.block.given_block.read_tensors", None)
    with pytest.raises(ProblemError, match=r"the given matrices would take about .* KiB and 100 B is free"):
        GivenBlock.read(tmp_path / "m", PROBLEM)


def test_an_entry_that_is_not_finite_is_named():
    made, said = good()
    made["layer.01.V"][1, 2, 3] = np.nan
    with pytest.raises(ProblemError, match=r"layer.01.V\[1, 2, 3\] = nan"):
        GivenBlock({name: torch.from_numpy(one) for name, one in made.items()}, PROBLEM, said)


@pytest.mark.parametrize("text", ["", "x", "x=1:2,x=2:3", "x=-1:2", "x=1:2;y=2:3", "x=a:b"])
def test_a_stream_that_cannot_be_read_is_refused(text):
    with pytest.raises(ProblemError, match="each slot is given once"):
        parse_stream(text)
