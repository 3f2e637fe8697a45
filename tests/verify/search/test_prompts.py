"""Random prompts: inside the radii, spread over the documented mixture, and the same for the same seed."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.construct.prompt import box, split_weights
from icgd.verify.search.prompts import into_ball, random_prompts, start
from icgd.verify.strategies import problems


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _same(a, b):
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in ("x", "y", "query", "w"))


@given(problems(), st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=80, deadline=None)
def test_prompts_are_inside_every_radius_to_the_last_bit(problem, seed, dtype):
    prompt = random_prompts(problem, 20, _generator(seed), dtype=dtype).check(problem)
    assert prompt.x.dtype == prompt.w.dtype == dtype
    for part, radius in ((prompt.x, problem.B_x), (prompt.query, problem.B_x), (prompt.y, problem.B_y)):
        for vector in part.flatten(0, -2).tolist():
            assert sum(Fraction(entry) ** 2 for entry in vector) <= Fraction(radius) ** 2
    nearest = 2.0**-24 if dtype == torch.float32 else 0.0  # the face itself is rounded
    for layer, v in enumerate(split_weights(problem, prompt.w), start=1):
        assert v.double().abs().max().item() <= problem.half_width(layer) * (1 + nearest)


def test_a_seed_gives_the_same_prompts_whatever_happens_elsewhere():
    first = random_prompts(Problem(), 8, _generator(3))
    torch.rand(5)  # the global generator is neither read nor written
    before = torch.get_rng_state()
    assert _same(first, random_prompts(Problem(), 8, _generator(3)))
    assert torch.equal(before, torch.get_rng_state())
    assert not _same(first, random_prompts(Problem(), 8, _generator(4)))


def test_the_mixture_has_the_documented_shares():
    problem = Problem(d=2, d_out=3, n=5, B_x=2.0, B_y=0.5, B_v=1.5)
    count = 4000
    prompt = random_prompts(problem, count, _generator())
    for part, radius in ((prompt.x, 2.0), (prompt.y, 0.5), (prompt.query, 2.0)):
        on_sphere = torch.linalg.vector_norm(part, dim=-1) > radius * (1 - 1e-9)
        assert on_sphere.double().mean().item() == pytest.approx(0.5, abs=0.04)
    repeated = (prompt.x == prompt.x[:, :1]).all(-1).all(-1) & (prompt.y == prompt.y[:, :1]).all(-1).all(-1)
    assert repeated.double().mean().item() == pytest.approx(0.25, abs=0.03)
    unit = (prompt.w / box(problem, prompt.w)).abs()
    corner, zero = (unit > 1 - 1e-12).all(-1), (unit == 0).all(-1)
    small = (unit.max(-1).values < 0.5) & ~zero
    assert corner.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert zero.double().mean().item() == pytest.approx(0.1, abs=0.02)
    # log-uniform on [0.001, 1]: 90% of the 20% have a scale below 0.5
    assert small.double().mean().item() == pytest.approx(0.2 * (1 - math.log10(2) / 3), abs=0.03)


def test_the_ball_is_filled_evenly():
    problem = Problem(d=3, n=1)
    x = random_prompts(problem, 20_000, _generator()).x[:, 0]
    length = torch.linalg.vector_norm(x, dim=-1)
    inner = length[length < 1 - 1e-9]
    assert (inner < 0.5).double().mean().item() == pytest.approx(0.125, abs=0.01)
    assert x.mean(0).abs().max() < 0.02


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_targets_fill_their_ball_whatever_the_loss(loss):
    y = random_prompts(Problem(d_out=1, B_y=2.0, loss=loss), 200, _generator()).y
    assert y.min() < -1.9 and y.max() > 1.9 and ((y.abs() > 0.2) & (y.abs() < 1.8)).any()


def test_start_zero_and_random():
    problem = Problem(B_v=3.0)
    zero = start(problem, "zero", 4, _generator())
    assert zero.shape == (4, problem.D_w) and zero.dtype == torch.float64 and not zero.any()
    w = start(problem, "random", 2000, _generator(), dtype=torch.float32)
    unit = w / box(problem, w)
    assert w.dtype == torch.float32 and unit.abs().max() <= 1
    assert unit.double().pow(2).mean().item() == pytest.approx(
        1 / 3, abs=0.01
    )  # the variance of uniform [-1, 1]
    with pytest.raises(ProblemError, match="start = hot: either zero or random is needed"):
        start(problem, "hot", 1, _generator())


def test_no_prompts_is_an_error():
    with pytest.raises(ProblemError, match="prompts = 0"):
        random_prompts(Problem(), 0, _generator())


def test_into_ball_leaves_short_vectors_alone_and_keeps_directions():
    v = torch.tensor([[0.3, 0.4], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    got = into_ball(v, 1.0)
    assert got[0].equal(v[0]) and got[2].equal(v[2])
    torch.testing.assert_close(got[1], torch.tensor([0.6, 0.8], dtype=torch.float64))
    assert torch.linalg.vector_norm(got[1]) <= 1
