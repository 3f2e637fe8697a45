"""What a sub-layer reads and writes, against what happens to its output when a slot is changed."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.construct import softmax_icgd
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.block.slot_use import SlotPlace, slot_use
from icgd.construct.block.stream import Stream
from icgd.construct.relu_icgd import build

SMALL = Problem(N=2, K=2, d=2, d_out=1, n=2, eps=0.5)
LOGISTIC = Problem.parse({"N": 2, "K": 2, "d": 1, "n": 2, "eps": 0.5, "loss": "logistic"})
BLOCKS = {
    "lean": lambda: build(SMALL),
    "paper": lambda: build(SMALL, "paper"),
    "logistic": lambda: build(LOGISTIC),
    "exact": lambda: build(Problem.parse({"N": 3, "K": 2, "d": 2, "n": 4, "activation": "relu"}), "exact"),
    "softmax": lambda: softmax_icgd.build(Problem(N=1, K=1, d=1, n=2, eps=0.5)),
}


@cache
def built(name):
    return BLOCKS[name]()


def added(layer, kind, softmax, H):
    """What a sub-layer adds to H (T tokens), by the published formula."""
    total = np.zeros_like(H)
    if kind == "mlp":
        return np.maximum(H @ layer.W1.dense().numpy().T, 0) @ layer.W2.dense().numpy().T
    for head in layer.heads:
        Q, K, V = (matrix.dense().numpy() for matrix in (head.Q, head.K, head.V))
        scores = (H @ Q.T) @ (H @ K.T).T
        if softmax:
            weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        else:
            weights = np.maximum(scores, 0) / len(H)
        total += (np.diag(np.diag(weights)) if layer.diagonal else weights) @ (H @ V.T)
    return total


@pytest.mark.parametrize("name", BLOCKS)
def test_changing_a_slot_changes_what_reads_it_and_nothing_else(name):
    block = built(name)
    found, layers, rng = slot_use(block), list(block.literal()), np.random.default_rng(0)
    slots = {slot.name: slice(slot.start, slot.start + slot.size) for slot in found.slots}
    assert sum(slot.size for slot in found.slots) == block.stream.D
    for sublayer in found.sublayers:
        seen, moved = set(), set()
        for scale in (0.1, 0.3, 1.0, 3.0, 30.0) * 4:
            H = scale * rng.standard_normal((3, block.stream.D))
            before = added(layers[sublayer.layer - 1], sublayer.kind, name == "softmax", H)
            moved |= {slot for slot, at in slots.items() if np.abs(before[:, at]).max() > 0}
            for slot, at in slots.items():
                changed = H.copy()
                changed[:, at] = 0.0
                after = added(layers[sublayer.layer - 1], sublayer.kind, name == "softmax", changed)
                if not np.array_equal(before, after):
                    seen.add(slot)
        assert seen == set(sublayer.reads), (sublayer, seen)
        assert moved == set(sublayer.writes), (sublayer, moved)


@pytest.mark.parametrize("name", BLOCKS)
def test_counts_are_those_of_the_matrices(name):
    layers = list(built(name).literal())
    found = slot_use(built(name))
    expected = [
        (number, kind, count)
        for number, layer in enumerate(layers, start=1)
        for kind, count in (("attention", len(layer.heads)), ("mlp", layer.hidden))
        if count
    ]
    assert [(s.layer, s.kind, s.heads + s.units) for s in found.sublayers] == expected


class Written:
    """A block of one layer whose matrices are given."""

    name, attention, problem = "test", "relu", SMALL
    stream = Stream(SMALL, (("a", 2),))

    def __init__(self, entries):
        D = self.stream.D
        Q, K, V, W1, W2 = (
            Sparse(shape, [(row % shape[0], column % shape[1], 1.0) for row, column in places])
            for shape, places in zip(((D, D), (D, D), (D, D), (3, D), (D, 3)), entries, strict=True)
        )
        self.layer = LiteralLayer((Head(Q, K, V),), W1, W2, False)

    def literal(self):
        yield self.layer


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=3), min_size=5, max_size=5)
)
def test_any_matrices_are_read_by_column_and_written_by_row(entries):
    block = Written(entries)
    attention, mlp = slot_use(block).sublayers
    layer = block.layer
    for slot in block.stream.slots.values():
        at = slice(slot.start, slot.stop)
        read = any(m.dense()[:, at].any() for m in (layer.heads[0].Q, layer.heads[0].K, layer.heads[0].V))
        assert (slot.name in attention.reads) == read
        assert (slot.name in attention.writes) == bool(layer.heads[0].V.dense()[at].any())
        assert (slot.name in mlp.reads) == bool(layer.W1.dense()[:, at].any())
        assert (slot.name in mlp.writes) == bool(layer.W2.dense()[at].any())


def test_it_is_read_off_the_tensors_and_not_off_a_declaration():
    block = build(SMALL)
    before = slot_use(block)
    del block.layer(0).hidden[0]  # r of the first layer: p1 is no longer written there
    after = slot_use(block)
    assert "p1" in before.sublayers[1].writes and "p1" not in after.sublayers[1].writes
    assert after.slots[0] == SlotPlace("x", 0, 2) and after.sublayers[0].kind == "attention"
