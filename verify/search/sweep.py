"""The sweep: the largest step error over many random prompts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.descent import step_error
from icgd.verify.search.covered import Coverage, all_covered
from icgd.verify.search.prompts import random_prompts

_NUMBERS_AT_ONCE = 1 << 22


class Stepper(Protocol):
    """Anything that takes one gradient step in context."""

    problem: Problem

    def step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]: ...


@dataclass(frozen=True, eq=False)
class Sweep:
    """The result of a sweep over `count` prompts: the largest norm2(err) of one step, and its prompt.

    largest: to be compared with eta*eps.  worst: the prompt with this error.
    covered: how many of the prompts the claim covers; the others are ignored.
    """

    count: int
    covered: int
    largest: float
    worst: Prompt


def one_step_errors(transformer: Stepper, prompt: Prompt) -> Float[Tensor, " B"]:
    """norm2(err) of one simulated step from each prompt's w; inf where it is not a number."""
    problem, rows = transformer.problem, batch_size(transformer.problem)
    parts = (prompt[first : first + rows] for first in range(0, prompt.batch, rows))
    errors = torch.cat([step_error(problem, part, transformer.step(part)) for part in parts])
    return torch.nan_to_num(errors, nan=torch.inf, posinf=torch.inf)


def batch_size(problem: Problem) -> int:
    """How many prompts are processed at once, given the memory that their tokens take."""
    return max(1, _NUMBERS_AT_ONCE // ((problem.n + 1) * 4 * max(problem.dims) + problem.D_w))


def sweep(
    transformer: Transformer,
    count: int,
    generator: torch.Generator,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    covers: Coverage = all_covered,
    advance: Advance | None = None,
) -> Sweep:
    """One step on `count` random prompts within the radii, w anywhere in W, in batches."""
    problem = transformer.problem
    batch = min(count, batch_size(problem))
    largest, worst, done, total = -1.0, None, 0, 0
    while done < count:
        prompt = random_prompts(problem, min(batch, count - done), generator, device, dtype)
        covered = covers(prompt)
        errors = torch.where(covered, one_step_errors(transformer, prompt), 0.0)
        total += int(covered.sum())
        index = int(errors.argmax())
        if float(errors[index]) > largest:
            largest, worst = float(errors[index]), prompt[index : index + 1]
        done += prompt.batch
        if advance:
            advance(prompt.batch)
    assert worst is not None
    return Sweep(done, total, largest, worst)


def trajectory_errors(
    transformer: Transformer, prompt: Prompt, steps: int
) -> tuple[Float[Tensor, "{steps}+1 B D_w"], Float[Tensor, "{steps} B"]]:
    """The transformer's iterates, and norm2(err) of every step from the previous iterate."""
    iterates = transformer.simulate(prompt, steps)
    errors = [
        step_error(transformer.problem, prompt.with_weights(before), after)
        for before, after in pairwise(iterates)
    ]
    return iterates, torch.stack(errors)
