"""Attention heads: the structured evaluation against the theorem's attention on the literal matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.construct.block.heads import Aggregate, Clip, Gate, Read
from icgd.construct.block.stream import State, Stream
from tests.rounding import gamma

PROBLEM = Problem(N=2, K=3, d=2, d_out=1, n=4)
# V1 is 3 x 2, V2 is 1 x 3; one scratch slot for each size that occurs.
STREAM = Stream(PROBLEM, (("three", 3), ("also", 3), ("two", 2), ("single", 1)))
SIZES = {"x": 2, "y": 1, "three": 3, "also": 3, "two": 2, "single": 1}

numbers = st.floats(-2, 2, allow_subnormal=False).map(lambda v: round(v, 3))
slopes = numbers.filter(bool)


@st.composite
def sums(draw, max_units=6):
    units = draw(st.integers(0, max_units))
    lists = [draw(st.lists(kind, min_size=units, max_size=units)) for kind in (slopes, numbers, numbers)]
    return ReluSum(*lists, draw(numbers))


def state(seed, n=PROBLEM.n, batch=2):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tokens = {name: draw(batch, n + 1, size) for name, size in SIZES.items()}
    tokens["t"] = torch.ones(batch, n + 1, 1, dtype=torch.float64)
    tokens["t"][:, -1] = 0
    return State(tokens, {"V1": draw(batch, 3, 2), "V2": draw(batch, 1, 3)})


def attention(part, H, diagonal=False, sign=np.positive):
    """(1/T) sum_m (V_m H) relu((Q_m H)^T (K_m H)), H with one column a token; EWML if diagonal.

    sign: np.abs for the sizes of what is added up.
    """
    H = sign(H.numpy().transpose(0, 2, 1))
    T, total = H.shape[2], np.zeros_like(H)
    for head in part.literal(STREAM):
        Q, K, V = (sign(matrix.dense().numpy()) for matrix in (head.Q, head.K, head.V))
        for b in range(len(H)):
            scores = np.maximum((Q @ H[b]).T @ (K @ H[b]), 0)  # [i, j]: query token i, key token j
            weights = np.diag(np.diag(scores)) if diagonal else scores / T
            total[b] += (V @ H[b]) @ weights.T
    return total.transpose(0, 2, 1)


def agree(part, seed, increment, target, diagonal=False):
    H, slot, heads = STREAM.pack(state(seed)), STREAM[target], len(list(part.literal(STREAM)))
    found, sizes = (attention(part, H, diagonal, sign) for sign in (np.positive, np.abs))
    # Q h, K h, V h and their products, all tokens and heads; twice, and what a table may be off by.
    room = float(gamma(2 * (4 * STREAM.D + H.shape[1] + heads) + 64)) * sizes[..., slot.start : slot.stop]
    assert (np.abs(found[..., slot.start : slot.stop] - np.asarray(increment)) <= room).all()
    found[..., slot.start : slot.stop] = 0
    assert not found.any()  # nothing else is written


@settings(deadline=None, max_examples=40)
@given(sums(), st.sampled_from([("x", "V1", "three", False), ("three", "V2", "single", False),
                                ("single", "V2", "also", True), ("also", "V1", "two", True)]),
       st.integers(0, 9))  # fmt: skip
def test_read(relus, wiring, seed):
    query, matrix, target, columns = wiring
    part = Read(query, matrix, relus, target, columns=columns)
    given_ = state(seed)
    q, v = given_.tokens[query], given_.shared[matrix]
    product = np.einsum("bti,bik->btk" if columns else "bti,bki->btk", q.numpy(), v.numpy())
    increment = part.increment(given_)
    reach = np.einsum("bti,bik->btk" if columns else "bti,bki->btk", abs(q.numpy()), abs(v.numpy()))
    sizes = (reach[..., None] * abs(relus.a) + abs(relus.b)) @ abs(relus.c) + abs(relus.constant)
    room = float(gamma(2 * (q.shape[-1] + relus.units + 3) + 64)) * sizes
    assert (np.abs(increment.numpy() - relus(product)) <= room).all()
    agree(part, seed, increment, target)
    assert set(part.reads) == {query, matrix}


@settings(deadline=None, max_examples=40)
@given(sums(), st.dictionaries(st.sampled_from(["three", "also"]), slopes, min_size=1), st.integers(0, 9))
def test_clip(relus, form, seed):
    part = Clip(form, relus, "three")
    increment = part.increment(state(seed))
    agree(part, seed, increment, "three")
    assert set(part.reads) == set(form)


@pytest.mark.parametrize(
    ("query", "matrix", "value", "target"),
    [("three", None, "also", "three"), ("single", "V2", "three", "also"), ("three", "V1", "two", "two")],
)
@pytest.mark.parametrize("seed", range(3))
def test_gate(query, matrix, value, target, seed):
    part = Gate(query, matrix, value, target)
    given_ = state(seed)
    q, x = given_.tokens[query].numpy(), given_.tokens[value].numpy()
    factor = q if matrix is None else q @ given_.shared[matrix].numpy()
    increment = part.increment(given_)
    np.testing.assert_allclose(increment.numpy(), x * factor, rtol=1e-14, atol=1e-14)
    agree(part, seed, increment, target, diagonal=True)
    assert len(list(part.literal(STREAM))) == 2 * STREAM[target].size


@pytest.mark.parametrize(
    ("key", "value", "matrix"), [("three", "x", "V1"), ("single", "also", "V2"), ("single", "three", "V2")]
)
@pytest.mark.parametrize("slack", [1.0, 3.0])
def test_aggregate(key, value, matrix, slack):
    given_ = state(5)
    k, v = given_.tokens[key].numpy()[:, :-1], given_.tokens[value].numpy()[:, :-1]
    offset = slack * float(given_.tokens[key].abs().max())
    part = Aggregate(key, value, matrix, scale=-0.3, offset=offset)
    T = PROBLEM.n + 1
    increment = part.finish(part.partial(given_), T)
    expected = -0.3 / T * np.einsum("btk,bti->bki", k, v)  # the query token is left out
    np.testing.assert_allclose(increment.numpy(), expected, rtol=0, atol=1e-13)
    spread = np.broadcast_to(expected.reshape(2, 1, -1), (2, T, expected[0].size))
    agree(part, 5, spread, matrix)
    assert len(list(part.literal(STREAM))) == STREAM[key].size + 1


def test_sums_over_parts_of_a_prompt_add_up():
    given_ = state(6, n=9)
    part = Aggregate("three", "x", "V1", scale=1.0, offset=10.0)
    whole = part.partial(given_)
    pieces = [
        part.partial(State({name: value[:, rows] for name, value in given_.tokens.items()}, given_.shared))
        for rows in (slice(0, 3), slice(3, 4), slice(4, 10))
    ]
    torch.testing.assert_close(sum(pieces), whole, rtol=0, atol=1e-13)


def test_an_offset_that_is_too_small_shows():
    # The offset is a promise that |key| stays below it; the masked query token leaks through otherwise.
    given_ = state(7)
    given_.tokens["three"][:, -1] = 2.0
    kept = Aggregate("three", "x", "V1", 1.0, offset=10.0).partial(given_)
    leaked = Aggregate("three", "x", "V1", 1.0, offset=1.0).partial(given_)
    assert not torch.allclose(kept, leaked)
