"""Ridges of an MLP: the structured evaluation against numpy on the declared literal matrices."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum, linear, signed
from icgd.bounds.problem import Problem
from icgd.construct.block.hidden import Ridge, clamp_to, run_hidden
from icgd.construct.block.stream import State, Stream
from icgd.construct.block.transformer import Layer
from tests.rounding import UNDERFLOW, gamma

PROBLEM = Problem(N=1, K=2, d=2, d_out=2, n=3)
STREAM = Stream(PROBLEM, (("a", 3), ("b", 3), ("c", 3)))

numbers = st.floats(-2, 2, allow_subnormal=False).map(lambda v: round(v, 3))
slopes = numbers.filter(bool)


@st.composite
def sums(draw, max_units=6):
    units = draw(st.integers(0, max_units))
    lists = [draw(st.lists(kind, min_size=units, max_size=units)) for kind in (slopes, numbers, numbers)]
    return ReluSum(*lists, draw(numbers))


@st.composite
def ridges(draw):
    form = draw(st.dictionaries(st.sampled_from("abc"), slopes, min_size=1))
    target = draw(st.sampled_from("abc"))
    return Ridge(form, draw(sums()), target, bias=draw(numbers), scale=draw(numbers))


def state(seed=0, absent=()):
    """Random values in every slot but the absent ones, which are identically zero."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    names = [name for name in ("x", "y", "a", "b", "c", "t") if name not in absent]
    return State({name: draw(2, 4, STREAM[name].size) for name in names}, {"V1": draw(2, 2, 2)})


def evaluate(layer, H):
    """W2 relu(W1 h) for every token, from the literal matrices."""
    literal = layer.literal(STREAM)
    W1, W2 = literal.W1.dense().numpy(), literal.W2.dense().numpy()
    return np.einsum("du,btu->btd", W2, np.maximum(np.einsum("ud,btd->btu", W1, H.numpy()), 0))


def rounding(parts, values):
    """How far two readings of these ridges may be apart in the slots they write.

    Of every number that a ridge adds up: its form, a unit's line and weight, all units of the layer; twice,
    and what a table may be off by.
    """
    sizes = {part.target: values[part.target].abs().numpy() for part in parts}
    for part in parts:
        read = [abs(c) * values[name].abs().numpy() for name, c in part.form.items() if name in values]
        reach = abs(part.bias) + sum(read)
        relus = part.relus
        added = (reach[..., None] * abs(relus.a) + abs(relus.b)) @ abs(relus.c) + abs(relus.constant)
        sizes[part.target] = sizes[part.target] + abs(part.scale) * added
    operations = 8 + sum(part.relus.units + 1 for part in parts)
    return {name: float(gamma(2 * operations + 64)) * size for name, size in sizes.items()}


@settings(deadline=None, max_examples=150)
@given(st.lists(ridges(), min_size=1, max_size=4), st.integers(0, 5))
def test_what_runs_is_what_the_matrices_say(parts, seed):
    before = state(seed)
    H = STREAM.pack(before)
    expected = H.numpy() + evaluate(Layer([], parts), H)
    values = dict(before.tokens)
    run_hidden(parts, values)
    found = STREAM.pack(State(values, before.shared)).numpy()
    for name, room in rounding(parts, before.tokens).items():
        at = slice(STREAM[name].start, STREAM[name].stop)
        assert (np.abs(found[..., at] - expected[..., at]) <= room).all()
        found[..., at] = expected[..., at]
    assert np.array_equal(found, expected)


@settings(deadline=None, max_examples=60)
@given(ridges(), st.sets(st.sampled_from("abc"), max_size=2))
def test_slots_that_are_identically_zero(ridge, absent):
    before = state(3, absent)
    if set(ridge.form) <= absent:
        with pytest.raises(ValueError, match="is zero"):
            ridge.increment(before.tokens)
        return
    H = STREAM.pack(before)
    increment = ridge.increment(before.tokens).numpy()
    slot = STREAM[ridge.target]
    expected = evaluate(Layer([], [ridge]), H)[..., slot.start : slot.stop]
    zeros = torch.zeros_like(before.tokens["x"])[..., :1].expand(expected.shape)
    (room,) = rounding([ridge], {ridge.target: zeros} | before.tokens).values()
    assert (np.abs(increment - expected) <= room).all()


@settings(deadline=None, max_examples=60)
@given(ridges())
def test_increment_leaves_its_inputs_alone(ridge):
    before = state(1)
    copies = {name: value.clone() for name, value in before.tokens.items()}
    ridge.increment(before.tokens)
    assert all(torch.equal(copies[name], value) for name, value in before.tokens.items())


def test_all_ridges_read_the_input_of_the_layer():
    # a += b and b += a at once: neither may see the other's result.
    values = {
        name: torch.ones(1, 1, 3, dtype=torch.float64) * size for name, size in (("a", 2.0), ("b", 5.0))
    }
    run_hidden([Ridge({"b": 1.0}, signed(1.0), "a"), Ridge({"a": 1.0}, signed(1.0), "b")], values)
    assert values["a"].unique().item() == 7.0 and values["b"].unique().item() == 7.0


def test_erasing_leaves_exactly_zero():
    erase = Ridge({"a": 1.0}, signed(-1.0), "a")
    assert erase.erases()
    before = state(2)
    values = dict(before.tokens)
    run_hidden([erase], values)
    assert "a" not in values
    slot = STREAM["a"]
    H = STREAM.pack(before)
    after = H.numpy() + evaluate(Layer([], [erase]), H)
    assert not after[..., slot.start : slot.stop].any()
    for other in (
        Ridge({"a": 1.0}, signed(-1.0), "b"),
        Ridge({"a": 2.0}, signed(-1.0), "a"),
        Ridge({"a": 1.0, "b": 1.0}, signed(-1.0), "a"),
        Ridge({"a": 1.0}, signed(1.0), "a"),
        Ridge({"a": 1.0}, signed(-1.0), "a", bias=1.0),
        Ridge({"a": 1.0}, signed(-1.0), "a", scale=0.5),
    ):
        assert not other.erases()


def test_constants_of_a_layer_share_one_unit():
    constant = ReluSum([], [], [], 1.5)
    layer = Layer([], [Ridge({"a": 1.0}, constant, "b"), Ridge({"b": 1.0}, constant, "c", scale=2.0)])
    assert layer.literal(STREAM).hidden == 1
    cancelling = Layer([], [Ridge({"a": 1.0}, constant, "b"), Ridge({"b": 1.0}, constant, "b", scale=-1.0)])
    assert cancelling.literal(STREAM).hidden == 0


def test_a_ridge_on_the_weights_reads_and_writes_their_entries():
    ridge = Ridge({"V1": 1.0}, clamp_to(0.5), "V1")
    before = state(4)
    H = STREAM.pack(before)
    expected = np.clip(H[..., STREAM.weights].numpy(), -0.5, 0.5)
    after = H.numpy() + evaluate(Layer([], [ridge]), H)
    np.testing.assert_allclose(after[..., STREAM.weights], expected, rtol=0, atol=1e-15)
    shared = dict(before.shared)
    run_hidden([ridge], shared)
    np.testing.assert_allclose(shared["V1"].flatten(1).numpy(), expected[:, 0], rtol=0, atol=1e-15)


@settings(deadline=None, max_examples=100)
@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.125, 8))
def test_small_sums_of_relus(t, coefficient, radius):
    assert signed(coefficient)(t) == coefficient * t
    inside = max(t, -radius)
    x, c, r = Fraction(inside), Fraction(coefficient), Fraction(radius)
    # The argument, the product, the constant and the sum; then two units and one more sum.
    off = Fraction(float(linear(coefficient, radius)(inside))) - c * x
    assert abs(off) <= gamma(4) * abs(c) * (abs(x) + 2 * r) + 2 * UNDERFLOW
    clipped = Fraction(float(t + clamp_to(radius)(t)))
    assert abs(clipped - min(max(Fraction(t), -r), r)) <= gamma(5) * (3 * abs(Fraction(t)) + 2 * r)
