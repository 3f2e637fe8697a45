"""Polygons with few sides near the graph of a `Scalar`: floating-point geometry, not trusted.

The band is the set of points within `tolerance` above or below the graph of g. A greedy choice gives the
polygon in it with the fewest sides. Where g is convex (concave) its knots lie on the lower (upper) edge
of the band and its sides touch the opposite edge; across inflections the next side is the line that stays
in the band longest (Suri 1986; Imai and Iri 1986). `icgd.bounds.functions.pieces` certifies the result.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.functions.stable_forms import IN_MATH

_Point: TypeAlias = tuple[float, float]
Triple: TypeAlias = tuple[float, float, float]
Real: TypeAlias = Callable[[float], float]

_SCAN = 1025
"""Sample points used to look for inflections: closer pairs of them are missed."""
_NEAR_ZERO = np.geomspace(1e-9, 1.0, 181)
"""More sample points, as shares of the range, for functions that are flat except near 0."""
_SIGHT = 4097
"""Sample points along a line; the error between them is below 1e-6 of the tolerance."""


class TooNarrow(ValueError):
    """The band is no wider than the rounding errors of float64."""


def _bisect(positive: Callable[[float], bool], a: float, b: float) -> float:
    """Where the predicate turns from false (at a) to true (at b): a float at which it is true."""
    start = a
    while abs(b - a) > 1e-7 * abs(b - start) and a != (middle := (a + b) / 2) != b:
        a, b = (a, middle) if positive(middle) else (middle, b)
    return b


def _crossing(f: Real, a: float, b: float) -> float:
    """Where f changes sign between a and b."""
    after = f(b)
    return _bisect(lambda x: f(x) * after > 0, a, b)


def _newton(f: Real, slope: Real, a: float, b: float, guess: float) -> float:
    """The root of f, increasing from f(a) < 0 to f(b) > 0, by Newton steps kept inside [a, b]."""
    x, start = guess if a < guess < b else (a + b) / 2, a
    for _ in range(100):
        value = f(x)
        a, b = (a, x) if value > 0 else (x, b)
        steep = slope(x)
        step = x - value / steep if steep > 0 else a
        old, x = x, step if a < step < b else (a + b) / 2
        if abs(x - old) <= 1e-9 * (x - start):
            break
    return x


def _places(lo: float, hi: float, count: int) -> Vector:
    """Increasing points of [lo, hi], both ends included: evenly spaced ones, and denser ones around 0."""
    even, near = np.linspace(lo, hi, count), max(-lo, hi) * _NEAR_ZERO
    close = near[near < 2 * (even[1] - even[0])]
    return np.unique(np.concatenate([even, *((side * close).clip(lo, hi) for side in (-1, 1))]))


@dataclass(frozen=True)
class Graph:
    """The graph of a continuous g over [lo, hi], in floating point: nothing here is trusted.

    by_balls: evaluate on balls, which is slow, for a g whose formula loses too much precision.

    >>> import sympy
    >>> from icgd.bounds.functions.scalar import t
    >>> x, v = Graph(Scalar(t**2), 0.0, 1.0).polygon(0.125)
    >>> x.tolist(), v.tolist()
    ([0.0, 1.0], [-0.125, 0.875])
    """

    g: Scalar
    lo: float
    hi: float
    by_balls: bool = False

    @cached_property
    def calls(self) -> tuple[Real, Real, Real]:
        """g and its first two derivatives as functions of one Python float."""
        step = {**IN_MATH, "Heaviside": lambda x, *_: float(x > 0)}
        chain = self.g, self.g.derivative, self.g.derivative.derivative
        value, slope, bend = (f.nearest if self.by_balls else f.compile(step, "math") for f in chain)
        return value, slope, bend

    def at(self, x: Vector) -> Vector:
        """Values of g."""
        return self._evaluated(self.g, x)

    def bends(self, x: Vector) -> Vector:
        """Values of the second derivative."""
        return self._evaluated(self.g.derivative.derivative, x)

    def _evaluated(self, f: Scalar, x: Vector) -> Vector:
        return np.array([f.nearest(at) for at in x.tolist()]) if self.by_balls else np.asarray(f(x))

    @cached_property
    def samples(self) -> Vector:
        """Values of g all over the range."""
        return self.at(_places(self.lo, self.hi, _SCAN))

    @cached_property
    def breaks(self) -> list[float]:
        """lo, the inflections and kinks in between, and hi: g is convex or concave between neighbours."""
        bend = self.calls[2]
        x = _places(self.lo, self.hi, _SCAN)
        sign = np.sign(self.bends(x))
        x, sign = x[sign != 0], sign[sign != 0]
        turns = np.flatnonzero(sign[1:] != sign[:-1])
        inflections = [_crossing(bend, float(x[i]), float(x[i + 1])) for i in turns]
        inside = {float(k) for k in (*inflections, *self.g.kinks) if self.lo < k < self.hi}
        return [self.lo, *sorted(inside), self.hi]

    @cached_property
    def signs(self) -> list[float]:
        """The sign of the second derivative between consecutive breaks, taken where it is largest."""
        found = []
        for a, b in pairwise(self.breaks):
            x = _places(a, b, 67)[1:-1]
            bends = self.bends(np.append(x, [a + (b - a) * 1e-3, b - (b - a) * 1e-3]))
            found.append(float(np.sign(bends[np.abs(bends).argmax()])))
        return found

    def stretch(self, x: float) -> tuple[float, float]:
        """The next break to the right of x, and the sign of the second derivative up to it."""
        i = min(bisect_right(self.breaks, x), len(self.signs))
        return self.breaks[i], self.signs[i - 1]

    def chord(self, p: float, drop: float) -> _Point | None:
        """(m, q) such that g deviates by `drop` from its chord over [p, q], at m; None past a break."""
        value, slope, bend = self.calls
        end, sign = self.stretch(p)
        at_p = value(p)

        def below_p(m: float) -> float:  # how far the tangent at m passes below (p, g(p))
            return sign * (at_p - value(m) - slope(m) * (p - m)) - drop

        if not sign or below_p(end) <= 0:
            return None
        curved = abs(bend(p))
        guess = p + math.sqrt(2 * drop / curved) if curved > 0 else end
        m = _newton(below_p, lambda x: sign * bend(x) * (x - p), p, end, guess)
        at_m, slope_m = value(m), slope(m)

        def above_m(q: float) -> float:  # how far (q, g(q)) lies above that tangent
            return sign * (value(q) - at_m - slope_m * (q - m)) - drop

        if above_m(end) <= 0:
            return None
        return m, _newton(above_m, lambda x: sign * (slope(x) - slope_m), m, end, 2 * m - p)

    def deviation(self, p: float, q: float) -> tuple[float, Triple]:
        """The largest deviation of g from a chord in [p, q] (at samples) and its triple (Remez' exchange)."""
        x = np.linspace(p, q, _SCAN)
        y = self.at(x)
        i, j, k = 0, _SCAN // 2, _SCAN - 1
        for _ in range(_SCAN):
            e = y - y[i] - (y[k] - y[i]) / (x[k] - x[i]) * (x - x[i])
            best = abs(float(e[j]))
            e = (e if e[j] > 0 else -e) - best / 2  # at i, j, k now -best/2, best/2, -best/2
            far = int(np.argmax(np.abs(e)))
            if abs(e[far]) <= best / 2 * (1 + 1e-9):
                break
            if e[far] > 0:
                i, j, k = (far, i, j) if far < i else (j, k, far) if far > k else (i, far, k)
            else:
                i, j, k = (far, j, k) if far < j else (i, j, far)
        return best, (float(x[i]), float(x[j]), float(x[k]))

    def triple(self, p: float, drop: float) -> Triple | None:
        """The earliest three points right of p that deviate by more than `drop`, if any do."""
        if self.deviation(p, self.hi)[0] <= drop:
            return None
        q = _bisect(lambda x: self.deviation(p, x)[0] > drop, p, self.hi)
        return self.deviation(p, q)[1]

    def furthest(self, a: _Point, b: _Point, tolerance: float) -> tuple[_Point, _Point, _Point, int]:
        """The line that starts on the segment from a to b and stays in the band longest.

        Returns its start, its last touching point, its end, and the edge of the band at which it
        ends: -1 lower, 1 upper, 0 if it reaches hi inside the band.
        """
        end, middle, spread = self.hi, 0.5, 0.5
        for _ in range(60):
            along = np.linspace(max(middle - spread, 0.0), min(middle + spread, 1.0), 17)
            y, v = (a[i] + along * (b[i] - a[i]) for i in (0, 1))
            y = np.minimum(y, np.nextafter(self.hi, -np.inf))  # b may be that close to hi, and y rounded up
            x = _places(a[0], end, _SIGHT)
            gx, run = self.at(x), x - y[:, None]
            seen = run > (x[1] - x[0]) / 4  # nearer points show only rounding errors
            seen[:, -1] = True  # but a line that starts just before hi must end in the band
            run = np.where(seen, run, 1.0)
            rises = [
                np.where(seen, (gx + side * tolerance - v[:, None]) / run, side * np.inf) for side in (-1, 1)
            ]
            low, high = np.maximum.accumulate(rises[0], 1), np.minimum.accumulate(rises[1], 1)
            gap, every = high - low, np.arange(along.size)
            last = np.count_nonzero(gap >= 0, axis=1) - 1  # the last sample seen from each start
            beyond = np.minimum(last + 1, len(x) - 1)
            through, left, lost = last == beyond, gap[every, last], gap[every, beyond]
            share = np.divide(left, left - lost, where=~through & np.isfinite(left), out=np.zeros_like(left))
            reach = np.where(through, end + left, x[last] + share * (x[beyond] - x[last]))
            best = int(np.argmax(reach))
            stop = 1.05 * float(x[beyond].max() - a[0])
            if through[best] and end < self.hi:
                end = min(self.hi, a[0] + 2 * stop)
            elif stop < 0.8 * (end - a[0]):
                end = a[0] + stop
            elif spread < 1e-4:
                break
            else:
                middle, spread = float(along[best]), spread / 5
        start, n = (float(y[best]), float(v[best])), int(last[best])
        side = 0 if through[best] else -1 if low[best, n + 1] > high[best, n] else 1
        edge = (high if side < 0 else low)[best]
        rise = float(edge[n]) if side else float(low[best, n] + high[best, n]) / 2
        value = self.calls[0]

        def line(z: float) -> _Point:
            return z, start[1] + rise * (z - start[0])

        if not side:
            return start, start, line(self.hi), 0
        leave = _bisect(lambda z: side * (line(z)[1] - value(z)) > tolerance, float(x[n]), float(x[n + 1]))
        return start, line(float(x[np.argmax(edge == rise)])), line(leave), side

    def polygon(self, tolerance: float) -> tuple[Vector, Vector]:
        """Knots and values of a polygon within `tolerance`: constant, or each side as long as possible.

        Raises TooNarrow if float64 cannot resolve the band.
        """
        least, most = float(self.samples.min()), float(self.samples.max())
        if most - least <= 2 * tolerance:
            return np.array([self.lo, self.hi]), np.full(2, (least + most) / 2)
        value = self.calls[0]
        at_lo, side = value(self.lo), -int(self.signs[0] or 1)
        a, b = ((self.lo, at_lo + way * tolerance) for way in (-side, side))
        knots = [b]
        while b[0] < self.hi:
            sign = int(self.stretch(b[0])[1])
            found = self.chord(b[0], 2 * tolerance) if side == -sign else None
            if found:
                m, q = found
                a, b = (m, value(m) + sign * tolerance), (q, value(q) - sign * tolerance)
            else:
                knots[-1], a, b, side = self.furthest(a, b, tolerance)
            if not b[0] > knots[-1][0]:
                raise TooNarrow(f"float64 is too coarse for a polygon within {tolerance} of {self.g.expr}")
            knots.append(b)
        x, v = np.array(knots).T
        return x, v

    def triples(self, drop: float) -> list[Triple]:
        """As many triples as possible, without overlap, each off its chord by more than `drop`."""
        drop += 2 * self.rounding
        found, p = list[Triple](), self.lo
        while p < self.hi:  # the last triple may end at hi
            chord = self.chord(p, drop)
            triple = (p, *chord) if chord else self.triple(p, drop)
            if triple is None:
                break
            found.append(triple)
            p = triple[2]
        return found

    @cached_property
    def rounding(self) -> float:
        """A generous estimate of the rounding errors in values of g, from a few of them."""
        x = _places(self.lo, self.hi, 17)
        seen = np.abs(self.at(x) - [self.g.nearest(at) for at in x.tolist()]).max()
        return 4e-16 * float(np.abs(self.samples).max()) + 4 * float(seen)
