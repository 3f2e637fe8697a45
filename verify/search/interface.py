"""The interface of the searches of an attack, and the data that every search receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.progress import Advance, Progress
from icgd.bounds.step_error.plan import Plan
from icgd.verify.search.ascent import Round, Stride
from icgd.verify.search.single_token import FoundTokens, TokenError

_NUMBERS = 1 << 24

_UNITS = 10
"""Hidden units from which on a search is as wide as it says; in smaller networks it is wider."""


@dataclass(frozen=True, eq=False)
class Hunt:
    """One hunt for the single token with the largest step error: what its searches share.

    leaders: tokens that are worst under free signs, the worst first; none if nothing is approximated.
    width: the typical width of a linear piece, in units of half the fitted interval.
    pool: number of random tokens.  rounds: of ascents, with fewer points and finer scales in each.
    """

    plan: Plan
    error: TokenError
    leaders: Float[Tensor, "C coordinates"]
    width: float
    pool: int
    rounds: tuple[Round, ...]
    generator: torch.Generator
    progress: Progress

    def affordable(self, count: float, each: int = 1) -> int:
        """`count`, or fewer if memory does not hold that many points in `each` versions."""
        return max(1, min(round(count), _NUMBERS // (each * self.leaders.shape[-1])))

    def widened(self, count: int) -> int:
        """`count`, or up to twice as many in a network of few hidden units, where each takes less time."""
        return round(count * min(2.0, max(1.0, _UNITS / self.plan.problem.units)))

    def uniform(self, *shape: int) -> Tensor:
        at = self.generator.device
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64, device=at).to(
            self.error.device
        )

    def normal(self, *shape: int) -> Tensor:
        at = self.generator.device
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64, device=at).to(
            self.error.device
        )

    def sizes(self, low: float, high: float, *shape: int) -> Tensor:
        """Log-uniform numbers between low and high."""
        return low * (high / low) ** self.uniform(*shape)

    def choice(self, count: int, *shape: int) -> Tensor:
        """Random integers from 0 to count - 1."""
        return (count * self.uniform(*shape)).long().clamp(max=count - 1)

    def survivors(self, found: Mapping[str, FoundTokens], count: int) -> FoundTokens:
        """The best tokens so far, equally many from each search, as the results of one may be a dead end."""
        share = -(-count // len(found))
        return FoundTokens.joined([one.distinct(share) for one in found.values()])

    def ascend(self, what: str, starts: FoundTokens) -> FoundTokens:
        """Ascents from the best starts, then at finer scales from the best so far; the best of each round."""
        work = sum(this.points * (1 + this.iterations) for this in self.rounds)
        best, kept = starts, [starts.best(self.rounds[-1].points)]
        with self.progress(what, work) as advance:
            for this in self.rounds:
                best = self.climb(best.best(self.affordable(this.points)).points, this, advance)
                kept.append(best.best(self.rounds[-1].points))
        return FoundTokens.joined(kept)

    def climb(self, points: Float[Tensor, "B coordinates"], this: Round, advance: Advance) -> FoundTokens:
        """The worst token on the ascent from each point; every point has its own step size."""
        step = self.sizes(this.step / 30, this.step, len(points), 1)
        stride, current = Stride.at(points), points
        best = FoundTokens(points, torch.full_like(points[:, 0], -1.0))
        for i in range(this.iterations + 1):
            values, slope = self.error.slope(current)
            best = best.improved(FoundTokens(current, values))
            move = step * 0.01 ** (i / this.iterations) * stride.along(slope)
            current = self.error.inside(current + move)
            advance(len(points))
        return best


class TokenSearch(Protocol):
    """A search for worse tokens; `found` has the results of the earlier searches by name."""

    def __call__(self, hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens: ...
