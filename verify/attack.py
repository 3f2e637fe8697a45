"""Adversarial search for a large step error: sampling with a will.

The error of a step is a mean over examples, so its supremum over all n is that of one example
repeated n times; the search therefore runs over (w, x, y) of a single token and the result is
then replayed on a full prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from bounds.plan import Plan
from bounds.problem import Problem
from construct.prompt import Prompt, box
from construct.relu_icgd import assemble
from construct.transformer import Transformer
from verify.admission import Admit, everything
from verify.descent import empirical_loss
from verify.prompts import into_ball, random_prompts
from verify.sweep import Advance, one_step_errors


@dataclass(frozen=True)
class Round:
    """Gradient ascent from the best `points` so far, with step sizes falling from `step` to a hundredth."""

    points: int
    iterations: int
    step: float


ROUNDS = (Round(512, 120, 0.2), Round(64, 120, 0.02), Round(32, 60, 0.002))
"""Ever fewer points at ever finer scales: first where errors weigh most, then how they line up."""


@dataclass(frozen=True, eq=False)
class Attack:
    """The worst prompt that the search found.

    largest: norm2(err) of one step on `worst`, in the theorem's unit.  evaluations: single tokens tried.
    restarts: how many ascents were begun.
    """

    evaluations: int
    restarts: int
    largest: float
    worst: Prompt


def attack(
    plan: Plan,
    generator: torch.Generator,
    *,
    transformer: Transformer | None = None,
    pool: int = 20_000,
    rounds: tuple[Round, ...] = ROUNDS,
    seeds: Prompt | None = None,
    admit: Admit = everything,
    device: torch.device | str = "cpu",
    advance: Advance | None = None,
) -> Attack:
    """Gradient ascent on the step error, from the worst of `pool` random tokens, for the worst prompt.

    transformer: the one under attack if it is not what `plan` describes; the search over single tokens then
    still runs on the planned one, and only the final replay, which decides, is on it.
    seeds: a prompt whose tokens are starting points too, such as the worst of a sweep.
    """
    single = assemble(plan, n=1).to(device)
    target = (transformer or assemble(plan)).to(device)
    problem = single.problem
    points = _encode(problem, random_prompts(problem, pool, generator, device))
    if seeds is not None:
        points = torch.cat([points, _encode(problem, _tokens(seeds.to(device)))])
    values = _evaluate(single, points, admit)
    evaluations = len(points)
    for this in rounds:
        values, best = values.topk(min(this.points, len(values)))
        points, values = _ascend(single, points[best], values, this, admit)
        evaluations += len(points) * this.iterations
        if advance:
            advance(len(points) * this.iterations)
    values, best = values.topk(min(8, len(values)))
    champions = _repeat(_decode(problem, points[best]), plan.problem.n)
    replayed = torch.where(admit(champions), one_step_errors(target, champions), 0.0)
    winner = int(replayed.argmax())
    return Attack(evaluations, rounds[0].points, float(replayed[winner]), champions[winner : winner + 1])


def _ascend(
    single: Transformer,
    points: Float[Tensor, "B genes"],
    values: Float[Tensor, " B"],
    this: Round,
    admit: Admit,
) -> tuple[Float[Tensor, "B genes"], Float[Tensor, " B"]]:
    """The best point met on each ascent, by steps normalised as in Adam, back into the radii after each."""
    problem = single.problem
    current, best_points, best = points, points, values
    momentum, scale = torch.zeros_like(points), torch.zeros_like(points)
    for i in range(this.iterations):
        slope = _slope(single, current)
        slope = slope / (torch.linalg.vector_norm(slope, dim=-1, keepdim=True) + 1e-300)
        momentum, scale = 0.8 * momentum + 0.2 * slope, 0.95 * scale + 0.05 * slope**2
        step = this.step * 0.01 ** (i / this.iterations)
        current = _encode(problem, _decode(problem, current + step * momentum / (scale.sqrt() + 1e-8)))
        found = _evaluate(single, current, admit)
        better = found > best
        best = torch.where(better, found, best)
        best_points = torch.where(better[:, None], current, best_points)
    return best_points, best


def _slope(single: Transformer, points: Float[Tensor, "B genes"]) -> Float[Tensor, "B genes"]:
    """The gradient of the step error by (w, x, y), through the transformer and exact descent alike."""
    problem = single.problem
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        prompt = _decode(problem, points)
        (exact,) = torch.autograd.grad(empirical_loss(problem, prompt).sum(), prompt.w, create_graph=True)
        reached = single.step(prompt)
        inside = reached.detach().abs() < box(problem, reached) * (1 - 1e-9)
        error = torch.where(inside, reached - prompt.w + problem.eta * exact, 0.0)
        (slope,) = torch.autograd.grad((error**2).sum(dim=-1).add(1e-60).sqrt().sum(), points)
    return torch.nan_to_num(slope)


def _evaluate(single: Transformer, points: Float[Tensor, "B genes"], admit: Admit) -> Float[Tensor, " B"]:
    prompt = _decode(single.problem, points)
    return torch.where(admit(prompt), one_step_errors(single, prompt), 0.0)


def _encode(problem: Problem, prompt: Prompt) -> Float[Tensor, "B genes"]:
    """Single tokens as points: w in units of the half sides of W, then x and y."""
    return torch.cat([prompt.w / box(problem, prompt.w), prompt.x[:, 0], prompt.y[:, 0]], dim=-1)


def _decode(problem: Problem, points: Float[Tensor, "B genes"]) -> Prompt:
    unit, x, y = points.split([problem.D_w, problem.d, problem.d_out], dim=-1)
    x, y = into_ball(x, problem.B_x)[:, None], y[:, None]
    if problem.loss.targets is not None:
        y = y.clamp(*problem.loss.targets)
    face = box(problem, unit)
    return Prompt(x, into_ball(y, problem.B_y), torch.zeros_like(x[:, 0]), (unit * face).clamp(-face, face))


def _tokens(prompt: Prompt) -> Prompt:
    """The examples of the first prompt as prompts of one example each."""
    first = prompt[:1]
    return replace(
        first,
        x=first.x.transpose(0, 1),
        y=first.y.transpose(0, 1),
        query=first.x[0],
        w=first.w.expand(first.n, -1),
    )


def _repeat(prompt: Prompt, n: int) -> Prompt:
    return replace(prompt, x=prompt.x.expand(-1, n, -1), y=prompt.y.expand(-1, n, -1))
