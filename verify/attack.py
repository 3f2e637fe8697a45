"""Adversarial search for a large step error: sampling with a will.

The error of a step is a mean over examples, so its supremum over all n is that of one example
repeated n times; the search therefore runs over (w, x, y) of a single token and the result is
then replayed on a full prompt.

Ascent alone stops where local errors happen to line up.  So the search also starts around the tokens that
would be worst under free signs, and then lines up the phases of one unit of the network after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from bounds.plan import Plan
from bounds.progress import Advance, Progress, silent
from construct.prompt import Prompt, box
from construct.relu_icgd import assemble
from construct.transformer import Transformer
from verify.admission import Admit, everything
from verify.descent import empirical_loss
from verify.free_signs import Passes, decode, encode, free_signs, withdrawn
from verify.prompts import random_prompts
from verify.sweep import one_step_errors


@dataclass(frozen=True)
class Round:
    """Gradient ascent from the best `points` so far, with step sizes falling from `step` to a hundredth."""

    points: int
    iterations: int
    step: float


ROUNDS = (Round(512, 120, 0.2), Round(64, 120, 0.02), Round(32, 60, 0.002))
"""Ever fewer points at ever finer scales: first where errors weigh most, then how they line up."""

_MOVE = 5
"""A move of one unit in every chain takes about as long as so many iterations of no points."""


@dataclass(frozen=True, eq=False)
class Attack:
    """The worst prompt that the search found.

    largest: norm2(err) of one step on `worst`, in the theorem's unit.  evaluations: single tokens tried.
    restarts: how many ascents were begun.
    free_signs: what `largest` could be if every local error took its worst sign; a search value, not a bound.
    """

    evaluations: int
    restarts: int
    largest: float
    worst: Prompt
    free_signs: float | None = None


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
    progress: Progress = silent,
) -> Attack:
    """Gradient ascent on the step error, from the worst of `pool` random tokens, for the worst prompt.

    transformer: the one under attack if it is not what `plan` describes; the search over single tokens then
    still runs on the planned one, and only the final replay, which decides, is on it.
    seeds: a prompt whose tokens are starting points too, such as the worst of a sweep.
    """
    single = assemble(plan, n=1).to(device)
    target = (transformer or assemble(plan)).to(device)
    problem = single.problem
    starts = [encode(problem, random_prompts(problem, pool, generator, device))]
    if seeds is not None:
        starts.append(encode(problem, _tokens(seeds.to(device))))
    free, width = None, _piece_width(plan)
    if width:
        # The best basins are rarer the deeper the network is.
        many, long = 1024 * max(1, problem.N - 2), 3 * rounds[0].iterations
        free = free_signs(plan, generator, pool=many, iterations=long, device=device, progress=progress)
        leaders = encode(problem, free.tokens)
        starts.append(_around(plan, leaders, generator))
    points = torch.cat(starts)
    values = _evaluate(single, points, admit)
    evaluations = len(points)
    champions = [points[values.topk(min(64, len(values))).indices]]
    with progress("attack", sum(map(_work, rounds))) as advance:
        for this in rounds:
            values, best = values.topk(min(this.points, len(values)))
            points, values = _ascend(single, points[best], values, this, admit, advance)
            evaluations += len(points) * this.iterations
    champions.append(points)
    if width:
        points, values, tried = _align(
            plan, single, points, values, leaders, width, rounds[-1], generator, admit, progress
        )
        champions.append(points)
        evaluations += tried
    finalists = _repeat(decode(problem, torch.cat(champions)), plan.problem.n)
    replayed = torch.where(admit(finalists), one_step_errors(target, finalists), 0.0)
    winner = int(replayed.argmax())
    return Attack(
        evaluations,
        rounds[0].points,
        float(replayed[winner]),
        finalists[winner : winner + 1],
        free.largest if free else None,
    )


def _work(this: Round) -> float:
    """How long a round takes: its iterations, each as long as one of no points and one of every 128."""
    return this.iterations * (1 + this.points / 128)


def _piece_width(plan: Plan) -> float:
    """The usual width of a linear piece, in units of half the range it lies in; 0 if nothing has pieces."""
    fits = [*plan.fits.values(), *(product.square for product in plan.products.values() if product.square)]
    units = sorted(fitted.relus.units for fitted in fits)
    return 2 / max(2, units[len(units) // 2]) if units else 0.0


def _around(
    plan: Plan, leaders: Float[Tensor, "B genes"], generator: torch.Generator
) -> Float[Tensor, "C genes"]:
    """Points at several distances around the leaders, first drawn in so that w can move in all directions."""
    clouds = []
    for scale in (0.3, 0.1, 0.03, 0.01, 0.003):
        cloud = leaders.repeat(300, 1)
        cloud = cloud * (1 - scale * _uniform(cloud, generator, len(cloud), 1))
        clouds.append(cloud + scale * _normal(cloud, generator, *cloud.shape))
    return withdrawn(plan, torch.cat(clouds))


def _align(
    plan: Plan,
    single: Transformer,
    points: Float[Tensor, "B genes"],
    values: Float[Tensor, " B"],
    leaders: Float[Tensor, "C genes"],
    width: float,
    last: Round,
    generator: torch.Generator,
    admit: Admit,
    progress: Progress,
) -> tuple[Float[Tensor, "D genes"], Float[Tensor, " D"], int]:
    """Random moves of one unit's z and g at a time, the best of 128 kept if it gains; ascent in between.

    Chains start from the best points so far and from the leaders, drawn in by several widths of a piece.
    """
    values, best = values.topk(min(16, len(values)))
    chains = [points[best]] + [leaders * (1 - min(0.3, k * width)) for k in (0.3, 1, 3, 10)]
    reach = [width] * len(best) + [k * width for k in (0.3, 1, 3, 10) for _ in leaders]
    points = torch.cat([chains[0], withdrawn(plan, torch.cat(chains[1:]))])
    reach_of = points.new_tensor(reach)
    values = _evaluate(single, points, admit)
    tried, units, sweeps = 0, plan.problem.units, math.ceil(last.iterations / 30)
    moves = sweeps * units
    last = replace(last, points=len(points), step=width / 10)
    with progress("alignment", 3 * (_MOVE * moves + _work(last))) as advance:
        for _ in range(3):
            for _ in range(sweeps):
                basis = _phase_moves(plan, points)
                for unit in torch.randperm(units, generator=generator, device=generator.device).tolist():
                    size = reach_of[:, None, None] * 10 ** (
                        2 * _uniform(points, generator, len(points), 128, 1) - 1
                    )
                    move = size * _normal(points, generator, len(points), 128, 2)
                    move = torch.where(_uniform(points, generator, *move.shape) < 0.25, 0.0, move)
                    near = points[:, None] + move @ basis[:, :, [unit, units + unit]].mT
                    near = encode(single.problem, decode(single.problem, near.flatten(0, 1)))
                    found, best = _evaluate(single, near, admit).view(len(points), -1).max(dim=1)
                    chosen = near.view(len(points), 128, -1)[torch.arange(len(points)), best]
                    better = found > values
                    points = torch.where(better[:, None], chosen, points)
                    values = torch.where(better, found, values)
                    tried += len(near)
                    advance(_MOVE)
            points, values = _ascend(single, points, values, last, admit, advance)
            tried += len(points) * last.iterations
            reach_of = reach_of / 2
    return points, values, tried


def _phase_moves(plan: Plan, points: Float[Tensor, "B genes"]) -> Float[Tensor, "B genes phases"]:
    """The smallest move of a point that moves one z or one g of one unit and no other, for each of them.

    A local error depends on the z and g of its unit alone, and on where in a linear piece they lie.
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        passes = Passes.of(plan, decode(plan.problem, points), {})
        z = [z / layer.z for z, layer in zip(passes.z, plan.layers, strict=True)]
        g = [g / layer.g for g, layer in zip(passes.g, plan.layers, strict=True)]
        phases = torch.cat(z + g, dim=-1)
        each = torch.eye(phases.shape[-1], dtype=phases.dtype, device=phases.device)
        each = each[:, None].expand(-1, len(points), -1)
        (slopes,) = torch.autograd.grad(phases, points, each, is_grads_batched=True)
    moves: Tensor = torch.linalg.pinv(slopes.nan_to_num(0.0, 0.0, 0.0).transpose(0, 1), rtol=1e-3)
    return moves


def _uniform(like: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)


def _normal(like: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)


def _ascend(
    single: Transformer,
    points: Float[Tensor, "B genes"],
    values: Float[Tensor, " B"],
    this: Round,
    admit: Admit,
    advance: Advance,
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
        current = encode(problem, decode(problem, current + step * momentum / (scale.sqrt() + 1e-8)))
        found = _evaluate(single, current, admit)
        better = found > best
        best = torch.where(better, found, best)
        best_points = torch.where(better[:, None], current, best_points)
        advance(_work(this) / this.iterations)
    return best_points, best


def _slope(single: Transformer, points: Float[Tensor, "B genes"]) -> Float[Tensor, "B genes"]:
    """The gradient of the step error by (w, x, y), through the transformer and exact descent alike."""
    problem = single.problem
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        prompt = decode(problem, points)
        (exact,) = torch.autograd.grad(empirical_loss(problem, prompt).sum(), prompt.w, create_graph=True)
        reached = single.step(prompt)
        inside = reached.detach().abs() < box(problem, reached) * (1 - 1e-9)
        error = torch.where(inside, reached - prompt.w + problem.eta * exact, 0.0)
        (slope,) = torch.autograd.grad((error**2).sum(dim=-1).add(1e-60).sqrt().sum(), points)
    return torch.nan_to_num(slope)


def _evaluate(single: Transformer, points: Float[Tensor, "B genes"], admit: Admit) -> Float[Tensor, " B"]:
    prompt = decode(single.problem, points)
    return torch.where(admit(prompt), one_step_errors(single, prompt), 0.0)


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
