"""The residual stream: every coordinate has one name, and packing is lossless."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.construct.block.stream import Stream
from icgd.verify.search.prompts import random_prompts
from icgd.verify.strategies import problems

PROBLEM = Problem(N=2, K=3, d=2, d_out=1, n=4)
SCRATCH = (("z1", 3), ("u2", 1))


def opened(problem=PROBLEM, scratch=SCRATCH, batch=2, seed=0):
    stream = Stream(problem, scratch)
    return stream, random_prompts(problem, batch, torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(problems(), st.lists(st.integers(1, 5), max_size=4))
def test_slots_cover_the_stream_once_each(problem, sizes):
    stream = Stream(problem, tuple((f"scratch{i}", size) for i, size in enumerate(sizes)))
    covered = [slot.start + k for slot in stream.slots.values() for k in range(slot.size)]
    assert covered == list(range(stream.D))
    assert problem.d + problem.d_out + problem.D_w + sum(sizes) + 2 == stream.D
    assert stream.weights.stop - stream.weights.start == problem.D_w
    assert next(iter(stream.slots)) == "x" and list(stream.slots)[-2:] == ["one", "t"]


def test_the_layout_is_the_theorems():
    stream, prompt = opened()
    H = stream.pack(stream.open(prompt))
    n = PROBLEM.n
    assert H.shape == (2, n + 1, stream.D)
    assert torch.equal(H[:, :n, :2], prompt.x) and torch.equal(H[:, n, :2], prompt.query)
    assert torch.equal(H[:, :n, 2:3], prompt.y) and not H[:, n, 2:3].any()
    assert torch.equal(H[..., stream.weights], prompt.w[:, None].expand(-1, n + 1, -1))
    assert not H[..., stream.weights.stop : -2].any()  # the scratch
    assert (H[..., -2] == 1).all()
    assert (H[:, :n, -1] == 1).all() and not H[:, n, -1].any()


@settings(deadline=None, max_examples=25)
@given(problems(), st.integers(1, 3), st.integers(0, 99))
def test_pack_and_unpack_are_inverse(problem, batch, seed):
    stream, prompt = opened(problem, (("a", 2), ("b", 1)), batch, seed)
    H = stream.pack(stream.open(prompt))
    H[..., stream["a"].start] = torch.randn(H.shape[:-1], dtype=H.dtype)
    assert torch.equal(stream.pack(stream.unpack(H)), H)


def test_unpack_refuses_tokens_that_disagree_on_w():
    stream, prompt = opened()
    H = stream.pack(stream.open(prompt))
    H[1, 2, stream["V2"].start] += 2.0**-50
    with pytest.raises(ValueError, match="dense reading"):
        stream.unpack(H)


def test_slots_that_are_absent_are_zero():
    stream, prompt = opened()
    state = stream.open(prompt)
    assert set(state.tokens) == {"x", "y", "t"} and set(state.shared) == {"V1", "V2"}
    state.tokens["z1"] = torch.ones(2, PROBLEM.n + 1, 3, dtype=torch.float64)
    H = stream.pack(state)
    z1, u2 = stream["z1"], stream["u2"]
    assert (H[..., z1.start : z1.stop] == 1).all() and not H[..., u2.start : u2.stop].any()


def test_names_and_entries_are_checked():
    with pytest.raises(ValueError, match="slot x is declared twice"):
        Stream(PROBLEM, (("x", 1),))
    stream = Stream(PROBLEM, SCRATCH)
    assert stream["z1"][2] == stream["z1"].start + 2
    for k in (-1, 3):
        with pytest.raises(IndexError, match="z1"):
            stream["z1"][k]
    with pytest.raises(KeyError):
        stream["nowhere"]


def test_matrix_entries_are_row_major():
    stream, prompt = opened()
    state = stream.open(prompt)
    H = stream.pack(state)
    for j in (1, 2):
        slot, matrix = stream[f"V{j}"], state.shared[f"V{j}"]
        for row in range(matrix.shape[1]):
            for column in range(matrix.shape[2]):
                assert torch.equal(H[:, 0, slot.at(row, column)], matrix[:, row, column])


def test_precision_and_number_of_examples_come_from_the_prompt():
    stream, prompt = opened()
    single = prompt.to("cpu", torch.float32)
    assert stream.pack(stream.open(single)).dtype == torch.float32
    fewer = type(prompt)(prompt.x[:, :2], prompt.y[:, :2], prompt.query, prompt.w)
    assert stream.pack(stream.open(fewer)).shape[1] == 3
