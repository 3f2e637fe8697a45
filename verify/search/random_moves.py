"""A gradient-free search for a large step error: random prompts, then random moves from the worst ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance
from icgd.construct.prompt import Prompt
from icgd.verify.results import Sandwich
from icgd.verify.search.prompts import into_domain, random_prompts
from icgd.verify.search.sweep import Stepper, batch_size, one_step_errors

MOVE_ROUNDS, WORST_KEPT = 60, 64


@dataclass(frozen=True, eq=False)
class MovesFound:
    """The largest norm2(err) / eta over random prompts, and after random moves from the worst ones."""

    sampled: float
    searched: float
    samples: int
    steps: int

    def sandwich(self, on_path: float, problem: Problem, bound: float) -> Sandwich:
        """What is known of norm2(err), with the largest norm2(err) / eta on the prompts that were followed.

        problem, bound: the searched one, and an upper bound on norm2(err) / eta in its eta.
        """
        eta = problem.eta
        found = max(self.sampled, on_path), max(self.searched, on_path)
        return Sandwich(eta * found[0], eta * found[1], eta * bound, eta * problem.eps)


def search(
    stepper: Stepper,
    samples: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    advance: Advance = lambda done: None,
) -> MovesFound:
    """Random prompts in batches, then MOVE_ROUNDS random moves, large and small, from the worst of them."""
    problem, done, batch = stepper.problem, 0, min(2000, batch_size(stepper.problem))
    found: list[tuple[Prompt, Tensor]] = []
    while done < samples:
        prompt = random_prompts(problem, min(batch, samples - done), generator, device)
        errors = one_step_errors(stepper, prompt)
        best = errors.topk(min(WORST_KEPT, prompt.batch)).indices
        found.append((prompt[best], errors[best]))
        done += prompt.batch
        advance(prompt.batch)
    pool = torch.cat([errors for _, errors in found])
    chosen = pool.topk(min(WORST_KEPT, len(pool))).indices
    at, worst = _joined([prompt for prompt, _ in found])[chosen], pool[chosen]
    for _ in range(MOVE_ROUNDS):
        moved = _moved(problem, at, generator)
        errors = one_step_errors(stepper, moved)
        better = errors > worst
        both, count = _joined([at, moved]), len(worst)
        at = both[torch.arange(count, device=worst.device) + count * better]
        worst = torch.where(better, errors, worst)
        advance(len(chosen))
    return MovesFound(
        float(pool.max()) / problem.eta, float(worst.max()) / problem.eta, done, MOVE_ROUNDS * len(chosen)
    )


def _joined(prompts: list[Prompt]) -> Prompt:
    parts = ("x", "y", "query", "w")
    return Prompt(*(torch.cat([getattr(prompt, name) for prompt in prompts]) for name in parts))


def _moved(problem: Problem, prompt: Prompt, generator: torch.Generator) -> Prompt:
    """A random move of every prompt, projected back into the theorem's domain.

    All examples of a prompt move alike: the error is a mean over them, so the worst case repeats one example.
    """
    size = 10 ** (-3 * torch.rand(prompt.batch, 1, 1, generator=generator, dtype=torch.float64))

    def shaken(part: Tensor, radius: float) -> Tensor:
        rows = part if part.ndim == 3 else part[:, None]
        noise = torch.randn(len(rows), 1, rows.shape[2], generator=generator, dtype=torch.float64)
        return (rows + (radius * size * noise).to(part)).view_as(part)

    x, y = shaken(prompt.x, problem.B_x), shaken(prompt.y, problem.B_y)
    query, w = shaken(prompt.query, problem.B_x), shaken(prompt.w, problem.half_width(1))
    return into_domain(problem, Prompt(x, y, query, w))
