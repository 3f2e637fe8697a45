"""The step error as a function of a single example (w, x, y), over which the attack searches.

The error of a step is a mean over examples, so its supremum is attained by one example repeated n times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import Prompt, box
from icgd.verify.descent import empirical_loss, project
from icgd.verify.search.covered import Coverage
from icgd.verify.search.prompts import into_domain
from icgd.verify.search.sweep import batch_size, one_step_errors


def encode(problem: Problem, prompt: Prompt) -> Float[Tensor, "B coordinates"]:
    """Single tokens as points: w in units of the half sides of W, then x and y."""
    return torch.cat([prompt.w / box(problem, prompt.w), prompt.x[:, 0], prompt.y[:, 0]], dim=-1)


def decode(problem: Problem, points: Float[Tensor, "B coordinates"]) -> Prompt:
    """The tokens of such points, projected into the theorem's domain."""
    unit, x, y = points.split([problem.D_w, problem.d, problem.d_out], dim=-1)
    prompt = Prompt(x[:, None], y[:, None], torch.zeros_like(x), unit * box(problem, unit))
    return into_domain(problem, prompt)


def examples(prompt: Prompt) -> Prompt:
    """The examples of the first prompt as prompts of one example each."""
    first = prompt[:1]
    return replace(
        first,
        x=first.x.transpose(0, 1),
        y=first.y.transpose(0, 1),
        query=first.x[0],
        w=first.w.expand(first.n, -1),
    )


def with_examples(prompt: Prompt, n: int) -> Prompt:
    """Prompts of one example as prompts of n."""
    return replace(prompt, x=prompt.x.expand(-1, n, -1), y=prompt.y.expand(-1, n, -1))


@dataclass(frozen=True, eq=False)
class FoundTokens:
    """Points, and norm2(err) at each of them."""

    points: Float[Tensor, "B coordinates"]
    values: Float[Tensor, " B"]

    def best(self, count: int) -> FoundTokens:
        """The `count` tokens with the largest errors, the largest first."""
        values, rows = self.values.topk(min(count, len(self.values)))
        return FoundTokens(self.points[rows], values)

    def improved(self, other: FoundTokens) -> FoundTokens:
        """The token with the larger error in each row."""
        better = other.values > self.values
        points = torch.where(better[:, None], other.points, self.points)
        return FoundTokens(points, torch.where(better, other.values, self.values))

    def distinct(self, count: int) -> FoundTokens:
        """As `best`, but with only one of several tokens with nearly equal errors: they are mirror images."""
        best = self.best(8 * count)
        apart = best.values[1:] < best.values[:-1] * (1 - 1e-4)
        rows = torch.cat([torch.ones_like(apart[:1]), apart]) if len(apart) else slice(None)
        return FoundTokens(best.points[rows], best.values[rows]).best(count)

    @classmethod
    def joined(cls, parts: Sequence[FoundTokens]) -> FoundTokens:
        return cls(torch.cat([p.points for p in parts]), torch.cat([p.values for p in parts]))


class TokenError:
    """norm2(err) of one step of the planned transformer on single tokens, given as points.

    tried: how many tokens were evaluated so far.
    """

    def __init__(self, plan: Plan, covers: Coverage, device: torch.device | str) -> None:
        self.single, self.covers, self.device = assemble(plan, n=1).to(device), covers, device
        self.problem, self.tried = self.single.problem, 0

    def inside(self, points: Float[Tensor, "B coordinates"]) -> Float[Tensor, "B coordinates"]:
        """The nearest points of the domain."""
        return encode(self.problem, decode(self.problem, points))

    def at(self, points: Float[Tensor, "B coordinates"]) -> FoundTokens:
        """The points with their errors; 0 for tokens that the claim does not cover."""
        self.tried += len(points)
        values = [self._values(part) for part in points.split(batch_size(self.problem))]
        return FoundTokens(points, torch.cat(values))

    def _values(self, points: Float[Tensor, "B coordinates"]) -> Float[Tensor, " B"]:
        prompt = decode(self.problem, points)
        return torch.where(self.covers(prompt), one_step_errors(self.single, prompt), 0.0)

    def slope(
        self, points: Float[Tensor, "B coordinates"]
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, "B coordinates"]]:
        """The error and its gradient, through both the transformer and exact descent."""
        self.tried += len(points)
        parts = [self._slope(part) for part in points.split(batch_size(self.problem))]
        return torch.cat([values for values, _ in parts]), torch.cat([slopes for _, slopes in parts])

    def _slope(self, points: Float[Tensor, "B coordinates"]) -> tuple[Tensor, Tensor]:
        problem = self.problem
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            prompt = decode(problem, points)
            (exact,) = torch.autograd.grad(
                empirical_loss(problem, prompt).sum(), prompt.w, create_graph=True, materialize_grads=True
            )
            reached = self.single.step(prompt)
            error = reached - project(problem, prompt.w - problem.eta * exact)
            values = (error**2).sum(dim=-1).add(1e-60).sqrt()
            (slope,) = torch.autograd.grad(values.sum(), points)
        values = torch.where(self.covers(prompt), values.detach().nan_to_num(0.0), 0.0)
        return values, torch.nan_to_num(slope)
