"""How far rounding in float64 can move the exact step that the error network computes."""

from __future__ import annotations

from dataclasses import dataclass

from icgd.bounds.problem import Problem
from icgd.verify.benchmark_set.error_network import check_exact_step

_UNIT = 2.0**-53
FUNCTION_ERROR = 2.0**-44
"""What is taken for granted of a runtime: its tanh and sigmoid are that near to the true values."""

_UP = 1 + 2.0**-40
"""These bounds are themselves computed in float64."""


@dataclass(frozen=True)
class Rounded:
    """A number that is computed: at most `size` before rounding, and at most `error` away from it."""

    size: float
    error: float = 0.0

    def plus(self, other: Rounded) -> Rounded:
        """The rounded sum, or difference."""
        size, error = self.size + other.size, self.error + other.error
        return Rounded(size * _UP, (error + _UNIT * (size + error)) * _UP)

    def times(self, other: Rounded, terms: int = 1) -> Rounded:
        """The rounded sum of so many products of such numbers, in any order, fused or not."""
        size = self.size * other.size
        error = self.size * other.error + self.error * other.size + self.error * other.error
        rounding = terms * _UNIT / (1 - terms * _UNIT) * (size + error)
        return Rounded(terms * size * _UP, terms * (error + rounding) * _UP)


def rounding_room(problem: Problem) -> float:
    """A bound on |computed E - (w' as computed - the exact step)|, entry by entry, on the whole domain.

    For x, y and w within B_x, B_y and W; by running error analysis of `error_network.exact_step`, where
    tanh, sigmoid and their slopes are at most 1 and no steeper than 1, and Proj moves no two numbers apart.
    """
    check_exact_step(problem)
    V = [Rounded(problem.half_width(layer)) for layer in range(1, problem.N + 1)]
    outputs, slopes = [Rounded(problem.B_x)], []
    for v, columns in zip(V, problem.dims[:-1], strict=True):
        z = outputs[-1].times(v, columns)
        r = Rounded(1.0, (z.error + FUNCTION_ERROR) * _UP)
        outputs.append(r)
        slopes.append(Rounded(1.0, Rounded(1.0).plus(r.times(r)).error * _UP + r.error))
    back, worst = outputs[-1].plus(Rounded(problem.B_y)), 0.0
    rate = Rounded(problem.eta / problem.n * _UP, problem.eta / problem.n * 2 * _UNIT)
    for layer in reversed(range(problem.N)):
        s = back.times(slopes[layer])
        moved = V[layer].plus(s.times(outputs[layer], problem.n).times(rate))
        # Proj brings it back to W; the block's own w' ends within twice of W.
        projected, reached = Rounded(V[layer].size, moved.error), Rounded(2 * V[layer].size)
        worst = max(worst, reached.plus(projected).error)
        back = s.times(V[layer], problem.dims[layer + 1])
    return worst
