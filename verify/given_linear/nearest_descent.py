"""The descent nearest to linear attention, and the prompts on which their predictions differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import Letters
from icgd.construct.given_linear import GivenLinear
from icgd.verify.given_linear.layer_form import preconditioners

DescentKind = Literal["preconditioned", "plain"]

FITTED = 512
"""Random prompts on which a descent is fitted."""

ATTACKED, CLIMBED = 96, 150
"""Prompts that climb at once, and the steps of a climb."""


_INSIDE = 1 - 2.0**-45
"""So much below the radii, norms are inside them after all roundings."""


@dataclass(frozen=True, eq=False)
class LinearPrompt:
    """Prompts of linear attention.  x: inputs of examples.  y: their labels.  query: x_q."""

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    query: Float[Tensor, "B d"]

    def __getitem__(self, rows: slice) -> LinearPrompt:
        """The prompts of these rows."""
        return LinearPrompt(self.x[rows], self.y[rows], self.query[rows])


@dataclass(frozen=True)
class Radii(Letters):
    """Which prompts are meant: n examples, norm2(x), norm2(x_q) <= B_x and |y| <= B_y."""

    n: Annotated[int, "examples in context"] = 10
    B_x: Annotated[float, "bound on the 2-norm of inputs"] = 1.0
    B_y: Annotated[float, "bound on labels"] = 1.0


def random_linear_prompts(d: int, radii: Radii, count: int, generator: torch.Generator) -> LinearPrompt:
    """Prompts on and in the radii: half of them have all inputs and labels on the boundary.

    In a quarter of all, every example is the same one.
    """
    x = torch.randn(count, radii.n, d, generator=generator, dtype=torch.float64)
    y = 2 * torch.rand(count, radii.n, generator=generator, dtype=torch.float64) - 1
    query = torch.randn(count, d, generator=generator, dtype=torch.float64)
    x, query = (
        part / torch.linalg.vector_norm(part, dim=-1, keepdim=True).clamp(min=1e-300) for part in (x, query)
    )
    half, quarter = count // 2, count // 4
    x[half:] *= torch.rand(count - half, radii.n, 1, generator=generator, dtype=torch.float64) ** (1 / d)
    y[:half] = torch.where(y[:half] < 0, -1.0, 1.0).to(y)
    x[:quarter], y[:quarter] = x[:quarter, :1].clone(), y[:quarter, :1].clone()
    B_x, B_y = radii.B_x * _INSIDE, radii.B_y * _INSIDE
    return LinearPrompt(B_x * x, B_y * y, B_x * query)


def descent_weights(
    A: Float[Tensor, "L d d"], x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"]
) -> Float[Tensor, "B d"]:
    """w_L of w <- w - A_l grad R(w), w_0 = 0, R(w) = (1/(2n)) sum (w . x_i - y_i)^2; differentiable in A."""
    n = x.shape[1]
    C, b = x.mT @ x / n, (x.mT @ y[..., None])[..., 0] / n
    w = torch.zeros_like(b)
    for step in A:
        w = w + (b - (C @ w[..., None])[..., 0]) @ step.mT
    return w


def apart(given: GivenLinear, A: Float[Tensor, "L d d"], prompt: LinearPrompt) -> Float[Tensor, " B"]:
    """|prediction - descent's prediction| on each prompt."""
    theirs = (descent_weights(A, prompt.x, prompt.y) * prompt.query).sum(-1)
    return (given(prompt.x, prompt.y, prompt.query) - theirs).abs()


def nearest_descent(
    given: GivenLinear, radii: Radii, kind: DescentKind, generator: torch.Generator
) -> Float[Tensor, "L d d"]:
    """A_l, or a_l I for plain descent, of least mean square distance on random prompts, by LBFGS.

    It starts from the part of each layer that is a step of descent; it is the nearest found, not the nearest.
    """
    start = torch.tensor(
        np.array([[[float(v) for v in row] for row in A] for A in preconditioners(given, radii.n)])
    )
    eye = torch.eye(given.d, dtype=torch.float64)
    if kind == "plain":
        start = torch.diagonal(start, dim1=1, dim2=2).mean(1)
    prompt = random_linear_prompts(given.d, radii, FITTED, generator)
    with torch.no_grad():
        target = given.weights(prompt.x, prompt.y, prompt.query)[-1]
    if not torch.isfinite(target).all():
        return start if kind == "preconditioned" else start[:, None, None] * eye
    free = start.clone().requires_grad_()
    search = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def matrices() -> Tensor:
        return free if kind == "preconditioned" else free[:, None, None] * eye

    def loss() -> Tensor:
        search.zero_grad()
        value = (descent_weights(matrices(), prompt.x, prompt.y) - target).square().sum(-1).mean()
        value = value / target.square().sum(-1).mean().clamp(min=1e-300)
        value.backward()
        return value

    before = loss().item()
    search.step(loss)
    with torch.no_grad():
        after = _relative_loss(matrices(), prompt, target)
        better = np.isfinite(after) and after < before * (1 - 1e-9) - 1e-24
        if not better:
            free.copy_(start)
        return matrices().detach().clone()


def _relative_loss(A: Tensor, prompt: LinearPrompt, target: Tensor) -> float:
    value = (descent_weights(A, prompt.x, prompt.y) - target).square().sum(-1).mean()
    return float(value / target.square().sum(-1).mean().clamp(min=1e-300))


def attack_distance(
    given: GivenLinear,
    A: Float[Tensor, "L d d"],
    radii: Radii,
    generator: torch.Generator,
    effort: float = 1.0,
) -> tuple[float, LinearPrompt]:
    """The largest distance from descent that a gradient ascent over prompts in the radii finds, and where.

    Prompts of one example n times climb first, then prompts of n examples that need not agree.
    """
    best, where = -1.0, random_linear_prompts(given.d, radii, 4, generator)[:1]
    for copies in (radii.n, 1) if radii.n > 1 else (1,):
        start = random_linear_prompts(
            given.d, Radii(radii.n // copies, radii.B_x, radii.B_y), 4 * ATTACKED, generator
        )
        found, at = _climb(given, A, radii, start, copies, max(1, round(CLIMBED * effort)))
        if found > best:
            best, where = found, at
    return best, where


def _climb(
    given: GivenLinear, A: Tensor, radii: Radii, start: LinearPrompt, copies: int, steps: int
) -> tuple[float, LinearPrompt]:
    def repeated(parts: list[Tensor]) -> LinearPrompt:
        return LinearPrompt(parts[0].repeat(1, copies, 1), parts[1].repeat(1, copies), parts[2])

    everything = [start.x, start.y, start.query]
    with torch.no_grad():
        order = apart(given, A, repeated(everything)).nan_to_num(0.0).argsort(descending=True)[:ATTACKED]
    units = tuple(_INSIDE * radius for radius in (radii.B_x, radii.B_y, radii.B_x))
    parts = [(part[order] / unit).requires_grad_() for part, unit in zip(everything, units, strict=True)]
    best, where = -1.0, repeated(everything)[:1]
    for step in range(steps + 1):
        prompt = repeated([part * unit for part, unit in zip(parts, units, strict=True)])
        found = apart(given, A, prompt)
        values = found.detach().nan_to_num(-1.0)
        row = int(values.argmax())
        if float(values[row]) > best:
            best = float(values[row])
            where = LinearPrompt(
                *(part[row : row + 1].detach().clone() for part in (prompt.x, prompt.y, prompt.query))
            )
        if step == steps:
            break
        slopes = torch.autograd.grad(found.sum(), parts)
        length = 1.0 * (1 - step / steps) + 1e-3
        with torch.no_grad():
            for part, slope in zip(parts, slopes, strict=True):
                # One length for all tokens: then a prompt rests only where its slope is normal.
                move = slope.nan_to_num(0.0).flatten(1)
                most = torch.linalg.vector_norm(move, dim=1, keepdim=True).clamp(min=1e-300)
                part += length * (move / most).view_as(part) * part.shape[1] ** 0.5
                if part is parts[1]:
                    part.clamp_(-1.0, 1.0)
                else:
                    part.div_(torch.linalg.vector_norm(part, dim=-1, keepdim=True).clamp(min=1.0))
    return best, where
