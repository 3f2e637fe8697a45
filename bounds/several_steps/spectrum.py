"""Bounds on the eigenvalues of the Hessian of L_n over all prompts and all of W, on cells that cover W.

The Hessian of L_n is a mean over examples, so one example is enough.  A change dV of Frobenius norm 1 moves
z(j) by dz(j) = dV_j p(j-1) + V_j dp(j-1), and with c = d^2 l(r(z), y) / dz^2 at the output

    2 dV^T H dV = sum_k c_k dz(N)_k^2 + sum_(j<N) g(j) . r''(z(j)) dz(j)^2 + 2 sum_j s(j)^T dV_j dp(j-1).

In a cell (`icgd.bounds.step_error.worst_case`) every norm on the right has a bound, which makes this a
quadratic form in the N norms of the dV_j with entries >= 0: an N x N matrix, whose largest eigenvalue is
twice a bound on those of H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from icgd.bounds.convergence import refuse_pieces
from icgd.bounds.functions.envelope import Envelope
from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.output_curvature import OutputCurvature, output_curvature
from icgd.bounds.step_error.recurrence import WIDENING, ranges
from icgd.bounds.step_error.worst_case import Cells, Setting

CELLS_EACH, DEEPEST = 800, 12
"""Cells on each side, about; and the deepest network: the bounds of deeper ones say nothing."""
_ROOM = 2.0**-14
"""Relative: a checker may enclose less tightly."""
_SLACK, _BATCH = 0.02, 64


@dataclass(frozen=True, eq=False)
class Side:
    """A bound on all eigenvalues from one side, at least 0, and the tree of cells that gives it.

    splits: in preorder, the layer 1..N in which a cell is halved (the lower half comes first), 0 at a leaf.
    """

    bound: float
    splits: list[int]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """-below.bound <= every eigenvalue of the Hessian of L_n <= above.bound; certified once checked."""

    setting: Setting
    above: Side
    below: Side

    @property
    def lam(self) -> float:
        """A Lipschitz constant of the gradient."""
        return max(self.above.bound, self.below.bound)

    def rate(self, step: float) -> float:
        """mu >= 0 such that an exact step of this size stretches distances at most 1 + step mu times."""
        return max(self.below.bound, self.above.bound - 2 / step)


@lru_cache(maxsize=64)
def hessian_spectrum(problem: Problem) -> Spectrum:
    """The bounds of one problem; raises ProblemError where the gradient is not Lipschitz, or N > 12."""
    if problem.N > DEEPEST:
        raise ProblemError("N", problem.N, f"cells bound the Hessian of up to {DEEPEST} layers")
    refuse_pieces(problem)
    try:
        form = _QuadraticForm(Setting(problem, ranges(problem, {}), False))
        return Spectrum(form.setting, _covered(form, 0), _covered(form, 1))
    except ProblemError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise ProblemError("activation", problem.activation.name, f"{error}; try smaller radii") from None


class _Steepness:
    """What a cell says of r' and r'' in one layer: the largest, the 1-norm and the 2-norm over its units."""

    def __init__(self, table: Envelope, bins: NDArray[np.int64], low: Vector, high: Vector, units: int):
        slope = table.slope[bins]
        mean = np.minimum(table.average("slope2", bins, low, high), slope**2)
        self.slope2 = np.sqrt(units * mean) * WIDENING
        self.slope = np.minimum(slope, self.slope2)
        bent = np.sqrt(units * table.average("bend2", bins, low, high)) * WIDENING
        self.bend = np.minimum(table.bend[bins], bent)
        total = units * table.average("slope", bins, low, high)
        self.slope1 = np.minimum(total, math.sqrt(units) * self.slope2)


@dataclass(frozen=True, eq=False)
class _QuadraticForm:
    setting: Setting

    @cached_property
    def output(self) -> tuple[OutputCurvature, OutputCurvature]:
        return output_curvature(self.setting.problem, self.setting.layers[-1].z)

    def largest(self, cells: Cells, side: int) -> Vector:
        """The bound in every cell, above (0) or below (1); 0 where the cell contains no network of W."""
        setting, problem = self.setting, self.setting.problem
        N, dims = problem.N, problem.dims
        p, empty = [np.full(len(cells), problem.B_x)], np.zeros(len(cells), dtype=bool)
        layers: list[_Steepness] = []
        bins = np.zeros(len(cells), dtype=np.int64)
        for j, table in enumerate(setting.envelopes, start=1):
            bins = table.bin(problem.B_v * p[-1] * WIDENING)
            low = np.maximum(cells.low[j - 1] ** 2 / WIDENING, table.least[bins])
            high = np.minimum(cells.high[j - 1] ** 2 * WIDENING, table.square[bins])
            empty |= low > high
            layers.append(_Steepness(table, bins, np.minimum(low, high), high, dims[j]))
            p.append(math.sqrt(dims[j]) * np.sqrt(high) * WIDENING)
        moved = self._moved(p, layers)
        form = self._at_output(p[N - 1], moved, layers, self.output[side], bins)
        peak = np.sqrt(setting.envelopes[-1].square[bins])
        s1, s2 = self._output_slope(p[N], peak, layers[-1])
        for j in range(N - 1, 0, -1):
            layer = layers[j - 1]
            cross = s2 * layer.slope * moved[j - 1]
            form[j] += cross
            form[:, j] += cross
            g = setting.half_width(j + 1) * s1
            form += g * layer.bend * _square(moved[j - 1])
            s1, s2 = g * layer.slope1, g * layer.slope2
        if not np.isfinite(form).all():
            raise ValueError("the bound on the Hessian overflows")
        top = np.linalg.eigvalsh(np.moveaxis(form, 2, 0))[:, -1] / 2
        return np.where(empty, 0.0, top * WIDENING)

    def _at_output(
        self,
        p: Vector,
        moved: list[NDArray[np.float64]],
        layers: list[_Steepness],
        curvature: OutputCurvature,
        bins: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """The form that bounds sum_k c_k dz(N)_k^2, with |c_k| <= at_zero + (at_most - at_zero) |y_k| / B_y.

        dz(N)_k <= p norm2(row k of dV_N) + q with the same q in every k, and norm2(y) <= B_y.
        """
        problem, N = self.setting.problem, self.setting.problem.N
        flat, tilt = curvature.at_zero[bins], (curvature.at_most - curvature.at_zero)[bins]
        row = np.zeros_like(moved[0])
        row[N - 1] = p
        q = np.zeros_like(row)
        if N > 1:
            q = self.setting.half_width(N) * layers[N - 2].slope2 * moved[N - 2]
        mixed = row[:, None] * q[None] + q[:, None] * row[None]
        return flat * _square(moved[N - 1]) + tilt * (
            _square(row) + mixed + math.sqrt(problem.d_out) * _square(q)
        )

    def _moved(self, p: list[Vector], layers: list[_Steepness]) -> list[NDArray[np.float64]]:
        """norm2(dz(j)) is at most moved[j - 1] . (norm2(dV_1), ..., norm2(dV_N)); one column per cell."""
        problem = self.setting.problem
        moved = [np.zeros((problem.N, len(p[0])))]
        for j in range(1, problem.N + 1):
            if j > 1:
                spread = math.sqrt(problem.dims[j]) * self.setting.half_width(j) * layers[j - 2].slope2
                moved.append(spread * moved[-1])
            moved[-1][j - 1] += p[j - 1]
        return moved

    def _output_slope(self, p: Vector, peak: Vector, layer: _Steepness) -> tuple[Vector, Vector]:
        """1-norm and 2-norm of s(N) = r'(z) u, as in the bound on the step error."""
        phi0, lip, tilt, most = self.setting.loss_slope
        problem = self.setting.problem
        parts = lip * np.minimum(layer.slope * p, peak * layer.slope2)
        s2 = parts + phi0 * layer.slope2 + tilt * layer.slope * problem.B_y
        s2 = np.minimum(s2, most * layer.slope2)
        s1 = lip * layer.slope2 * p + phi0 * layer.slope1 + tilt * layer.slope2 * problem.B_y
        return np.minimum(np.minimum(s1, most * layer.slope1), math.sqrt(problem.d_out) * s2), s2


def _square(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """a a^T, in every cell."""
    return a[:, None] * a[None]


def _covered(form: _QuadraticForm, side: int) -> Side:
    """Halves the cells with the largest bounds until no halving helps, or there are CELLS_EACH."""
    cells = form.setting.everything
    values, node = form.largest(cells, side), np.zeros(1, dtype=np.int64)
    tree: list[tuple[int, int]] = [(0, 0)]  # the layer that is halved, and the first of its two halves
    low, high, reached = cells.low, cells.high, 0.0
    while len(values) < CELLS_EACH:
        for point in (high, (low + high) / 2):
            reached = max(reached, float(form.largest(Cells(point, point), side).max()))
        worst = np.argsort(-values)[: max(_BATCH, len(values) // 4)]
        wide = np.any(low < (low + high) / 2, axis=0)
        worst = worst[(values[worst] > reached * (1 + _SLACK)) & np.asarray(wide)[worst]]
        if not len(worst):
            break
        layer, lower, upper = _halves(form, side, Cells(low, high)[worst])
        rest = np.setdiff1d(np.arange(len(values)), worst)
        first = len(tree) + 2 * np.arange(len(worst))
        for parent, split, half in zip(node[worst], layer, first, strict=True):
            tree[parent] = int(split) + 1, int(half)
        tree += [(0, 0)] * (2 * len(worst))
        low = np.hstack([low[:, rest], lower[0].low, upper[0].low])
        high = np.hstack([high[:, rest], lower[0].high, upper[0].high])
        values = np.concatenate([values[rest], lower[1], upper[1]])
        node = np.concatenate([node[rest], first, first + 1])
    return Side(float(values.max()) * (1 + _ROOM), _preorder(tree))


_Half = tuple[Cells, Vector]


def _halves(form: _QuadraticForm, side: int, cells: Cells) -> tuple[NDArray[np.int64], _Half, _Half]:
    """Every cell halved in the layer that helps most, numbered from 0; the halves with their bounds."""
    middle = (cells.low + cells.high) / 2
    found: list[tuple[_Half, _Half]] = []
    for j in range(len(middle)):
        lower, upper = cells.high.copy(), cells.low.copy()
        lower[j] = upper[j] = middle[j]
        halves = Cells(cells.low, lower), Cells(upper, cells.high)
        one, other = ((half, form.largest(half, side)) for half in halves)
        found.append((one, other))
    scores = [one[1] ** 2 + other[1] ** 2 for one, other in found]
    layer, each = np.argmin(scores, axis=0), np.arange(len(cells))

    def chosen(which: int) -> _Half:
        low, high = (
            np.stack([getattr(pair[which][0], end) for pair in found])[layer, :, each].T
            for end in ("low", "high")
        )
        return Cells(low, high), np.stack([pair[which][1] for pair in found])[layer, each]

    return layer, chosen(0), chosen(1)


def _preorder(tree: list[tuple[int, int]]) -> list[int]:
    order, stack = [], [0]
    while stack:
        layer, first = tree[stack.pop()]
        order.append(layer)
        stack += [first + 1, first] if layer else []
    return order
