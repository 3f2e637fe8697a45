"""The attack on a block that others built: gradient ascent on whole prompts, through its literal matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.prompt import Prompt, box, split_weights, stack_weights
from icgd.verify.descent import empirical_loss, project
from icgd.verify.given_block.measures import measured, rows_at_once
from icgd.verify.search.ascent import Round, Stride
from icgd.verify.search.prompts import into_domain, random_prompts

CLIMBS = (Round(256, 20, 0.1), Round(64, 40, 0.03), Round(32, 50, 0.01))
"""Fewer prompts at finer scales in each round."""

_INSIDE = 0.98
"""How far out w starts, of W: on its faces the projection hides errors."""


@dataclass(frozen=True, eq=False)
class PromptsFound:
    """Prompts with their norm2(err), the largest first; tried: how many were evaluated in all."""

    prompt: Prompt
    errors: Float[Tensor, " B"]
    tried: int = 0


def climb_prompts(
    block: GivenBlock,
    starts: PromptsFound,
    generator: torch.Generator,
    rounds: tuple[Round, ...] = CLIMBS,
    progress: Progress = silent,
) -> PromptsFound:
    """The worst prompts on ascents from these; some ascents move all examples freely, others one, repeated.

    The error of descent is a mean over examples, so that one repeated example is often the worst prompt.
    """
    kept, tried = [best_of(starts, rounds[-1].points)], 0
    work = 2 * sum(this.points * (1 + this.iterations) for this in rounds)
    with progress("attack", work) as advance:
        for single in (True, False):
            found = _single(block, starts, generator) if single else starts
            tried += found.tried
            for number, this in enumerate(rounds):
                found = best_of(found, this.points)
                fraction = min(1.0, found.prompt.batch / this.points)
                found = _climb(block, found, this, generator, single=single)
                tried += found.tried
                advance(this.points * (1 + this.iterations) * fraction)
                kept.append(best_of(found, rounds[-1].points) if number else found)
    every = joined([one.prompt for one in kept])
    return best_of(PromptsFound(every, measured(block, "step-error", every), tried), rounds[-1].points)


def best_of(found: PromptsFound, count: int) -> PromptsFound:
    """The `count` prompts with the largest errors."""
    errors, rows = found.errors.topk(min(count, len(found.errors)))
    return PromptsFound(found.prompt[rows], errors, found.tried)


def joined(prompts: Sequence[Prompt]) -> Prompt:
    """The prompts of several batches in one."""
    return Prompt(*(torch.cat([getattr(one, part) for one in prompts]) for part in ("x", "y", "query", "w")))


def _single(block: GivenBlock, starts: PromptsFound, generator: torch.Generator) -> PromptsFound:
    """Prompts that repeat one example, with their errors: from these, and from new ones with equal units.

    Equal units of a layer make equal local errors and have equal gradients, so an ascent keeps them equal.
    """
    problem, prompts = block.problem, []
    new = random_prompts(problem, 4 * starts.prompt.batch, generator, starts.prompt.w.device)
    fresh = new.with_weights(_INSIDE * _equal_units(problem, new.w))
    for one, examples in ((starts.prompt, min(4, problem.n)), (fresh, 1)):
        for i in range(examples):
            x, y = one.x[:, i : i + 1].expand_as(one.x), one.y[:, i : i + 1].expand_as(one.y)
            prompts.append(Prompt(x, y, one.query, one.w))
    every = joined(prompts)
    return PromptsFound(every, measured(block, "step-error", every), every.batch)


def _equal_units(problem: Problem, w: Float[Tensor, "B D_w"]) -> Float[Tensor, "B D_w"]:
    """The weights with the first hidden unit of each layer copied to all other units of that layer."""
    matrices = []
    for j, v in enumerate(split_weights(problem, w), start=1):
        v = v[:, :1].expand_as(v) if j < problem.N else v
        matrices.append(v[:, :, :1].expand_as(v) if j > 1 else v)
    return stack_weights(matrices)


def _scales(block: GivenBlock, prompt: Prompt, *, single: bool) -> Iterator[tuple[str, int, Tensor]]:
    """Name, examples, and the size that counts as 1, of each part of a point."""
    problem, like = block.problem, prompt.w
    count = 1 if single else prompt.n
    yield "x", count, like.new_full((count * problem.d,), problem.B_x)
    yield "y", count, like.new_full((count * problem.d_out,), problem.B_y)
    yield "query", 0, like.new_full((problem.d,), problem.B_x)
    yield "w", 0, box(problem, like)


def _encoded(block: GivenBlock, prompt: Prompt, *, single: bool) -> Float[Tensor, "B coordinates"]:
    parts = []
    for name, count, scale in _scales(block, prompt, single=single):
        part = getattr(prompt, name)
        parts.append((part[:, :count].flatten(1) if count else part) / scale)
    return torch.cat(parts, dim=1)


def _decoded(block: GivenBlock, points: Tensor, like: Prompt, *, single: bool) -> Prompt:
    parts, start = {}, 0
    for name, count, scale in _scales(block, like, single=single):
        part = points[:, start : start + len(scale)] * scale
        start += len(scale)
        parts[name] = part.unflatten(1, (count, -1)).expand(-1, like.n, -1) if count else part
    return Prompt(parts["x"], parts["y"], parts["query"], parts["w"])


def _climb(
    block: GivenBlock, starts: PromptsFound, this: Round, generator: torch.Generator, *, single: bool
) -> PromptsFound:
    """The worst prompt on the ascent from each start; every one has its own step size."""
    points, like = _encoded(block, starts.prompt, single=single), starts.prompt
    low, high = this.step / 30, this.step
    step = low * (high / low) ** torch.rand(len(points), 1, generator=generator, dtype=torch.float64)
    step, stride, tried = step.to(points), Stride.at(points), 0
    best, values = points, starts.errors.clone()
    for i in range(this.iterations + 1):
        reached, slope = _slopes(block, points, like, single=single)
        tried += len(points)
        better = reached > values
        best, values = torch.where(better[:, None], points, best), torch.where(better, reached, values)
        moved = points + step * 0.01 ** (i / max(1, this.iterations)) * stride.along(slope)
        inside = into_domain(block.problem, _decoded(block, moved, like, single=single))
        points = _encoded(block, inside, single=single)
    return PromptsFound(into_domain(block.problem, _decoded(block, best, like, single=single)), values, tried)


def _slopes(
    block: GivenBlock, points: Float[Tensor, "B coordinates"], like: Prompt, *, single: bool
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B coordinates"]]:
    found = []
    rows = max(1, rows_at_once(block) // 8)
    for first in range(0, len(points), rows):
        part = slice(first, first + rows)
        found.append(_slope(block, points[part], like[part], single=single))
    return torch.cat([values for values, _ in found]), torch.cat([slopes for _, slopes in found])


def _slope(block: GivenBlock, points: Tensor, like: Prompt, *, single: bool) -> tuple[Tensor, Tensor]:
    """norm2(err) and its gradient."""
    problem = block.problem
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        prompt = _decoded(block, points, like, single=single)
        (exact,) = torch.autograd.grad(
            empirical_loss(problem, prompt).sum(), prompt.w, create_graph=True, materialize_grads=True
        )
        reached = block.step(prompt)
        values = (
            ((reached - project(problem, prompt.w - problem.eta * exact)) ** 2).sum(dim=-1).add(1e-60).sqrt()
        )
        (slope,) = torch.autograd.grad(values.sum(), points)
    return values.detach().nan_to_num(nan=0.0, posinf=0.0), torch.nan_to_num(slope, posinf=0.0, neginf=0.0)
