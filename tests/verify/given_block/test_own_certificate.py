"""Blocks with sums of their authors are proved by the unchanged checker; what is not the network is not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import Declaration, GivenBlock
from icgd.construct.relu_icgd import build
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.checker.relu import check
from icgd.verify.given_block.judge import judge_block
from icgd.verify.given_block.measures import MEASURES
from icgd.verify.given_block.own_certificate import own_certificate, own_difference
from icgd.verify.given_block.own_sums import Unreadable
from icgd.verify.given_block.recovery import recover
from icgd.verify.search.prompts import random_prompts, seeded
from tests.numpy_layers import layers_by_hand
from tests.verify.given_block.test_judge import MUTANTS, REBUILT

ROOM = 1e-12
"""How far inside W the projection stays, so that rounding cannot take w out of it."""


def block_of(tensors, metadata):
    letters = Problem.parse(json.loads(metadata["problem"]))
    said = Declaration(
        {name: tuple(ends) for name, ends in json.loads(metadata["stream"]).items()},
        attention=metadata["attention"],
        diagonal=frozenset(json.loads(metadata["diagonal"])),
    )
    made = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in tensors.items()}
    return GivenBlock(made, letters, said)


def by_hand(**letters):
    return layers_by_hand(**{"room": ROOM, "eps": 0.3, "pieces": 16, **letters})


BASE, METADATA = by_hand(N=2, K=2, d=2, d_out=2, n=2)
LAYERS = int(METADATA["layers"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "letters",
    [
        {"N": 1, "K": 1},
        {"N": 1, "K": 1, "d": 1, "d_out": 1, "n": 1},
        {"N": 2, "pieces": 60, "eps": 0.05},
        {"N": 3, "K": 2, "pieces": 30},
        {"N": 2, "eta": 3.0},
        {"N": 2, "above": 8.0},
        {"N": 2, "seed": 1},
        {"N": 2, "B_v": 0.5, "radius": 1.0},
    ],
)
def test_a_block_by_hand_is_proved_by_the_unchanged_checker(letters):
    block = block_of(*by_hand(**letters))
    found = own_certificate(block)
    assert check(found, posed_letters(block.problem), "paper") == found["certified"] <= block.problem.eps
    judged = judge_block(block, samples=200, effort=0.2)
    assert judged.proved and judged.recovery.own and judged.attacked <= judged.certified
    assert "dataflow.py" in " ".join(judged.recovery.trusted)
    assert own_difference(block, found["program"]) is None


def test_our_own_paper_block_is_such_a_block_too():
    block = GivenBlock.of_block(build(Problem(N=2, K=2, d=2, d_out=1, n=3, eps=0.3), "paper"))
    ours, own = recover(block), own_certificate(block)
    assert not ours.own and own["program"] == ours.certificate["program"] | {
        "layers": own["program"]["layers"]
    }
    sums = [[layer[name] for name in ("r", "dr")] for layer in own["program"]["layers"]]
    assert sums == [[layer[name] for name in ("r", "dr")] for layer in ours.certificate["program"]["layers"]]


def test_the_order_of_heads_and_units_does_not_matter():
    rng = np.random.default_rng(0)
    certified = own_certificate(block_of(BASE, METADATA))["certified"]
    for _ in range(3):
        made = dict(BASE)
        for name in [f"layer.{i:02d}" for i in range(LAYERS)]:
            heads, units = (rng.permutation(len(BASE.get(f"{name}.{part}", ()))) for part in ("Q", "W1"))
            made |= {f"{name}.{part}": BASE[f"{name}.{part}"][heads] for part in "QKV"}
            if f"{name}.W1" in BASE:
                made |= {
                    f"{name}.W1": BASE[f"{name}.W1"][units],
                    f"{name}.W2": BASE[f"{name}.W2"][:, units],
                }
        assert own_certificate(block_of(made, METADATA))["certified"] == pytest.approx(certified, rel=1e-9)


def test_the_order_of_scratch_does_not_matter():
    """Scratch coordinates change places; slots that the stream names keep theirs."""
    D, stream = BASE["layer.00.Q"].shape[-1], json.loads(METADATA["stream"])
    named = {place for start, stop in stream.values() for place in range(start, stop)}
    free = [place for place in range(D) if place not in named]
    to = np.arange(D)
    to[free] = np.random.default_rng(1).permutation(free)
    back, made = np.argsort(to), {}
    for name, one in BASE.items():
        kind = name.rpartition(".")[2]
        if kind == "V":
            one = one[:, back]
        made[name] = one[back] if kind == "W2" else one[..., back]
    block, before = block_of(made, METADATA), block_of(BASE, METADATA)
    prompt = random_prompts(block.problem, 20, seeded(0))
    assert torch.allclose(block.step(prompt), before.step(prompt), rtol=0, atol=1e-12)
    assert own_certificate(block)["certified"] == own_certificate(before)["certified"]


def test_the_layers_of_a_part_do_not_matter():
    """The sums for r' stand beside those for r; in a layer of their own they are the same block."""
    made = {}
    for i in range(LAYERS):
        for part in ("Q", "K", "V", "W1", "W2"):
            if f"layer.{i:02d}.{part}" in BASE:
                made[f"layer.{i + (i > 1):02d}.{part}"] = BASE[f"layer.{i:02d}.{part}"]
    half = len(BASE["layer.01.Q"]) // 2  # of the second layer: r first, then r'
    for part in "QKV":
        made[f"layer.02.{part}"] = BASE[f"layer.01.{part}"][half:]
        made[f"layer.01.{part}"] = BASE[f"layer.01.{part}"][:half]
    made["layer.02.W1"], made["layer.02.W2"] = made.pop("layer.01.W1"), made.pop("layer.01.W2")
    diagonal = json.dumps([f"layer.{int(name[-2:]) + 1:02d}" for name in json.loads(METADATA["diagonal"])])
    block = block_of(made, METADATA | {"diagonal": diagonal})
    assert own_certificate(block)["certified"] == own_certificate(block_of(BASE, METADATA))["certified"]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60)
def test_a_changed_entry_is_not_proved_unless_it_changes_nothing(data):
    name = data.draw(st.sampled_from(sorted(BASE)))
    one = BASE[name].copy()
    places = np.argwhere(one) if data.draw(st.booleans()) else np.argwhere(one == 0)
    index = tuple(places[data.draw(st.integers(0, len(places) - 1))])
    one[index] += data.draw(st.sampled_from([0.25, -0.5, 1e-6, -one[index] or 1.0, -2 * one[index] or 2.0]))
    changed, before = block_of(BASE | {name: one}, METADATA), block_of(BASE, METADATA)
    try:
        own_certificate(changed)
    except Unreadable as reason:
        assert "\n" not in str(reason)
        return
    prompt = random_prompts(changed.problem, 50, seeded(0))
    assert torch.allclose(changed.step(prompt), before.step(prompt), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ({"radius": 0.5, "beyond": 0.0}, r"with the errors of their own sums the bound is .*, above eps"),
        ({"pieces": 2}, r"with the errors of their own sums the bound is .*, above eps"),
        ({"above": 1.0}, r"the constant 1 does not keep s\[1\] above 0"),
    ],
)
def test_what_is_not_proved_is_said(letters, words):
    block = block_of(*by_hand(N=2, **letters))
    with pytest.raises(Unreadable, match=words):
        own_certificate(block)
    assert recover(block).bound is None and "paper with sums of their own" in recover(block).why


def test_faces_without_room_for_rounding_are_refused_by_the_checker():
    found = recover(block_of(*by_hand(N=2, room=0.0)))
    assert found.bound is None and found.own
    assert "the box of V2 leaves room for rounding in the theorem's domain" in found.why


def test_an_offset_far_above_its_range_costs_only_rounding():
    near, far = (own_certificate(block_of(*by_hand(N=2, above=above))) for above in (64.0, 2.0**14))
    assert far["certified"] == pytest.approx(near["certified"], rel=1e-6)
    assert far["errors"]["update[1]"] > near["errors"]["update[1]"]
    assert far["layers"] == near["layers"]


def moved_layers(first, second):
    made = {name: one for name, one in BASE.items() if name[:8] not in (first, second)}
    for a, b in ((first, second), (second, first)):
        made |= {b + name[8:]: one for name, one in BASE.items() if name[:8] == a}
    return made


def test_parts_in_a_wrong_order_are_named():
    with pytest.raises(
        Unreadable, match=r"is read before its last term is added|is read after it was changed"
    ):
        own_certificate(block_of(moved_layers("layer.00", "layer.01"), METADATA))


@pytest.mark.parametrize(
    "name",
    [name for name, (damage, expected) in MUTANTS.items() if expected in MEASURES and damage not in REBUILT],
)
def test_no_mutant_is_proved(name):
    tensors, metadata = layers_by_hand(room=ROOM, eps=0.9)
    assert recover(block_of(tensors, metadata)).own  # undamaged it is
    MUTANTS[name][0](tensors, metadata)
    found = recover(block_of(tensors, metadata))
    assert found.bound is None and found.why


def test_a_stream_that_lies_is_not_proved():
    stream = json.loads(METADATA["stream"])
    stream["x"], stream["y"] = stream["y"], stream["x"]
    block = block_of(BASE, METADATA | {"stream": json.dumps(stream)})
    with pytest.raises(Unreadable):
        own_certificate(block)


def test_other_letters_are_not_proved():
    block = block_of(BASE, METADATA)
    for change in ({"eta": 0.2}, {"n": 5}, {"B_v": 0.9}):
        other = GivenBlock(block.tensors, replace(block.problem, **change), block.declaration)
        found = recover(other)
        assert found.bound is None and found.why
