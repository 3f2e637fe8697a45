"""Certified piecewise-linear fits of a `Scalar` within a tolerance, with close to the fewest pieces.

`icgd.bounds.functions.polygon` proposes a polygon and this module checks it: the error is bounded on balls
for the float64 weights as stored, and the number of pieces is compared with a lower bound.  A witness of the
lower bound is three points of the graph such that no line passes within `tolerance` of all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import flint
import numpy as np

from icgd.bounds.functions.polygon import Graph, TooNarrow, Triple
from icgd.bounds.functions.relu_sum import ReluSum, Vector
from icgd.bounds.functions.scalar import PRECISION, Scalar, t, upper_float

_INSIDE = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Safety margins, relative to the tolerance, tried in turn until the certificate passes."""
_NEGLIGIBLE = 2.0**-90
"""Differences below this share of the function's size are not resolved any further."""
_NEXT_TO_KINK = 2.0**-1000
"""Radius of the ball that stands for the points next to a kink."""


@dataclass(frozen=True)
class Fit:
    """A sum of ReLUs within `tolerance` of `g` on [lo, hi], with proofs of both error and count.

    g, lo, hi, tolerance: the problem.
    relus: the piecewise-linear function; at most `pieces` units and the constant.
    error: certified upper bound of |relus(t) - g(t)| over every real t in [lo, hi], the float64
        weights taken as exact rationals; at most `tolerance`.
    pieces: the number of linear pieces of `relus` on [lo, hi].
    fewest: certified lower bound for the pieces of any piecewise-linear function, continuous or
        not, within `tolerance` of the continuous g on [lo, hi].
    witnesses: the triples that prove `fewest`, one fewer than it. For each x1 < x2 < x3 the value
        g(x2) is more than 2 tolerance from the chord over [x1, x3], so no line fits there and a
        breakpoint lies strictly between x1 and x3; these open intervals are disjoint.

    >>> import sympy
    >>> bend = fit(Scalar(sympy.tanh(t)), -4.0, 4.0, 1e-2)
    >>> bend.error <= bend.tolerance, bend.pieces, bend.fewest
    (True, 9, 9)
    """

    g: Scalar
    lo: float
    hi: float
    tolerance: float
    relus: ReluSum
    error: float
    pieces: int
    fewest: int
    witnesses: tuple[Triple, ...]


def _relus(x: Vector, v: Vector) -> ReluSum:
    """The polygon through the points (x, v) on [x[0], x[-1]], as at most x.size - 1 units.

    ReLUs open away from a base side, a flat one if there is one, else the one over the midpoint, so
    that no long sums cancel. Slopes are quotients of exact differences, so values at knots do not drift.
    """
    slope = np.diff(v) / np.diff(x)
    flat = np.flatnonzero(slope == 0)
    middle = int(np.searchsorted(x[1:-1], (x[0] + x[-1]) / 2))
    base = int(flat[np.argmin(np.abs(flat - middle))]) if flat.size else middle
    way = np.where(np.arange(x.size - 2) < base, -1.0, 1.0)
    a, b, c = np.append(way, 1.0), -np.append(way * x[1:-1], x[0]), np.append(np.diff(slope), slope[base])
    constant = v[base] + slope[base] * (x[0] - x[base])
    return ReluSum(a[c != 0], b[c != 0], c[c != 0], float(constant))


class _Side(NamedTuple):
    """One linear piece: intercept + slope t for start <= t <= end."""

    start: Fraction
    end: Fraction
    slope: Fraction
    intercept: Fraction


def _sides(relus: ReluSum, lo: float, hi: float) -> list[_Side]:
    """The linear pieces of the sum on [lo, hi]; neighbours on one line are merged."""
    kinks, slopes, intercepts = relus.segments()
    first, last = Fraction(lo), Fraction(hi)
    sides: list[_Side] = []
    for start, end, *line in zip([first, *kinks], [*kinks, last], slopes, intercepts, strict=True):
        side = _Side(max(start, first), min(end, last), *line)
        if side.start < side.end:
            if sides and sides[-1][2:] == side[2:]:
                side = side._replace(start=sides.pop().start)
            sides.append(side)
    return sides


def _critical(slope: Scalar, a: Vector, b: Vector, target: Vector) -> Vector:
    """The point in each [a, b] where the monotone slope crosses its target; near an end if it does not."""
    margin = (b - a) * 2.0**-20
    a, b = a + margin, b - margin
    falls = slope(a) > slope(b)
    for _ in range(50):
        middle = (a + b) / 2
        left = (slope(middle) > target) != falls
        a, b = np.where(left, a, middle), np.where(left, middle, b)
    return np.asarray((a + b) / 2)


def _sign(x: flint.arb) -> int:
    return 1 if x >= 0 else -1 if x <= 0 else 0


def _ball(x: Fraction) -> flint.arb:
    return flint.arb(flint.fmpq(x.numerator, x.denominator))


def certified_error(relus: ReluSum, g: Scalar, lo: float, hi: float) -> float:
    """An upper bound of |relus(t) - g(t)| over every real t in [lo, hi], tight to a relative 1e-6.

    The float64 weights are taken as exact rationals. On a piece where a ball shows that g is convex or
    concave, the difference is extreme at the ends or at its critical point, near which a tangent bounds
    it; other pieces are halved until the mean value theorem gives no more than the largest value seen.

    >>> ramp = ReluSum([1.0], [0.0], [1.0])
    >>> round(certified_error(ramp, Scalar(t**2), -0.5, 1.0), 12)
    0.25
    """
    kinks = sorted(map(Fraction, g.kinks))
    # At a kink the one-sided limit counts; a ball around the kink contains it even if g jumps there.
    value = cache(lambda x: g.ball(_ball(x) + flint.arb(0, _NEXT_TO_KINK if x in kinks else 0)))

    def examine(side: _Side, m: flint.arb) -> tuple[flint.arb, flint.arb]:
        """The largest difference seen on a piece, and a bound on all; m: about its critical point."""
        a, b, rise, lift = (_ball(x) for x in side)
        y, slope, bend = g.jet(m, 2)
        at_a, at_b, at_m = (
            y - rise * x - lift for x, y in ((a, value(side.start)), (b, value(side.end)), (m, y))
        )
        seen = abs(at_a).max(abs(at_b)).max(abs(at_m)).abs_lower()
        whole = a.union(b).union(m)
        _, slopes, bends, jerks = g.jet(whole, 3)
        up = _sign(bends) or _sign(bend + jerks * (whole - m))
        if not up or not a < m < b:  # jets are one-sided at a kink, so m must not be one
            return seen, (abs(at_m) + abs(slopes - rise) * (b - a)).abs_upper()
        tilt = up * (slope - rise)
        dip = (tilt * (m - a)).max(tilt * (m - b)) - up * at_m
        return seen, (up * at_a).max(up * at_b).max(dip).abs_upper()

    todo: list[_Side] = []
    for side in _sides(relus, lo, hi):
        ends = [side.start, *(k for k in kinks if side.start < k < side.end), side.end]
        todo += [side._replace(start=a, end=b) for a, b in pairwise(ends)]
    depth, crowd = 0, 4 * len(todo) + 10_000
    error = flint.arb(0)
    with flint.ctx.workprec(PRECISION):
        size = max((abs(value(x)).upper() for x in (Fraction(lo), Fraction(hi))), default=flint.arb(0))
        seen = size * _NEGLIGIBLE + 2.0**-1000
        while todo:
            a, b, rise = np.array([side[:3] for side in todo], dtype=float).T
            bounds = []
            for side, m in zip(todo, _critical(g.derivative, a, b, rise).tolist(), strict=True):
                low, high = examine(side, flint.arb(m))
                seen = seen.max(low)
                bounds.append((side, high))
            depth, last = depth + 1, depth == 50 or len(todo) > crowd
            todo = []
            for side, high in bounds:
                if last or high <= seen * (1 + 2.0**-22):
                    error = error.max(high)
                else:
                    middle = (side.start + side.end) / 2
                    todo += [side._replace(end=middle), side._replace(start=middle)]
        return upper_float(error)


def _disjoint(triples: Iterable[Triple], lo: float, hi: float) -> Iterator[Triple]:
    """The triples that are increasing, inside [lo, hi] and do not overlap the one before."""
    end = lo
    for triple in triples:
        if end <= triple[0] < triple[1] < triple[2] <= hi:
            end = triple[2]
            yield triple


def _deviates(ball: Callable[[float], flint.arb], triple: Triple, tolerance: float) -> bool:
    """Whether g is certainly more than 2 tolerance from its chord at the middle of the triple."""
    (x1, x2, x3), (g1, g2, g3) = (flint.arb(x) for x in triple), (ball(x) for x in triple)
    return bool(abs((g2 - g1) * (x3 - x1) - (g3 - g1) * (x2 - x1)) > 2 * tolerance * (x3 - x1))


def _proved(curve: Graph, tolerance: float, relus: ReluSum) -> Fit | None:
    """The sum with its certificates, or None if it is not within the tolerance."""
    g, lo, hi = curve.g, curve.lo, curve.hi
    error = certified_error(relus, g, lo, hi)
    if not error <= tolerance:
        return None
    ball = cache(lambda x: g.ball(flint.arb(x)))
    with flint.ctx.workprec(PRECISION):
        found = curve.triples(2 * tolerance * (1 + 1e-9))
        deviating = (triple for triple in found if _deviates(ball, triple, tolerance))
        witnesses = tuple(_disjoint(deviating, lo, hi))
    pieces = len(_sides(relus, lo, hi))
    return Fit(g, lo, hi, tolerance, relus, error, pieces, len(witnesses) + 1, witnesses)


def _candidates(curve: Graph, tolerance: float) -> Iterator[ReluSum]:
    """Sums to try, those with the fewest pieces first."""
    if curve.g.is_piecewise_linear:
        inside = sorted(k for k in curve.g.kinks if curve.lo < k < curve.hi)
        x = np.array([curve.lo, *inside, curve.hi])
        yield _relus(x, curve.g(x))
        return
    for share in _INSIDE:
        if (within := tolerance * (1 - share) - curve.rounding) > 0:
            with suppress(TooNarrow):
                yield _relus(*curve.polygon(within))


@cache
def fit(g: Scalar, lo: float, hi: float, tolerance: float) -> Fit:
    """A piecewise-linear function within `tolerance` of a continuous g on [lo, hi], with few pieces.

    Exact if g is piecewise linear, constant if that suffices; otherwise it has `fewest` pieces, or
    one or two more where a knot falls just before an inflection.
    Raises ValueError unless lo < hi and tolerance > 0, or if no float64 weights were found.

    >>> import sympy
    >>> ramp = fit(Scalar(sympy.Max(t, 0), (0.0,)), -1.0, 2.0, 1e-6)
    >>> ramp.pieces, ramp.relus.units, ramp.error < 1e-300
    (2, 1, True)
    """
    if not (lo < hi and tolerance > 0):
        raise ValueError(f"need lo < hi and tolerance > 0, not [{lo}, {hi}] and {tolerance}")
    for curve in (Graph(g, lo, hi), Graph(g, lo, hi, by_balls=True)):
        for relus in _candidates(curve, tolerance):
            if proved := _proved(curve, tolerance, relus):
                return proved
    raise ValueError(f"found no float64 weights within {tolerance} of {g.expr} on [{lo}, {hi}]")


@cache
def square(radius: float, tolerance: float) -> Fit:
    """The interpolation of t^2 on [-radius, radius] by pieces of equal width h, shifted to balance errors.

    Kinks lie at +-(m - 1/2) h and every outer weight is the same float, 2 h; the middle piece is
    flat, so there is one unit fewer than pieces. The error is h^2 / 8, so no function has fewer
    pieces, except that the count here is always odd and one fewer may suffice.
    Raises ValueError unless radius > 0 and tolerance > 0, or if float64 weights are too coarse.

    >>> parabola = square(1.0, 1e-2)
    >>> parabola.pieces, parabola.relus.units, set(parabola.relus.c.tolist())
    (9, 8, {0.4444444444444444})
    """
    if not (radius > 0 and tolerance > 0):
        raise ValueError(f"need radius > 0 and tolerance > 0, not {radius} and {tolerance}")
    curve = Graph(Scalar(t**2), -radius, radius)
    fewest_wings = max(0, math.ceil(radius / math.sqrt(8 * tolerance) - 0.5))
    for wings in (fewest_wings, fewest_wings + 1):  # one more if rounding breaks a tie
        h = radius / (wings + 0.5)
        a = np.repeat([1.0, -1.0], wings)
        kinks = np.tile((np.arange(1, wings + 1) - 0.5) * h, 2)
        if proved := _proved(curve, tolerance, ReluSum(a, -kinks, np.full(2 * wings, 2 * h), h * h / 8)):
            return proved
    raise ValueError(f"float64 weights cannot be within {tolerance} of t^2 on +-{radius}")
