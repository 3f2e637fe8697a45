"""How far L steps of the transformer end from exact descent on one prompt, as intervals, on balls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import flint

from icgd.bounds.functions.scalar import PRECISION
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import UNIT_ROUNDOFF
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.block.one_prompt import (
    BallVector,
    BlockOnBalls,
    Interval,
    descent_on_balls,
    distance_on_balls,
    on_balls,
    projected_on_balls,
)

AIMED_WIDTH, MOST_BITS = 1e-9, 2048
"""The aimed width of intervals; the most bits that balls take to reach it."""
MOST_ENCLOSED, LONGEST = 1 << 17, 200
"""Steps times distinct tokens times weights, about 25 microseconds each; the most steps that are enclosed."""


@dataclass(frozen=True)
class StepsOnPrompt:
    """Intervals that contain norm2(w(l) - w_GD(l)) on one prompt, for l = 0, ..., `steps`.

    prompt: its row in the batch.  real: for the transformer over the reals, with its declared weights exact.
    here: for the floats that this machine computed.  anywhere: for the transformer in floats on any machine,
    sums in any order, with tokens whose w differ by rounding; contains the other two.
    """

    prompt: int
    real: tuple[Interval, ...]
    here: tuple[Interval, ...]
    anywhere: tuple[Interval, ...]

    @property
    def steps(self) -> int:
        return len(self.here) - 1

    def width(self) -> float:
        """The width of the widest of the intervals on any machine."""
        return _width(self.anywhere)


def _width(intervals: Sequence[Interval]) -> float:
    return max(high - low for low, high in intervals)


def steps_to_enclose(problem: Problem, prompt: Prompt, index: int = 0) -> int:
    """How many of L steps are enclosed, so that it takes seconds."""
    tokens = len(on_balls(problem, prompt, index)[1])
    return max(1, min(problem.L, LONGEST, MOST_ENCLOSED // (tokens * problem.D_w)))


def enclose_steps(
    transformer: Transformer,
    prompt: Prompt,
    steps: int,
    index: int = 0,
    *,
    unit: float = UNIT_ROUNDOFF,
) -> StepsOnPrompt:
    """The distances for row `index` of the prompts, `real` and `here` with as many bits as they need.

    transformer: any that is made of our parts, even a damaged one.  unit: roundoff of its arithmetic; what
    happens anywhere has a width of its own, from rounding, which no bits take away.
    """
    problem, bits = transformer.problem, PRECISION
    computed = transformer.simulate(prompt[index : index + 1], steps)[:, 0].tolist()
    while True:
        with flint.ctx.workprec(bits):
            exact = list(_exact_path(problem, prompt, index, steps))
            floats = [_row(problem, w) for w in computed]
            here = tuple(distance_on_balls(x, w) for x, w in zip(exact, floats, strict=True))
            last = 2 * bits > MOST_BITS
            if last or _width(here) <= AIMED_WIDTH:
                real = _distances(transformer, prompt, index, exact, 0.0)
                if last or _width(real) <= AIMED_WIDTH:
                    anywhere = _distances(transformer, prompt, index, exact, unit)
                    break
        bits *= 2
    hulls = zip(real, here, anywhere, strict=True)
    ends = tuple((min(low for low, _ in one), max(high for _, high in one)) for one in hulls)
    return StepsOnPrompt(index, real, here, ends)


def _shaped(problem: Problem, flat: Sequence[BallVector]) -> list[list[BallVector]]:
    """The rows of every layer's matrix."""
    widths = zip(flat, problem.dims, strict=False)
    return [[v[k : k + width] for k in range(0, len(v), width)] for v, width in widths]


def _row(problem: Problem, w: Sequence[float]) -> list[BallVector]:
    """Floats w, exactly, cut into layers."""
    sizes = [a * b for a, b in pairwise(problem.dims)]
    ends = [sum(sizes[:j]) for j in range(len(sizes) + 1)]
    return [[flint.arb(x) for x in w[a:b]] for a, b in pairwise(ends)]


def _exact_path(problem: Problem, prompt: Prompt, index: int, steps: int) -> Iterator[list[BallVector]]:
    """w_GD(0), ..., w_GD(steps), each layer's matrix flattened."""
    matrices, tokens, times = on_balls(problem, prompt, index)
    flat = [[x for row in v for x in row] for v in matrices]
    yield flat
    for _ in range(steps):
        target = descent_on_balls(problem, tokens[:-1], times, _shaped(problem, flat))
        flat = projected_on_balls(problem, target)
        yield flat


def _distances(
    transformer: Transformer, prompt: Prompt, index: int, exact: Sequence[list[BallVector]], unit: float
) -> tuple[Interval, ...]:
    """Of the transformer's steps, each from the balls that the one before ended in, from the exact ones."""
    problem = transformer.problem
    matrices, tokens, times = on_balls(problem, prompt, index)
    found: list[Interval] = [(0.0, 0.0)]
    for target in exact[1:]:
        reached = BlockOnBalls(transformer, matrices, [*times, 1], unit)(tokens)
        found.append(distance_on_balls(target, reached))
        matrices = _shaped(problem, reached)
    return tuple(found)
