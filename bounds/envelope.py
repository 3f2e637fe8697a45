"""How steep the units of one layer can be on average, given how large their outputs are on average.

The units of a layer choose their pre-activations z freely in [-reach, reach], so averages over units of
(r(z)^2, phi(z)) lie in the convex hull of that curve.  For every multiplier lam
    mean phi <= sup_z (phi(z) - lam r(z)^2) + lam mean r^2,
and the least of these over a few multipliers is the concave envelope, nearly.  It is what ties p to r'
(for tanh p^2 + r' = 1): large outputs and steep units exclude each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import flint
import numpy as np
from numpy.typing import NDArray

from bounds.scalar import PRECISION, Scalar, ball_between, lower_float, upper_float

Vector = NDArray[np.float64]
Boxes = NDArray[np.float64]
"""Lower and upper ends first, then the side of 0, then the bin."""

Quantity = Literal["slope", "slope2", "bend2"]
QUANTITIES: tuple[Quantity, ...] = ("slope", "slope2", "bend2")
"""|r'|, |r'|^2 and |r''|^2: what averages are taken of."""

BINS = 64
WIDER = 1 + 1e-14
_LEVELS, _TANGENTS = (1.0, 0.6, 0.3, 0.1), 5


@dataclass(frozen=True, eq=False)
class Envelope:
    """Averages over the units of one layer, bounded for every reach up to `reach` in BINS steps.

    slope, bend, square: sup over |z| <= reach * m / BINS of |r'|, |r''| and r^2, for m = 0..BINS.
    least: inf of r^2 over the same.  multipliers: lam, for each quantity.
    heights: sup of phi - lam r^2 over the same, for each quantity one row a multiplier.
    """

    reach: float
    slope: Vector
    bend: Vector
    square: Vector
    least: Vector
    multipliers: dict[Quantity, Vector]
    heights: dict[Quantity, NDArray[np.float64]]

    def bin(self, z: Vector) -> NDArray[np.int64]:
        """The first of the BINS + 1 steps that reaches |z|."""
        return np.minimum(np.ceil(z / self.reach * BINS * (1 + 1e-12)), BINS).astype(np.int64)

    def average(self, quantity: Quantity, bins: NDArray[np.int64], low: Vector, high: Vector) -> Vector:
        """A bound on the mean of the quantity where the mean of r^2 is between `low` and `high`."""
        lam = self.multipliers[quantity][:, None]
        lines = self.heights[quantity][:, bins] + np.maximum(lam * low, lam * high)
        return np.maximum(lines.min(axis=0), 0.0) * (1 + 1e-12) + 1e-12


@lru_cache(maxsize=256)
def envelope(r: Scalar, reach: float) -> Envelope:
    """The envelope of an activation r on [-reach, reach], on balls."""
    chain = [r, r.derivative, r.derivative.derivative, r.derivative.derivative.derivative]
    value, slope, bend, jerk = (_on_bins(g, reach) for g in chain)
    at_value, at_slope, at_bend = (_on_bins(g, reach, middles=True) for g in chain[:3])
    half = reach / BINS / 2 * (1 + 1e-12)  # the edges of bins are rounded
    squares, at_squares = _square(value), _square(at_value)
    steep, bent = (np.abs(x).max(axis=0) for x in (slope, bend))
    one_sign = np.where(slope[0] >= 0, 1.0, np.where(slope[1] <= 0, -1.0, np.nan))
    rise = 2 * _times(value, slope)
    # What average is taken of: on the whole bin, at its middle, and its slope.
    parts: dict[Quantity, tuple[Boxes, Boxes, Boxes]] = {
        "slope": (np.abs(slope), np.abs(at_slope), np.sort(one_sign * bend, axis=0)),
        "slope2": (_square(slope), _square(at_slope), 2 * _times(slope, bend)),
        "bend2": (_square(bend), _square(at_bend), 2 * _times(bend, jerk)),
    }
    multipliers: dict[Quantity, Vector] = {}
    heights: dict[Quantity, NDArray[np.float64]] = {}
    for quantity, (whole, middle, slant) in parts.items():
        lam = _tangents(at_squares[1], middle.max(axis=0))
        multipliers[quantity] = lam
        largest, peak = float(np.abs(whole).max()), float(squares.max())
        heights[quantity] = np.stack(
            [
                _running_max(
                    np.fmin(
                        _top(whole, squares, x),
                        _top(middle, at_squares, x) + half * np.abs(_minus(slant, x * rise)).max(axis=0),
                    )
                    + 1e-13 * (largest + abs(x) * peak)
                )
                for x in lam.tolist()
            ]
        )
    return Envelope(
        reach,
        _running_max(steep),
        _running_max(bent),
        _running_max(squares[1]),
        -_running_max(-squares[0]),
        multipliers,
        heights,
    )


def _on_bins(g: Scalar, reach: float, *, middles: bool = False) -> Boxes:
    """Enclosures of g on the bins of [0, reach] and of [-reach, 0], or at their middles."""
    edges = np.linspace(0.0, reach, BINS + 1)
    edges[-1] = reach
    boxes = np.empty((2, 2, BINS))
    with flint.ctx.workprec(PRECISION):
        for i, (a, b) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            low, high = ((a + b) / 2,) * 2 if middles else (a, b)
            for side, ball in enumerate((ball_between(low, high), ball_between(-high, -low))):
                y = g.ball(ball)
                boxes[:, side, i] = lower_float(y), upper_float(y)
    if not np.isfinite(boxes).all():
        raise ValueError(f"{g.expr} has no finite enclosure on [{-reach}, {reach}]")
    return boxes


def _times(x: Boxes, y: Boxes) -> Boxes:
    corners = np.stack([x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1]])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _square(x: Boxes) -> Boxes:
    ends = np.sort(x**2, axis=0)
    ends[0] = np.where(x[0] * x[1] <= 0, 0.0, ends[0] / WIDER)
    return np.stack([ends[0], ends[1] * WIDER])


def _minus(x: Boxes, y: Boxes) -> Boxes:
    return np.stack([x[0] - y.max(axis=0), x[1] - y.min(axis=0)])


def _top(phi: Boxes, squares: Boxes, lam: float) -> NDArray[np.float64]:
    """sup of phi - lam r^2 on every bin, the two taken apart."""
    return np.asarray(phi.max(axis=0) - np.minimum(lam * squares[0], lam * squares[1]))


def _running_max(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over |z| up to each of the BINS + 1 steps; at step 0 the first bin stands for z = 0."""
    both = np.maximum.accumulate(x.max(axis=-2), axis=-1)
    return np.concatenate([both[..., :1], both], axis=-1)


def _tangents(squares: NDArray[np.float64], phi: NDArray[np.float64]) -> Vector:
    """Multipliers worth trying: slopes of the upper hull of the points (r^2, phi) for a few reaches."""
    found = [0.0]
    for level in _LEVELS:
        bins = max(2, int(level * BINS))
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
