"""Exact gradient descent on the simulated network, by automatic differentiation.

Transformers are judged against it.  It shares the layout of w with `icgd.construct.prompt`, and no code with
the transformer, whose only nonlinear function is the ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.loss import Loss
from icgd.bounds.loss import p as _p
from icgd.bounds.loss import y as _y
from icgd.bounds.problem import Problem
from icgd.construct.block.elementwise import compiled, torch_callable
from icgd.construct.prompt import Prompt, box, split_weights

MEASUREMENT_ERROR = 2.0**-44
"""How far rounding in float64 may move what is measured: a loss, a distance; relative to 1 plus its size."""

_AT_ONCE = 1 << 22
"""At most so many numbers of one layer are in memory at once: very long prompts are processed in parts."""


@cache
def _loss_callable(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    return compiled(loss.expr, _p, _y)


def network(
    problem: Problem, w: Float[Tensor, "B D_w"], x: Float[Tensor, "B n d"]
) -> Float[Tensor, "B n d_out"]:
    """The outputs p_i(N) of the simulated network; source: arXiv 2411.16549, Section 4."""
    p = x
    for layer, v in enumerate(split_weights(problem, w), start=1):
        p = torch_callable(problem.activation_at(layer).r)(p @ v.mT)
    return p


def empirical_loss(problem: Problem, prompt: Prompt) -> Float[Tensor, " B"]:
    """L_n(w) = (1/(2n)) sum_i l(p_i(N), y_i) of every prompt; source: arXiv 2411.16549, Theorem 1."""
    sums = [
        _loss_callable(problem.loss)(network(problem, part.w, part.x), part.y).sum(dim=(-2, -1))
        for part in _parts(problem, prompt)
    ]
    return sum(sums[1:], start=sums[0]) / (2 * prompt.n)


def _parts(problem: Problem, prompt: Prompt) -> Iterator[Prompt]:
    """The prompts with a part of their examples at a time; with all of them where they fit in memory."""
    size = max(1, _AT_ONCE // (prompt.batch * max(problem.dims)))
    for first in range(0, prompt.n, size):
        some = slice(first, first + size)
        yield replace(prompt, x=prompt.x[:, some], y=prompt.y[:, some])


def gradient(problem: Problem, prompt: Prompt) -> Float[Tensor, "B D_w"]:
    """The gradient of L_n at the w of every prompt, by autograd."""
    slopes = []
    for part in _parts(problem, prompt):
        with torch.enable_grad():
            w = prompt.w.detach().clone().requires_grad_()
            # Prompts do not interact, so one sum gives every prompt its own gradient.
            (slope,) = torch.autograd.grad(empirical_loss(problem, part.with_weights(w)).sum(), w)
        slopes.append(slope * (part.n / prompt.n))
    return sum(slopes[1:], start=slopes[0])


def project(problem: Problem, w: Float[Tensor, "B D_w"]) -> Float[Tensor, "B D_w"]:
    """Proj(w), the nearest point of the box W, by clipping."""
    face = box(problem, w)
    return torch.clamp(w, -face, face)


def _target(problem: Problem, prompt: Prompt) -> Float[Tensor, "B D_w"]:
    return prompt.w.detach() - problem.eta * gradient(problem, prompt)


def descend(problem: Problem, prompt: Prompt, steps: int) -> Float[Tensor, "{steps}+1 B D_w"]:
    """w(0), ..., w(steps) of exact projected gradient descent from the prompt's own w."""
    path = [prompt.w.detach()]
    for _ in range(steps):
        path.append(project(problem, _target(problem, prompt.with_weights(path[-1]))))
    return torch.stack(path)


def gradient_mapping(problem: Problem, prompt: Prompt) -> Float[Tensor, " B"]:
    """norm2(w - Proj(w - eta grad L_n(w))) / eta, which is zero exactly where w is stationary on W."""
    to = project(problem, _target(problem, prompt))
    norm: Tensor = torch.linalg.vector_norm(prompt.w.detach() - to, dim=-1) / problem.eta
    return norm


def step_error(problem: Problem, prompt: Prompt, reached: Float[Tensor, "B D_w"]) -> Float[Tensor, " B"]:
    """norm2(err) of one step, where err = reached - Proj(w - eta grad L_n(w)).

    It always exists.  Source: arXiv 2411.16549, Theorem 1, which allows at most eta*eps; there err stands
    inside Proj, which moves no two points further apart.
    """
    error: Tensor = torch.linalg.vector_norm(reached - project(problem, _target(problem, prompt)), dim=-1)
    return error
