"""Distances after several steps on one prompt, against descent in 50 digits and against literal runs."""

import mpmath
import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.prompt import split_weights
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.several_steps.on_prompt import AIMED_WIDTH, enclose_steps, steps_to_enclose
from icgd.verify.several_steps.proof import prove_several_steps

SMALL = Problem(N=2, K=2, d=1, d_out=1, n=3, L=5, eps=0.2, eta=0.5)


def descent_in_digits(problem, prompt, steps):
    """w_GD(steps), by central differences of the loss in 60 digits: no gradient is written down."""
    shapes = list(zip(problem.dims[1:], problem.dims[:-1], strict=True))
    halves = [face(problem, j) for j, (a, b) in enumerate(shapes, 1) for _ in range(a * b)]

    def loss(w):
        total = mpmath.mpf(0)
        for x, y in zip(prompt.x[0].tolist(), prompt.y[0].tolist(), strict=True):
            p, start = [mpmath.mpf(v) for v in x], 0
            for a, b in shapes:
                p = [mpmath.tanh(sum(w[start + i * b + k] * p[k] for k in range(b))) for i in range(a)]
                start += a * b
            total += sum((u - v) ** 2 for u, v in zip(p, y, strict=True))
        return total / (2 * problem.n)

    with mpmath.workdps(60):
        w, h = [mpmath.mpf(v) for v in prompt.w[0].tolist()], mpmath.mpf(10) ** -18
        for _ in range(steps):
            ends = [
                [loss([v + s * h * (k == i) for k, v in enumerate(w)]) for s in (1, -1)]
                for i in range(len(w))
            ]
            slope = [(ahead - behind) / (2 * h) for ahead, behind in ends]
            moved = [v - mpmath.mpf(problem.eta) * g for v, g in zip(w, slope, strict=True)]
            w = [max(-half, min(half, v)) for v, half in zip(moved, halves, strict=True)]
        return w


def test_the_distance_is_a_number_and_literal_runs_are_inside():
    planned = plan(SMALL)
    transformer = assemble(planned)
    prompt = random_prompts(SMALL, 8, seeded(1))[5:6]
    found = enclose_steps(transformer, prompt, SMALL.L)
    inner = prove_several_steps(SMALL, planned, transformer).tube
    assert found.steps == SMALL.L and found.width() <= AIMED_WIDTH
    stream, dense = transformer.stream, DenseTransformer(transformer)
    H = stream.pack(stream.open(prompt))
    with mpmath.workdps(40):
        for step in range(1, SMALL.L + 1):
            H = dense.block(H.flip(1)).flip(1)
            exact = descent_in_digits(SMALL, prompt, step)
            computed = transformer.simulate(prompt, step)[-1, 0].tolist()
            shipped = [computed, *H[0, :, stream.weights].tolist()]
            apart = [
                mpmath.sqrt(sum((mpmath.mpf(a) - b) ** 2 for a, b in zip(w, exact, strict=True)))
                for w in shipped
            ]
            low, high = found.here[step]
            assert low - 1e-30 <= apart[0] <= high + 1e-30 and high - low <= 1e-14
            (least, most), real = found.anywhere[step], found.real[step]
            assert max(apart) <= inner.at(step)
            assert all(least <= one <= most for one in apart) and least <= real[0] <= real[1] <= most
    assert found.here[0] == pytest.approx((0, 0), abs=1e-300) and found.here[-1][0] > 1e-4


@pytest.mark.slow
def test_more_bits_are_taken_where_balls_grow():
    """Large steps on a curved loss double a ball several times a step; floats and reals stay numbers."""
    problem = Problem(N=2, K=2, d=1, d_out=1, n=2, L=40, eps=0.5, eta=8.0, B_v=4.0, B_x=2.0)
    transformer = assemble(plan(problem))
    prompt = random_prompts(problem, 4, seeded(0))
    found = enclose_steps(transformer, prompt, 40, 2)
    assert all(high - low <= AIMED_WIDTH for one in (found.here, found.real) for low, high in one)
    assert found.width() > AIMED_WIDTH  # what another machine computes may be far away by then
    assert steps_to_enclose(problem, prompt, 2) == 40


def test_a_damaged_transformer_is_measured_as_it_is():
    wrong = assemble(plan(SMALL), 1)  # the update of one example in place of three
    prompt = random_prompts(SMALL, 8, seeded(1))[5:6]
    found = enclose_steps(wrong, prompt, 1)
    reached = torch.cat([v.flatten() for v in split_weights(SMALL, wrong.step(prompt))]).tolist()
    exact = descent_in_digits(SMALL, prompt, 1)
    apart = mpmath.sqrt(sum((a - b) ** 2 for a, b in zip(reached, exact, strict=True)))
    assert found.here[1][0] - 1e-15 <= apart <= found.here[1][1] + 1e-15
    assert found.here[1][0] > SMALL.eta * SMALL.eps / 4
