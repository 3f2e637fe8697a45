"""What a slot is said to hold is what backpropagation in torch finds there, on tokens of random prompts."""

import re

import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.slot_meanings import is_raised, slot_meaning
from icgd.construct.prompt import split_weights
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.search.prompts import random_prompts

SMALL = {"N": 2, "K": 2, "d": 1, "d_out": 1, "n": 3, "eps": 0.01}
WAYS = {
    "lean": lambda: build(Problem(**SMALL)),
    "paper": lambda: build(Problem(**SMALL), "paper"),
    "softmax": lambda: build_softmax(Problem(**SMALL)),
    "exact": lambda: build(Problem(**SMALL, activation="relu"), "exact"),
    "classifier": lambda: build(Problem(**SMALL, loss="logistic", output="linear")),
}


def backpropagated(problem, prompt):
    """Each quantity of the network by the name of its slot, on the examples: (B, n, size)."""
    linear, found = problem.output == "linear", {"p0": prompt.x}
    for j, V in enumerate(split_weights(problem, prompt.w), start=1):
        z = (found[f"p{j - 1}"] @ V.mT).requires_grad_()
        r = (lambda t: t) if linear and j == problem.N else getattr(torch, problem.activation.name)
        slope = torch.autograd.functional.jvp(r, z, torch.ones_like(z))[1]
        found |= {f"V{j}": V, f"z{j}": z, f"p{j}": r(z), f"dr{j}": slope}
        z.retain_grad(), found[f"p{j}"].retain_grad()
    p, y = found[f"p{problem.N}"], prompt.y
    loss = (p - y) ** 2 if problem.loss.name == "squared" else torch.log1p(p.exp()) - y * p
    loss.sum().backward()
    for j in range(1, problem.N + 1):
        found |= {f"s{j}": found[f"z{j}"].grad, f"g{j}": found[f"p{j}"].grad}
        found[f"q{j}"] = (found[f"s{j}"][..., None] * found[f"p{j - 1}"][..., None, :]).flatten(-2)
    found[f"u{problem.N}"] = found[f"g{problem.N}"]
    return {name: value.detach() for name, value in found.items()}


@pytest.mark.parametrize(
    "way",
    [
        "lean",
        "softmax",
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("paper", "classifier", "exact")),
    ],
)
def test_slots_hold_what_is_said(way):
    made = WAYS[way]()
    block = GivenBlock.of_block(made)
    # None of these prompts has a pre-activation in (0, 2^-10), where the gate of `exact` is half open.
    prompt = random_prompts(made.problem, 6, torch.Generator().manual_seed(5))
    H = block.pack(prompt)
    for layer in list(block.layers)[:-1]:
        H = layer(H)
    wanted, construction = backpropagated(made.problem, prompt), made.name
    for name, slot in made.stream.slots.items():
        meaning, held = slot_meaning(name, construction), H[:, :-1, slot.start : slot.stop]
        assert meaning, name
        if slot.shared is not None or name in ("x", "y", "one", "t"):
            continue
        assert not re.search(r"[{}]", meaning) and ("constant" in meaning) == is_raised(name, construction)
        if is_raised(name, construction):
            held = held - (held - wanted[name]).mean()
        # What goes wrong in a step of size eta is at most eps; a quantity on the way there is of its order.
        assert (held - wanted[name]).abs().max() <= 4 * made.problem.eps, name
        assert (wanted[name]).abs().max() > 10 * made.problem.eps, name
        if name.startswith("q"):
            assert "0 in the query" in meaning and not H[:, -1, slot.start : slot.stop].any()


def test_the_words_are_those_of_the_formulas():
    for name, words in (
        ("z1", "V_1 x: what goes into layer 1 of"),
        ("z2", "V_2 p1: what goes into layer 2 of"),
        ("p1", "r of V_1 x: what layer 1 of"),
        ("dr2", "r' of the activation at V_2 p1: how steep layer 2 of"),
        ("s2", "in what goes into layer 2 of"),
        ("g1", "V_2^T s2: the slope of the loss in what layer 1 puts out"),
        ("q1", "s1 x^T, row after row: the gradient of this example in V_1"),
        ("q2", "s2 p1^T, row after row: the gradient of this example in V_2"),
    ):
        assert words in slot_meaning(name), name
    assert slot_meaning("q") == slot_meaning("v1") == slot_meaning("x1") == ""
