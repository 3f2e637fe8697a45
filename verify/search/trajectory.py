"""Many steps of descent on one batch of prompts, compared with exact descent from the same start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.printable import Brief
from icgd.bounds.problem import Problem
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.data.real_prompts import RealPrompts
from icgd.verify.descent import descend, empirical_loss
from icgd.verify.search.covered import Coverage
from icgd.verify.search.excerpt import followed, steps
from icgd.verify.search.prompts import random_prompts, start
from icgd.verify.search.sweep import trajectory_errors


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Brief):
    """Steps followed on one batch of prompts, compared with exact descent from the same start.

    source: where the prompts come from.  steps: how many are followed, of L in all.
    errors: the largest norm2(err) at each step.  loss, exact_loss: mean empirical loss of the transformer's
    and of exact iterates.  apart: the largest norm2 distance between the two; each from step 0 on.
    """

    source: str
    start: str
    prompts: int
    steps: int
    L: int
    errors: list[float]
    loss: list[float]
    exact_loss: list[float]
    apart: list[float]


def to_follow(
    problem: Problem, real: RealPrompts | None, starting: str, generator: torch.Generator
) -> Prompt:
    """The real prompts, or 64 random ones (fewer if they are long), with w(0) zero or random."""
    prompt = random_prompts(problem, followed(problem, 64), generator) if real is None else real.prompt
    return prompt.with_weights(start(problem, starting, prompt.batch, generator))


def follow(
    transformer: Transformer, prompt: Prompt, covers: Coverage, source: str, starting: str
) -> tuple[Trajectory, tuple[float, Prompt]]:
    """The trajectory, and its largest step error over prompts that the claim covers, with that prompt."""
    problem = transformer.problem
    count = steps(problem, prompt.batch)
    iterates, errors = trajectory_errors(transformer, prompt, count)
    exact = descend(problem, prompt, count)
    is_covered = torch.stack([covers(prompt.with_weights(w)) for w in iterates[:-1]])
    covered = torch.where(is_covered, errors, 0.0)
    step, index = divmod(int(covered.argmax()), prompt.batch)
    worst = prompt.with_weights(iterates[step])[index : index + 1]

    def losses(path: Float[Tensor, "iterates B D_w"]) -> list[float]:
        return [float(empirical_loss(problem, prompt.with_weights(w)).mean()) for w in path]

    apart = torch.linalg.vector_norm(iterates - exact, dim=-1).amax(dim=1)
    trajectory = Trajectory(
        source,
        starting,
        prompt.batch,
        count,
        problem.L,
        errors.amax(dim=1).tolist(),
        losses(iterates),
        losses(exact),
        apart.tolist(),
    )
    return trajectory, (float(covered[step, index]), worst)
