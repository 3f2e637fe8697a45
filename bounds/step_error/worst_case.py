"""The error recurrence on cells: a bound on the step error that depends on how active each layer is.

A cell gives, for every layer, an interval that contains the root mean square of r(z) over its units.
Inside a cell the plain recurrence (`icgd.bounds.step_error.recurrence`) is repeated with what the cell allows
in place of suprema: a layer whose outputs are large is not steep (`icgd.bounds.functions.envelope`), and a
layer whose outputs are small passes little on.  Nothing is sampled: cells that cover W bound the step error
on all of W (`icgd.bounds.step_error.cover`).

One token is enough: the error of a step is a mean over examples.  All lines are triangle inequalities
between exact differences, second-order terms included, and hold for every sign of every local error:

    r(z + dz) - r(z)          |.| <= (|r'(z)| + C2 |dz| / 2) |dz|,         C2 = sup |r''|
    r'(z + dz) - r'(z)        |.| <= (|r''(z)| + C3 |dz| / 2) |dz|,        C3 = sup |r'''|
    s' - s = d' (g' - g) + g (d' - d) + f       with d = r'(z), s = d g and primes for the transformer
    s' p'^T - s p^T = (s' - s) p'^T + s (p' - p)^T

In the output layer, where u = c (p - rho y), s is one function of z and y, and so is its slope in z:

    s = c r'(z) (r(z) - rho y),   ds/dz = c (r'(z)^2 + (r(z) - rho y) r''(z)),
    |s(z + dz) - s(z)|        <= (|ds/dz| + c C4 |dz| / 2) |dz|,
    C4 = C3 (sup |r| + rho B_y) + 3 C2 sup |r'|
    s' - s = s(z') - s(z) + d' (g' - u(z')) + (d' - r'(z')) u(z') + f
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icgd.bounds.functions.envelope import Averaged, Envelope, JointEnvelope, envelope, joint_envelope
from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import WIDENING, LayerRanges, Term, loss_slope_of_z

CELL_ROOM = 1e-6
"""How much wider than needed the root cell is, relatively, for a checker with different enclosures."""
Errors = Mapping[Term, Any]
"""Local errors: floats, or arrays with one entry per cell."""


@dataclass(frozen=True, eq=False)
class Cells:
    """low, high: bounds on the root mean square of r(z), one row per layer 1..N, one column per cell."""

    low: Vector
    high: Vector

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Cells:
        """The cells that a mask or an index selects."""
        return Cells(self.low[:, chosen], self.high[:, chosen])

    def __len__(self) -> int:
        return self.low.shape[1]


@dataclass(frozen=True, eq=False)
class Setting:
    """The input of the bound on cells, apart from the local errors.

    layers: ranges that hold for the transformer's arithmetic too.  from_z: see
    `icgd.bounds.step_error.recurrence.propagate`.
    """

    problem: Problem
    layers: tuple[LayerRanges, ...]
    from_z: bool

    @cached_property
    def envelopes(self) -> tuple[Envelope, ...]:
        return tuple(
            envelope(self.problem.activation_at(j).r, layer.z) for j, layer in enumerate(self.layers, start=1)
        )

    @cached_property
    def joint(self) -> JointEnvelope | None:
        """The envelope of s in the output layer, where the loss slope is a multiple of p - rho y."""
        loss, targets = self.problem.loss, (self.problem.loss.rho * self.problem.B_y) ** 2 * WIDENING
        if not targets or not loss.phi.derivative.is_constant or loss.phi(0.0) != 0:
            return None
        r = self.problem.activation_at(self.problem.N).r
        return joint_envelope(r, self.layers[-1].z, self.problem.d_out, targets)

    @cached_property
    def jerk(self) -> tuple[float, ...]:
        """sup |r'''| in every layer."""
        found = []
        for j, layer in enumerate(self.layers, start=1):
            third = self.problem.activation_at(j).r.derivative.derivative.derivative
            found.append(0.0 if third.is_constant and third.expr == 0 else _sup(third, layer.z))
        return tuple(found)

    @cached_property
    def loss_slope(self) -> tuple[float, float, float, float]:
        """phi0, lip, tilt, most: |u[k]| <= min(phi0 + lip |p[k]| + tilt |y[k]|, most)."""
        loss, last = self.problem.loss, self.layers[-1]
        reach = last.r + abs(loss.rho) * self.problem.B_y
        lip = loss.phi.derivative.sup(-reach, reach)
        return abs(loss.phi(0.0)) * WIDENING, lip, lip * abs(loss.rho) + abs(loss.sigma), last.g

    @cached_property
    def steepness(self) -> float:
        """sup |(phi o r)'| over z(N) if the loss slope is a function of it, else too large to matter."""
        if self.problem.loss.rho != 0:
            return 1e300
        z = self.layers[-1].z
        return loss_slope_of_z(self.problem).derivative.sup(-z, z)

    @cached_property
    def everything(self) -> Cells:
        """The cell that contains every network in W."""
        low, high = np.sqrt([(e.least[-1], e.square[-1]) for e in self.envelopes]).T
        return Cells(low[:, None] / (1 + CELL_ROOM), high[:, None] * (1 + CELL_ROOM))

    def half_width(self, j: int) -> float:
        """Half the side of W in V_j, rounded up."""
        return self.problem.half_width(j) * WIDENING

    def bound(self, cells: Cells, errors: Errors) -> Vector:
        """A bound on norm2(err)/eta in every cell; 0 where the cell contains no network of W.

        Raises ValueError on overflow: nan would pass every comparison.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            found = _Bound(self, cells, errors).step_error()
        if not np.isfinite(found).all():
            raise ValueError("the bound on the step error overflows")
        return found


def _sup(g: Scalar, z: float) -> float:
    """A bound on |g| that may be loose, as only second-order terms use it."""
    return g.sup(-z, z, tolerance=1e-2)


class _Bound:
    """The forward half of the recurrence on all cells at once; `step_error` is the backward half."""

    def __init__(self, setting: Setting, cells: Cells, errors: Errors) -> None:
        self.setting, self.errors = setting, errors
        problem, dims = setting.problem, setting.problem.dims
        self.p = [np.full(len(cells), problem.B_x)]
        self.dp1: list[Any] = [0.0]
        self.dp2: list[Any] = [0.0]
        self.empty = np.zeros(len(cells), dtype=bool)
        self.layers: list[_Layer] = []
        for j, layer_envelope in enumerate(setting.envelopes, start=1):
            bins = layer_envelope.bin(problem.B_v * self.p[-1] * WIDENING)
            low = np.maximum(cells.low[j - 1] ** 2 / WIDENING, layer_envelope.least[bins])
            high = np.minimum(cells.high[j - 1] ** 2 * WIDENING, layer_envelope.square[bins])
            self.empty |= low > high
            low = np.minimum(low, high)
            layer = _Layer(layer_envelope, bins, low, high, dims[j])
            shift = setting.half_width(j) * self.dp1[-1] + self.e("z", j)
            bend = setting.layers[j - 1].curvature * shift / 2
            third = setting.jerk[j - 1] * shift**2 / 2 + self.e("dr", j)
            root = math.sqrt(dims[j])
            moved1, moved2 = shift * (layer.slope1 + dims[j] * bend), shift * (layer.slope2 + root * bend)
            layer.moved1, layer.moved2, layer.moved = moved1, moved2, shift * (layer.slope + bend)
            layer.dd1 = shift * root * layer.bend2 + dims[j] * third
            layer.dd2 = shift * layer.bend2 + root * third
            layer.shift, layer.third = shift, third
            self.among = bins, low, high
            self.layers.append(layer)
            self.p.append(root * np.sqrt(high) * WIDENING)
            self.dp1.append(moved1 + dims[j] * self.e("r", j))
            self.dp2.append(moved2 + root * self.e("r", j))

    def e(self, kind: Any, j: int) -> Any:
        return self.errors.get(Term(kind, j), 0.0)

    def step_error(self) -> Vector:
        problem, dims = self.setting.problem, self.setting.problem.dims
        squares: Any = 0.0
        s1, s2, ds1, ds2 = self._output()
        for j in range(problem.N, 0, -1):
            block = (ds2 * (self.p[j - 1] + self.dp2[j - 1]) + s2 * self.dp2[j - 1]) / 2 + self.e("update", j)
            squares = squares + block**2
            if j == 1:
                break
            layer, root, product = self.layers[j - 2], math.sqrt(dims[j - 1]), self.e("product", j - 1)
            g = self.setting.half_width(j) * s1
            dg = self.setting.half_width(j) * ds1 + self.e("g", j - 1)
            s1, s2 = g * layer.slope1, g * layer.slope2
            ds2 = dg * layer.slope2 + (g + dg) * layer.dd2 + root * product
            ds1 = dg * layer.slope1 + (g + dg) * layer.dd1 + dims[j - 1] * product
            ds1 = np.minimum(ds1, root * ds2)
        return np.asarray(np.where(self.empty, 0.0, np.sqrt(squares) * WIDENING))

    def _output(self) -> tuple[Any, Any, Any, Any]:
        """1-norm and 2-norm of s(N), and of its error."""
        N, problem, layer = self.setting.problem.N, self.setting.problem, self.layers[-1]
        K, root, B_y = problem.d_out, math.sqrt(problem.d_out), problem.B_y
        phi0, lip, tilt, most = self.setting.loss_slope
        p, peak = self.p[N], np.sqrt(layer.high_peak)
        local = (0.0 if self.setting.from_z else lip * self.e("r", N)) + self.e("u", N) + self.e("g", N)
        direct = self.setting.steepness * layer.shift
        dg = np.minimum(lip * layer.moved, direct) + local
        dg2 = np.minimum(lip * layer.moved2, root * direct) + root * local
        norm = np.minimum(lip * p + phi0 * root + tilt * B_y, root * most)

        def against(largest: Any, norm2: Any) -> Any:
            """2-norm of the entrywise product of u and a vector with this largest entry and 2-norm."""
            by_parts = lip * np.minimum(largest * p, peak * norm2) + phi0 * norm2 + tilt * largest * B_y
            return np.minimum(by_parts, most * norm2)

        s2 = against(layer.slope, layer.slope2)
        s1 = np.minimum(
            lip * layer.slope2 * p + phi0 * layer.slope1 + tilt * layer.slope2 * B_y, most * layer.slope1
        )
        product = self.e("product", N)
        bent2 = layer.shift * against(layer.bend, layer.bend2) + layer.third * norm
        bent1 = norm * (layer.shift * layer.bend2 + root * layer.third)
        steep2 = np.minimum(layer.slope * dg2, layer.slope2 * dg) + layer.dd2 * dg
        steep1 = np.minimum(layer.slope2 * dg2, layer.slope1 * dg) + layer.dd1 * dg
        ds2 = steep2 + bent2 + root * product
        if (joint := self.setting.joint) is not None:
            s2 = np.minimum(s2, lip * joint.norm("signal", *self.among))
            last, bend = self.setting.layers[-1], self.setting.jerk[-1]
            bow = bend * (last.r + math.sqrt(joint.targets)) + 3 * last.curvature * last.dr
            drift = joint.norm("drift", *self.among) + root * bow * layer.shift / 2
            inexact = local * (layer.slope2 + layer.dd2) + self.e("dr", N) * (norm + lip * layer.moved2)
            ds2 = np.minimum(ds2, lip * layer.shift * drift + inexact + root * product)
        return np.minimum(s1, root * s2), s2, np.minimum(steep1 + bent1 + K * product, root * ds2), ds2


class _Layer:
    """Bounds on r' and r'' in a layer: largest entry, 1-norm and 2-norm over its units, cell by cell."""

    def __init__(
        self, table: Envelope, bins: NDArray[np.int64], low: Vector, high: Vector, units: int
    ) -> None:
        def total(quantity: Averaged) -> Vector:
            return units * table.average(quantity, bins, low, high)

        self.slope, self.bend, self.high_peak = table.slope[bins], table.bend[bins], table.square[bins]
        self.slope2 = np.sqrt(np.minimum(total("slope2"), units * self.slope**2)) * WIDENING
        self.slope1 = np.minimum(total("slope"), math.sqrt(units) * self.slope2)
        self.bend2 = np.sqrt(np.minimum(total("bend2"), units * self.bend**2)) * WIDENING
        self.moved1: Any = 0.0
        self.moved2: Any = 0.0
        self.moved: Any = 0.0
        self.dd1: Any = 0.0
        self.dd2: Any = 0.0
        self.shift: Any = 0.0
        self.third: Any = 0.0
