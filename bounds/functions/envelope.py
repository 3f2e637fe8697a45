"""Bounds on the mean slope of the units of one layer, given the mean square of their outputs.

The units of a layer choose their pre-activations z freely in [-reach, reach], so averages over units of
(r(z)^2, phi(z)) lie in the convex hull of that curve.  For every multiplier lam
    mean phi <= sup_z (phi(z) - lam r(z)^2) + lam mean r^2,
and the least of these bounds over a few multipliers is close to the concave envelope.  It relates p to r'
(for tanh p^2 + r' = 1): large outputs and steep units exclude each other.

The output layer sends back s = r'(z) (r(z) - y), up to a factor, for targets y with a bound on sum y^2.
Written as a - b y, s and its slope have (a - b y)^2 <= a^2 mu / (mu - b^2) + mu y^2 for every mu > sup b^2:
    sum (a - b y)^2 <= units (sup_z (a^2 mu / (mu - b^2) - lam r^2) + lam mean r^2) + mu sum y^2.
"""

from __future__ import annotations

from collections.abc import Sequence
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

Jet = NDArray[np.float64]
"""A function and its derivatives on boxes; the first axis is the order."""

Averaged = Literal["slope", "slope2", "bend2"]
QUANTITIES: tuple[Averaged, ...] = ("slope", "slope2", "bend2")
"""|r'|, |r'|^2 and |r''|^2: the quantities that are averaged."""

Joint = Literal["signal", "drift"]
JOINT: tuple[Joint, ...] = ("signal", "drift")
"""s = r'(z) (r(z) - y) and its slope in z."""

BINS = 64
WIDER = 1 + 1e-14
_LEVELS, _TANGENTS = (1.0, 0.6, 0.3, 0.1), 5

SUPREMUM_ROOM = 2.0**-17
"""Added to every supremum, relative to its terms, so that a checker may enclose less tightly."""
_FINE, _MOST_PARTS = 1e-4, 16
"""How far suprema may exceed the values seen; the most parts into which bins are cut to achieve it."""

_JOINT_PARTS, _JOINT_LEVELS = 4, (1.0, 0.6, 0.3)
"""Parts into which bins are cut for the joint envelope."""


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


@dataclass(frozen=True, eq=False)
class JointEnvelope:
    """The 2-norm of s or of its slope over the units of the output layer, bounded like in `Envelope`.

    pairs: mu and lam, one row each.  heights: the supremum for each pair.  targets: a bound on sum y^2.
    """

    units: int
    targets: float
    pairs: dict[Joint, NDArray[np.float64]]
    heights: dict[Joint, NDArray[np.float64]]

    def norm(self, quantity: Joint, bins: NDArray[np.int64], low: Vector, high: Vector) -> Vector:
        """A bound on the 2-norm where the mean of r^2 is between `low` and `high`."""
        mu, lam = self.pairs[quantity].T[:, :, None]
        lines = self.heights[quantity][:, bins] + np.maximum(lam * low, lam * high)
        squares = self.units * np.maximum(lines, 0.0) + mu * self.targets
        return np.sqrt(squares.min(axis=0)) * (1 + 1e-12)


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


@lru_cache(maxsize=256)
def joint_envelope(r: Scalar, reach: float, units: int, targets: float) -> JointEnvelope | None:
    """The envelope of s and its slope on [-reach, reach]; None where r' is constant, or it is not finite.

    targets: a bound on sum y^2 over the units, above 0.
    """
    if r.derivative.is_constant:
        return None
    half = reach / BINS / _JOINT_PARTS / 2 * (1 + 1e-12)
    whole, middle = _jets(r, reach, _JOINT_PARTS)
    square = _part_of_square(whole, middle, 0)
    products = _half_square(whole), _half_square(middle)
    pairs, heights = dict[Joint, NDArray[np.float64]](), dict[Joint, NDArray[np.float64]]()
    for k, quantity in enumerate(JOINT, start=1):
        a, b = [x[k:] for x in products], (whole[k:], middle[k:])
        rows = []
        for mu, lam in _pairs(r, float(f"{reach:.1e}"), float(f"{units / targets:.1e}"))[quantity].tolist():
            phi = _freed(mu, a, b)
            high, _ = phi.less(lam, square).suprema(half, phi.size + abs(lam) * square.size)
            tops = _running_max(high.reshape(2, BINS, _JOINT_PARTS).max(axis=-1))
            if np.isfinite(tops).all():
                rows.append((mu, lam, tops))
        if not rows:
            return None
        pairs[quantity] = np.array([row[:2] for row in rows])
        heights[quantity] = np.stack([row[2] for row in rows])
    return JointEnvelope(units, targets, pairs, heights)


def _half_square(r: Jet) -> list[Boxes]:
    """r^2 / 2 and its derivatives, as many as r has."""
    found = [
        _square(r[0]) / 2,
        _times(r[0], r[1]),
        _square(r[1]) + _times(r[0], r[2]),
        3 * _times(r[1], r[2]) + _times(r[0], r[3]),
    ]
    if len(r) > 4:
        found.append(3 * _square(r[2]) + 4 * _times(r[1], r[3]) + _times(r[0], r[4]))
    return found


def _freed(mu: float, a: Sequence[Sequence[Boxes]], b: Sequence[Jet]) -> _Part:
    """a^2 mu / (mu - b^2), from derivatives on boxes and in their middle; not finite where mu <= b^2."""

    def first(a: Sequence[Boxes], b: Jet) -> tuple[Boxes, Boxes, Boxes, Boxes]:
        gap = mu - _square(b[0])[::-1]
        with np.errstate(divide="ignore"):
            w = np.where(gap[0] > 0, 1 / gap[::-1], np.array([-np.inf, np.inf])[:, None, None])
        turn = _times(b[0], b[1])
        inner = a[1] + _times(_times(a[0], w), turn)
        return mu * _times(_square(a[0]), w), 2 * mu * _times(_times(a[0], w), inner), w, turn

    with np.errstate(invalid="ignore"):
        (a0, a1, a2), (b0, b1, b2) = a[0][:3], b[0][:3]
        whole, _, w, turn = first(a[0], b[0])
        value, rise, *_ = first(a[1], b[1])
        both, bent = _times(a0, a1), _square(b1) + _times(b0, b2)
        twice = 4 * _times(both, turn) + _times(_square(a0), bent + 4 * _times(_square(turn), w))
        bend = 2 * mu * _times(w, _square(a1) + _times(a0, a2) + _times(w, twice))
    return _Part(whole, value, rise, bend)


_RATIOS, _MEANS, _POINTS = 1 + np.geomspace(0.03, 99, 16), np.linspace(0, 1, 7), 65
"""mu over sup b^2, and shares of sup r^2 for which the best pair is sought."""


@lru_cache(maxsize=256)
def _pairs(r: Scalar, reach: float, weight: float) -> dict[Joint, NDArray[np.float64]]:
    """Multipliers to try; those for a reach nearby are nearly as good, so reaches are rounded."""
    z = np.linspace(0.0, 1.01 * reach, _POINTS)
    z = np.stack([z, -z])
    first, second = r.derivative, r.derivative.derivative
    at = r(z), first(z), second(z)
    return {
        "signal": _best_pairs(at[0] ** 2, at[0] * at[1], at[1], weight),
        "drift": _best_pairs(at[0] ** 2, at[1] ** 2 + at[0] * at[2], at[2], weight),
    }


def _best_pairs(squares: Boxes, a: Boxes, b: Boxes, weight: float) -> NDArray[np.float64]:
    """mu and lam of the least bound, for a few reaches and means of r^2."""
    found, top = set[tuple[float, float]](), float((b**2).max())
    for level in _JOINT_LEVELS:
        bins = max(2, int(level * squares.shape[-1]))
        x, alpha, beta = (v[:, :bins].ravel() for v in (squares, a, b))
        best = np.full(len(_MEANS), np.inf)
        chosen = np.zeros((len(_MEANS), 2))
        means = x.min() + _MEANS * (x.max() - x.min())
        for mu in (top * _RATIOS).tolist():
            corners = np.array(_upper_hull(x, alpha**2 * mu / (mu - beta**2))).T
            heights, piece = np.interp(means, *corners), np.searchsorted(corners[0], means, side="right")
            rise = np.diff(corners[1]) / np.diff(corners[0]) if corners.shape[1] > 1 else np.zeros(1)
            slopes = rise[np.clip(piece - 1, 0, len(rise) - 1)]
            total = weight * heights + mu
            better = total < best
            best[better] = total[better]
            chosen[better, 0], chosen[better, 1] = mu, slopes[better]
        found |= {(mu, lam) for mu, lam in chosen.tolist() if abs(lam) < 1e6}
    return np.array(sorted(found))


def _envelope(r: Scalar, reach: float, parts: int) -> tuple[Envelope | None, float]:
    """The envelope from bins cut into `parts`, None if not finite; how far it exceeds the values seen."""
    whole, middle = _jets(r, reach, parts)
    derivatives = [_Part(whole[k], middle[k], middle[k + 1], whole[k + 2]) for k in range(3)]
    squares = [_part_of_square(whole, middle, k) for k in range(3)]
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


def _jets(r: Scalar, reach: float, parts: int) -> tuple[Jet, Jet]:
    """r with four derivatives on the boxes of [0, reach] and of [-reach, 0], with three in their middle."""
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
    return whole, middle


def _part_of_square(whole: Jet, middle: Jet, k: int) -> _Part:
    """The square of a derivative of r."""
    with np.errstate(invalid="ignore", over="ignore"):
        return _Part(
            _square(whole[k]),
            _square(middle[k]),
            2 * _times(middle[k], middle[k + 1]),
            2 * (_square(whole[k + 1]) + _times(whole[k], whole[k + 2])),
        )


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
        hull = _upper_hull(squares[:, :bins].ravel(), phi[:, :bins].ravel())
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(hull)]
        picks = np.linspace(0, len(slopes) - 1, min(_TANGENTS, len(slopes))).astype(int).tolist()
        found += [slopes[i] for i in picks if abs(slopes[i]) < 1e6]
    return np.array(sorted(set(found)))


def _upper_hull(squares: Vector, phi: Vector) -> list[tuple[float, float]]:
    """The corners of the least concave function above these points, from left to right."""
    hull: list[tuple[float, float]] = []
    for x, y in sorted(zip(squares.tolist(), phi.tolist(), strict=True)):
        while hull and (hull[-1][0] == x or (len(hull) > 1 and _below(hull[-2], hull[-1], (x, y)))):
            y = max(y, hull[-1][1]) if hull[-1][0] == x else y
            hull.pop()
        hull.append((x, y))
    return hull


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b is not above the chord from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
