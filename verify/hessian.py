"""The Hessian of L_n: measured by automatic differentiation, and bounded in ball arithmetic for one layer."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace

import flint
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.functions.scalar import PRECISION, ball_between
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt
from icgd.verify.descent import empirical_loss
from icgd.verify.search.prompts import into_domain, random_prompts

SAMPLED = 512
"""How many random examples have their Hessian norm measured; the ascent starts from the worst of them."""

_EXTREMES = 64  # examples whose Hessian is written out in full
_WRITTEN = 128  # the largest D_w for which it is
_ASCENT = 60
_POWER = 12
_NUMBERS = 1 << 24  # the most floats in one batch
_BOXES = 20_000  # boxes of (z, y) that the certificate for N = 1 may take


def _curve(
    problem: Problem, prompt: Prompt, v: Float[Tensor, "B D_w"], graph: bool
) -> tuple[Float[Tensor, "B D_w"], Prompt]:
    """H v for the Hessian of each prompt's L_n, and a copy of the prompt to differentiate H v by."""
    parts = [part.detach().clone().requires_grad_() for part in (prompt.x, prompt.y, prompt.query, prompt.w)]
    tracked = Prompt(*parts)
    (slope,) = torch.autograd.grad(empirical_loss(problem, tracked).sum(), tracked.w, create_graph=True)
    (product,) = torch.autograd.grad((slope * v).sum(), tracked.w, create_graph=graph)
    return product, tracked


def _unit(v: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / length.clamp(min=torch.finfo(v.dtype).tiny)


def hessian_norms(
    problem: Problem, prompt: Prompt, v: Float[Tensor, "B D_w"], iterations: int
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B D_w"]]:
    """norm2(H v) after power iterations, which never exceeds the operator norm, and the last v."""
    for _ in range(iterations):
        v, before = _unit(_curve(problem, prompt, v, False)[0]), v
        v = torch.where(v.abs().sum(-1, keepdim=True) > 0, v, before)
    norms: Tensor = torch.linalg.vector_norm(_curve(problem, prompt, v, False)[0], dim=-1)
    return norms, v


def hessian_search(
    problem: Problem, generator: torch.Generator, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """The largest Hessian norm on random prompts of one example, and after an ascent on w, x and y from them.

    L_n is a mean over examples, so its Hessian norm is largest when all examples are equal.
    """
    posed = replace(problem, n=1)
    count = max(1, min(SAMPLED, _NUMBERS // problem.D_w))
    prompt = random_prompts(posed, count, generator, device)
    v = _unit(torch.randn(prompt.w.shape, generator=generator, dtype=torch.float64).to(prompt.w))
    norms, v = hessian_norms(posed, prompt, v, _POWER)
    sampled = float(norms.max())
    top = norms.topk(min(128, count)).indices
    prompt, v, best = prompt[top], v[top], sampled
    reach = (problem.B_x, problem.B_y, problem.B_v)
    for k in range(_ASCENT):
        product, tracked = _curve(posed, prompt, v, True)
        value = (product * v).sum(-1)
        moved: list[Tensor] = []
        parts = (tracked.x, tracked.y, tracked.w)
        slopes: Sequence[Tensor | None] = [None, None, None]
        if value.requires_grad:
            slopes = torch.autograd.grad((value * value.sign().detach()).sum(), parts, allow_unused=True)
        for part, slope, radius in zip(parts, slopes, reach, strict=True):
            step = 0.5 * radius * 0.95**k
            direction = 0 * part if slope is None else slope / slope.abs().amax(
                dim=tuple(range(1, slope.ndim)), keepdim=True
            ).clamp(min=1e-300)  # fmt: skip
            moved.append((part + step * direction).detach())
        prompt = into_domain(posed, Prompt(moved[0], moved[1], prompt.query, moved[2]))
        norms, v = hessian_norms(posed, prompt, v, 2)
        best = max(best, float(norms.max()))
    return sampled, best


def eigenvalue_range(
    problem: Problem, generator: torch.Generator, device: torch.device | str = "cpu"
) -> tuple[float, float] | None:
    """The least and largest Hessian eigenvalue at random prompts of one example; None if D_w is too large."""
    if problem.D_w > _WRITTEN:
        return None
    posed = replace(problem, n=1)
    prompt = random_prompts(posed, _EXTREMES, generator, device)
    units = torch.eye(problem.D_w, dtype=prompt.w.dtype, device=prompt.w.device)
    rows = [_curve(posed, prompt, unit.expand_as(prompt.w), False)[0] for unit in units]
    values = torch.linalg.eigvalsh(torch.stack(rows, dim=-2))
    return float(values.min()), float(values.max())


def certified_single_layer(problem: Problem, lam: float) -> int | None:
    """The number of boxes on which balls bound the Hessian of an N = 1 network by lam; None if they do not.

    Each output unit has its own block (1/2)(r'(z)^2 u'(z, y) + r''(z) u(z, y)) x x^T; no recurrence is used.
    """
    r = problem.activation_at(1).r
    slope, bend, loss = r.derivative, r.derivative.derivative, problem.loss
    reach = problem.B_v * problem.B_x * (1 + 2.0**-50)
    with flint.ctx.workprec(PRECISION):
        target = 2 * flint.arb(lam) / flint.arb(problem.B_x) ** 2

        def over(box: tuple[float, float, float, float]) -> float:
            z, y = ball_between(*box[:2]), ball_between(*box[2:])
            inner = r.ball(z) - loss.rho * y
            curve = slope.ball(z) ** 2 * loss.phi.derivative.ball(inner)
            curve += bend.ball(z) * (loss.phi.ball(inner) - loss.sigma * y)
            excess = abs(curve) - target
            return float(excess.upper()) if excess.is_finite() else math.inf

        first = (-reach, reach, -problem.B_y, problem.B_y)
        heap = [(-over(first), first)]
        for boxes in range(1, _BOXES, 2):
            excess, (a, b, c, e) = heap[0]
            if -excess <= 0:
                return boxes
            z, y = (a + b) / 2, (c + e) / 2
            splits = (((a, z, c, e), (z, b, c, e)), ((a, b, c, y), (a, b, y, e)))
            # Split along whichever of z and y helps more: often one of them does not matter.
            made = [[(-over(half), half) for half in split] for split in splits]
            one, other = min(made, key=lambda pair: -min(pair)[0])
            heapq.heapreplace(heap, one)
            heapq.heappush(heap, other)
    return None
