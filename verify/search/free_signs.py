"""A search with free signs: where the step error would be largest if every local error had its worst sign.

To first order, a step error is a signed sum of local approximation errors.  The signs change with every
linear piece, too fast for gradient ascent on the true error.  With the signs as free variables the function
is smooth, and ascent finds its maximum.  As pieces are short, small moves from there align most true signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.budget import from_z
from icgd.bounds.step_error.plan import Plan
from icgd.bounds.step_error.recurrence import Term
from icgd.construct.block.elementwise import torch_callable
from icgd.construct.prompt import Prompt, box, split_weights, stack_weights
from icgd.verify.descent import project
from icgd.verify.search.ascent import Stride
from icgd.verify.search.prompts import random_prompts
from icgd.verify.search.single_token import decode, encode

Signs = Mapping[Term, Float[Tensor, "B _"]]
"""The local error of each unit as a fraction of its bound, from -1 to 1."""


_ITERATIONS = (15, 40, 60, 100)
"""Iterations with all points, then with the best quarter, sixteenth, and so on of them."""


@dataclass(frozen=True, eq=False)
class FreeSigns:
    """Tokens with large step errors under free signs, the worst first.

    largest: norm2(err) of the first, to be compared with eta*eps.  A search value, not a bound.
    """

    largest: float
    tokens: Prompt


@dataclass(frozen=True, eq=False)
class Passes:
    """One forward and backward pass over single tokens: z(j) and g(j) for j = 1..N, and the gradient."""

    z: list[Float[Tensor, "B _"]]
    g: list[Float[Tensor, "B _"]]
    gradient: Float[Tensor, "B D_w"]

    @classmethod
    def of(cls, plan: Plan, prompt: Prompt, signs: Signs) -> Passes:
        """The exact passes, plus the plan's local errors times their entry in `signs` where there is one."""
        problem, loss, matrices = plan.problem, plan.problem.loss, split_weights(plan.problem, prompt.w)

        def with_error(value: Tensor, term: Term) -> Tensor:
            return value + plan.errors[term] * signs[term] if term in signs else value

        p, y = [prompt.x[:, 0]], prompt.y[:, 0]
        z, dr = [], []
        for j, v in enumerate(matrices, start=1):
            r = problem.activation_at(j).r
            z.append(torch.einsum("bki,bi->bk", v, p[-1]))
            exact = torch_callable(r)(z[-1])
            p.append(with_error(exact, Term("r", j)))
            dr.append(with_error(torch_callable(r.derivative)(z[-1]), Term("dr", j)))
        read = exact if from_z(problem, plan.construction) else p[-1]
        u = with_error(torch_callable(loss.phi)(read - loss.rho * y), Term("u", problem.N)) - loss.sigma * y
        g, blocks = [u], []
        for j in range(problem.N, 0, -1):
            s = with_error(dr[j - 1] * g[-1], Term("product", j))
            blocks.append(s[:, :, None] * p[j - 1][:, None, :] / 2)
            g.append(torch.einsum("bki,bk->bi", matrices[j - 1], s))
        return cls(z, g[-2::-1], stack_weights(blocks[::-1]))


def away_from_faces(plan: Plan, points: Float[Tensor, "B coordinates"]) -> Float[Tensor, "B coordinates"]:
    """The points with w moved away from faces of W that a step would cross, where clipping hides errors."""
    prompt = decode(plan.problem, points)
    face = box(plan.problem, points)
    shift = (1.01 * plan.problem.eta * Passes.of(plan, prompt, {}).gradient).nan_to_num().clamp(-face, face)
    w = torch.maximum(torch.minimum(prompt.w, face + shift.clamp(max=0)), -face + shift.clamp(min=0))
    return encode(plan.problem, prompt.with_weights(w))


def free_error(plan: Plan, prompt: Prompt, signs: Signs) -> Float[Tensor, " B"]:
    """norm2(err) of one step on prompts of one example, under local errors with these signs."""
    reached, exact = (
        project(plan.problem, prompt.w - plan.problem.eta * Passes.of(plan, prompt, given).gradient)
        for given in (signs, {})
    )
    return ((reached - exact) ** 2).sum(dim=-1).add(1e-60).sqrt()


def free_signs(
    plan: Plan,
    generator: torch.Generator,
    *,
    pool: int = 4096,
    effort: float = 1.0,
    keep: int = 64,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> FreeSigns:
    """Ascent from `pool` random tokens, thinned out three times; the signs follow their own gradients.

    effort: scales the number of iterations.
    """
    problem = replace(plan.problem, n=1)
    start = _coherent(problem, random_prompts(problem, pool, generator), generator)
    points, signs = encode(problem, start).to(device), _random_signs(plan, pool, generator, device)
    stride, values = Stride.at(points), torch.zeros_like(points[:, 0])
    rounds = [max(1, round(effort * iterations)) for iterations in _ITERATIONS]
    done = 0
    with progress("free signs", sum(_duration(pool, k, count) for k, count in enumerate(rounds))) as advance:
        for k, iterations in enumerate(rounds):
            if k:
                best = values.topk(min(len(values), max(keep, pool // 4**k))).indices
                points, stride = points[best], stride[best]
                signs = {term: share[best] for term, share in signs.items()}
            for _ in range(iterations):
                values, slope, signs = ascent(plan, points, signs)
                step = 0.2 * 0.005 ** (done / sum(rounds))
                points = away_from_faces(plan, points + step * stride.along(slope))
                done += 1
                advance(_duration(pool, k, 1))
    values, best = ascent(plan, points, signs)[0].topk(min(keep, len(points)))
    return FreeSigns(float(values[0]), decode(problem, points[best]))


def _duration(pool: int, thinned: int, iterations: int) -> float:
    """The relative duration of iterations: a constant plus one unit for every 128 points."""
    return iterations * (1 + pool / 4**thinned / 128)


def _coherent(problem: Problem, prompt: Prompt, generator: torch.Generator) -> Prompt:
    """Half of the prompts with w at corners of W where layers pass on errors with one sign, V1 scaled down.

    Such corners amplify errors most and are rare among random ones; small z keep r' large if it peaks at 0.
    """
    at: dict[str, Any] = {"generator": generator, "dtype": prompt.w.dtype, "device": prompt.w.device}
    blocks = []
    sides = [torch.rand(prompt.batch, size, **at) - 0.5 for size in problem.dims]
    for j, (into, out) in enumerate(pairwise(sides)):
        block = out.sign()[:, :, None] * into.sign()[:, None, :]
        noise = (2 * torch.rand(block.shape, **at) - 1) * 10 ** (-2 * torch.rand(prompt.batch, 1, 1, **at))
        blocks.append(block if j else noise)
    corners = stack_weights(blocks) * box(problem, prompt.w)
    half = torch.arange(prompt.batch, device=prompt.w.device)[:, None] % 2 == 0
    return prompt.with_weights(torch.where(half, corners, prompt.w))


def ascent(
    plan: Plan, points: Float[Tensor, "B coordinates"], signs: Signs
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B coordinates"], dict[Term, Float[Tensor, "B _"]]]:
    """The error under free signs, its gradient in the point, and the signs that increase it."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        shares = {term: share.detach().requires_grad_() for term, share in signs.items()}
        values = free_error(plan, decode(plan.problem, points), shares)
        # Where the loss slope is a function of z(N), r(N) is not used and its sign has no gradient.
        wanted = [points, *shares.values()]
        slope, *pulls = torch.autograd.grad(values.sum(), wanted, materialize_grads=True)
    chosen = {
        term: torch.where(pull == 0, share, pull.sign())
        for (term, share), pull in zip(signs.items(), pulls, strict=True)
    }
    return values.detach().nan_to_num(0.0), slope.nan_to_num(), chosen


def _random_signs(
    plan: Plan, count: int, generator: torch.Generator, device: torch.device | str
) -> dict[Term, Tensor]:
    at = generator.device
    return {
        term: torch.randn(
            count, plan.problem.dims[term.layer], generator=generator, dtype=torch.float64, device=at
        )
        .sign()
        .to(device)
        for term, error in plan.errors.items()
        if error > 0 and term.kind in ("r", "dr", "u", "product")
    }
