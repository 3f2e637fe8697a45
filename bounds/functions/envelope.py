"""Bounds on the mean slope of the units of one layer, given the mean square of their outputs.

The units of a layer choose their pre-activations z freely in [-reach, reach], so averages over units of
(r(z)^2, phi(z)) lie in the convex hull of that curve.  For every multiplier lam
    mean phi <= sup_z (phi(z) - lam r(z)^2) + lam mean r^2,
and the least of these bounds over a few multipliers is close to the concave envelope.  It relates p to r'
(for tanh p^2 + r' = 1): large outputs and steep units exclude each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import flint
import numpy as np
from numpy.typing import NDArray

from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.functions.scalar import PRECISION, Scalar, ball_between, lower_float, upper_float

Boxes = NDArray[np.float64]
"""Intervals; the axes are the end (lower, upper), the side of 0, and the bin."""

Averaged = Literal["slope", "slope2", "bend2"]
QUANTITIES: tuple[Averaged, ...] = ("slope", "slope2", "bend2")
"""|r'|, |r'|^2 and |r''|^2: the quantities that are averaged."""

BINS = 64
WIDER = 1 + 1e-14
_LEVELS, _TANGENTS = (1.0, 0.6, 0.3, 0.1), 5

SUPREMUM_ROOM = 2.0**-17
"""Added to every supremum, relative to its terms, so that a checker may enclose less tightly."""
_FINE, _MOST_PARTS = 1e-4, 16
"""How far suprema may exceed the values seen; the most parts into which bins are cut to achieve it."""


@dataclass(frozen=True, eq=False)
class Envelope:
    """Averages over the units of one layer, bounded for every reach up to `reach` in BINS steps.

    slope, bend, square: sup over |z| <= reach * m / BINS of |r'|, |r''| and r^2, for m = 0..BINS.
    least: inf of r^2 over the same.  multipliers: lam, for each quantity.
    heights: sup of phi - lam r^2 over the same, for each quantity one row per multiplier.
    """

    reach: float
    slope: Vector
    bend: Vector
    square: Vector
    least: Vector
    multipliers: dict[Averaged, Vector]
    heights: dict[Averaged, NDArray[np.float64]]

    def bin(self, z: Vector) -> NDArray[np.int64]:
        """The first of the BINS + 1 steps that reaches |z|."""
        return np.minimum(np.ceil(z / self.reach * BINS * (1 + 1e-12)), BINS).astype(np.int64)

    def average(self, quantity: Averaged, bins: NDArray[np.int64], low: Vector, high: Vector) -> Vector:
        """A bound on the mean of the quantity where the mean of r^2 is between `low` and `high`."""
        lam = self.multipliers[quantity][:, None]
        lines = self.heights[quantity][:, bins] + np.maximum(lam * low, lam * high)
        return np.maximum(lines.min(axis=0), 0.0) * (1 + 1e-12)


class _Part(NamedTuple):
    """A function on every box: its enclosure, value and slope in the middle, enclosed second derivative."""

    whole: Boxes
    value: Boxes
    rise: Boxes
    bend: Boxes

    def __neg__(self) -> _Part:
        return _Part(*(-x[::-1] for x in self))

    def less(self, lam: float, other: _Part) -> _Part:
        """The function minus lam times another."""
        return _Part(*(_minus(x, _times(np.full_like(y, lam), y)) for x, y in zip(self, other, strict=True)))

    @property
    def size(self) -> float:
        return float(np.abs(self.value).max())

    def suprema(self, half: float, size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """An upper bound on every box, by Taylor's theorem or by enclosure, and a value attained there."""
        far = np.abs(self.rise).max(axis=0) * half
        with np.errstate(invalid="ignore", over="ignore"):
            most, least = (end * (half * half) / 2 for end in (self.bend[1], self.bend[0]))
        turning = (most < 0) & (far < -2 * most)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            above = np.where(turning, far**2 / (-4 * most), far + most)
            high = np.fmin(self.value[1] + above, self.whole[1]) + (1e-13 + SUPREMUM_ROOM) * size
            seen = np.fmax(self.value[0], self.value[0] + np.abs(self.rise).min(axis=0) * half + least)
        return high, seen


@lru_cache(maxsize=256)
def envelope(r: Scalar, reach: float) -> Envelope:
    """The envelope of an activation r on [-reach, reach], on balls; raises ValueError if it is not finite."""
    parts = 1
    while True:
        found, beyond = _envelope(r, reach, parts)
        if found is not None and (beyond <= _FINE or parts == _MOST_PARTS):
            return found
        if parts == _MOST_PARTS:
            raise ValueError(f"{r.expr} has no finite enclosure on [{-reach}, {reach}]")
        parts *= 2


def _envelope(r: Scalar, reach: float, parts: int) -> tuple[Envelope | None, float]:
    """The envelope from bins cut into `parts`, None if not finite; how far it exceeds the values seen."""
    derivatives, squares = _functions(r, reach, parts)
    half = reach / BINS / parts / 2 * (1 + 1e-12)  # the edges of bins are rounded
    beyond = 0.0

    def running(lam: float, *phis: _Part) -> NDArray[np.float64]:
        nonlocal beyond
        tops, reached = np.full(BINS + 1, -np.inf), -np.inf
        size = phis[0].size + abs(lam) * squares[0].size
        for phi in phis:
            high, seen = (phi.less(lam, squares[0]) if lam else phi).suprema(half, size)
            tops = np.maximum(tops, _running_max(high.reshape(2, BINS, parts).max(axis=-1)))
            reached = max(reached, float(seen.max()))
        if tops[-1] - reached > 2 * SUPREMUM_ROOM * size:
            beyond = max(beyond, (tops[-1] - reached) / max(size, 1e-300))
        return tops

    peaks = [running(0.0, d, -d) for d in derivatives]
    least = np.sqrt(np.maximum(-running(0.0, -squares[0]), 0.0)) ** 2
    averaged: dict[Averaged, tuple[_Part, ...]] = {
        "slope": (derivatives[1], -derivatives[1]),
        "slope2": (squares[1],),
        "bend2": (squares[2],),
    }
    multipliers: dict[Averaged, Vector] = {}
    heights: dict[Averaged, NDArray[np.float64]] = {}
    for quantity, phis in averaged.items():
        middle = np.max([phi.value[1] for phi in phis], axis=0)
        lam = _tangents(squares[0].value[1], middle)
        multipliers[quantity] = lam
        heights[quantity] = np.stack([running(x, *phis) for x in lam.tolist()])
    made = Envelope(reach, peaks[1], peaks[2], peaks[0] ** 2 * WIDER, least / WIDER, multipliers, heights)
    finite = all(np.isfinite(x).all() for x in (*peaks, least, *heights.values()))
    return (made if finite else None), beyond


def _functions(r: Scalar, reach: float, parts: int) -> tuple[list[_Part], list[_Part]]:
    """r, r', r'' and their squares on the boxes of [0, reach] and of [-reach, 0]."""
    edges = np.linspace(0.0, reach, BINS * parts + 1)
    edges[-1] = reach
    whole, middle = (np.empty((order, 2, 2, BINS * parts)) for order in (5, 4))
    with flint.ctx.workprec(PRECISION):
        for i, (a, b) in enumerate(pairwise(edges.tolist())):
            for side, (low, high) in enumerate(((a, b), (-b, -a))):
                for found, box in ((whole, ball_between(low, high)), (middle, flint.arb((low + high) / 2))):
                    for k, y in enumerate(r.jet(box, len(found) - 1)):
                        ends = (lower_float(y), upper_float(y)) if y.is_finite() else (-np.inf, np.inf)
                        found[k, :, side, i] = ends
    with np.errstate(invalid="ignore", over="ignore"):
        derivatives = [_Part(whole[k], middle[k], middle[k + 1], whole[k + 2]) for k in range(3)]
        squares = [
            _Part(
                _square(whole[k]),
                _square(middle[k]),
                2 * _times(middle[k], middle[k + 1]),
                2 * (_square(whole[k + 1]) + _times(whole[k], whole[k + 2])),
            )
            for k in range(3)
        ]
    return derivatives, squares


def _times(x: Boxes, y: Boxes) -> Boxes:
    corners = np.stack([x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1]])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _square(x: Boxes) -> Boxes:
    ends = np.sort(x**2, axis=0)
    ends[0] = np.where(x[0] * x[1] <= 0, 0.0, ends[0] / WIDER)
    return np.stack([ends[0], ends[1] * WIDER])


def _minus(x: Boxes, y: Boxes) -> Boxes:
    return np.stack([x[0] - y[1], x[1] - y[0]])


def _running_max(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maximum over |z| up to each of the BINS + 1 steps; at step 0 that of the first bin."""
    both = np.maximum.accumulate(x.max(axis=-2), axis=-1)
    return np.concatenate([both[..., :1], both], axis=-1)


def _tangents(squares: NDArray[np.float64], phi: NDArray[np.float64]) -> Vector:
    """Multipliers to try: slopes of the upper hull of the points (r^2, phi), for a few reaches."""
    found = [0.0]
    for level in _LEVELS:
        bins = max(2, int(level * squares.shape[1]))
        points = sorted(zip(squares[:, :bins].ravel().tolist(), phi[:, :bins].ravel().tolist(), strict=True))
        hull: list[tuple[float, float]] = []
        for x, y in points:
            while hull and (hull[-1][0] == x or (len(hull) > 1 and _below(hull[-2], hull[-1], (x, y)))):
                y = max(y, hull[-1][1]) if hull[-1][0] == x else y
                hull.pop()
            hull.append((x, y))
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(hull)]
        picks = np.linspace(0, len(slopes) - 1, min(_TANGENTS, len(slopes))).astype(int).tolist()
        found += [slopes[i] for i in picks if abs(slopes[i]) < 1e6]
    return np.array(sorted(set(found)))


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b is not above the chord from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
