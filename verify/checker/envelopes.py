"""The checker's envelopes: bounds on the mean slopes of a layer's units, given their mean r^2 and max |z|.

For every lam, the mean of phi over the units of a layer is at most sup (phi - lam r^2) + lam mean r^2.
Suprema come from boxes on which Taylor's theorem bounds a function from both sides; a box on which the bounds
are too far apart is halved.  Nothing comes from the rest of the project.

For the output layer, (a + b y)^2 <= a^2 mu / (mu - b^2) + mu y^2 for every y and every mu > b^2: the
difference is (a b - (mu - b^2) y)^2 / (mu - b^2).  With a, b = r r', r' this bounds the sum over units of
(r' (r - y))^2, by sup (phi - lam r^2), the mean of r^2 and the sum of y^2; with their slopes, that of
((r' (r - y))')^2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from math import factorial
from typing import Any, NamedTuple

from flint import arb, arb_series, fmpq

from icgd.verify.checker.lemmas import need
from icgd.verify.checker.power_series import Function, exact, jet, square

BINS = 64
FINE, MOST_HALVINGS = 2.0**-17, 4096
"""How far the bound of a supremum may be above it, relative to its terms; and how often the boxes of a layer
may be halved, for all forms together: once this is used up, later bounds are a little higher."""


class Form(NamedTuple):
    """sign phi - lam r^2, where phi is called r0, r1, r2 (r and its derivatives) or s0, s1, s2 (squares).

    Or (k, mu) for a^2 mu / (mu - b^2), where a and b are derivative k of r^2 / 2 and of r.
    """

    phi: str | tuple[int, float]
    sign: int = 1
    lam: float = 0.0


JOINT = {"signal": 1, "drift": 2}
QUANTITIES = {"slope": (("r1", 1), ("r1", -1)), "slope2": (("s1", 1),), "bend2": (("s2", 1),)}


class Box:
    """The six functions on [low, high].

    parts: for each function, its range on the box, its value and slope in the middle, and the range of its
    second derivative.
    """

    def __init__(self, f: Function, low: arb, high: arb) -> None:
        self.low, self.high, whole = low, high, low.union(high)
        self.middle = ((low + high) / 2).mid()
        self.half = (high - self.middle).max(self.middle - low).abs_upper()
        self.curving = self.half * self.half / 2
        r, p = jet(f, whole, 4), jet(f, self.middle, 3)
        self.jets, self.parts = (r, p), dict[Any, tuple[arb, arb, arb, arb]]()
        for k in range(3):
            self.parts[f"r{k}"] = r[k], p[k], p[k + 1], r[k + 2]
            bend = 2 * (square(r[k + 1]) + r[k] * r[k + 2])
            self.parts[f"s{k}"] = square(r[k]), square(p[k]), 2 * p[k] * p[k + 1], bend

    def part(self, phi: str | tuple[int, float]) -> tuple[arb, arb, arb, arb]:
        """The same four numbers of any phi of a form."""
        if phi not in self.parts:
            whole, middle = (freed(r, *phi) for r in self.jets)
            self.parts[phi] = whole[0], middle[0], middle[1], 2 * whole[2]
        return self.parts[phi]

    def ceiling(self, form: Form) -> arb:
        """The range of the form on the box, from the ranges of its terms: enough where others are higher."""
        whole = self.part(form.phi)[0] * form.sign
        return whole - form.lam * self.parts["s0"][0] if form.lam else whole

    def supremum(self, form: Form) -> tuple[arb, arb]:
        """An upper bound of the form on the box, and a bound on its distance above the supremum."""
        whole, value, rise, bend = self.part(form.phi)
        if form.sign < 0:
            whole, value, rise, bend = -whole, -value, -rise, -bend
        if form.lam:
            lam, (squared, at, slant, bow) = arb(form.lam), self.parts["s0"]
            whole, value, rise, bend = (
                whole - lam * squared,
                value - lam * at,
                rise - lam * slant,
                bend - lam * bow,
            )
        far, curve = abs(rise) * self.half, bend * self.curving
        most = curve.upper()
        inside = most < 0 and far < -2 * most  # the vertex of the upper parabola is in the box
        high = (value - far * far / (4 * most) if inside else value + far + most).upper()
        high = high.min(whole.upper()) if high.is_finite() else whole.upper()
        return high, high - value.max(value + far + curve.lower()).lower()


def freed(r: list[arb], k: int, mu: float) -> arb_series | list[arb]:
    """The Taylor coefficients of a^2 mu / (mu - b^2) of a form; nan where mu may not be above b^2."""
    a = arb_series([x / factorial(i) for i, x in enumerate(r)], prec=len(r))
    a, b = a * a / 2, a
    for _ in range(k):
        a, b = a.derivative(), b.derivative()
    gap = mu - b * b
    return mu * a * a / gap if gap[0] > 0 else [arb("nan")] * 3


class Envelope:
    """Suprema of |r|, |r'|, |r''| and phi - lam r^2 over |z| <= reach * m / BINS, for m = 0..BINS.

    multipliers: lam for each of QUANTITIES; pairs mu, lam for each of JOINT that is used.
    """

    def __init__(self, f: Function, reach: float, multipliers: Mapping[str, Sequence[Any]]) -> None:
        self.f, self.reach, self.multipliers, self.spare = f, arb(reach), multipliers, MOST_HALVINGS
        edges = [arb(exact(reach) * m / BINS) for m in range(BINS + 1)]
        self.bins = [[Box(f, a, b), Box(f, -b, -a)] for a, b in pairwise(edges)]
        self.middles = [box for boxes in self.bins for box in boxes]
        self.size = cache(lambda phi: max(float(abs(box.part(phi)[1]).upper()) for box in self.middles))
        self.heights, self.pairs, self.sums = cache(self._heights), cache(self._pairs), cache(self._sums)
        self.peak = [self.suprema(Form(f"r{k}"), Form(f"r{k}", -1)) for k in range(3)]
        self.least = [(-top).max(arb(0)).sqrt().lower() for top in self.suprema(Form("s0", -1))]

    def suprema(self, *forms: Form) -> list[arb]:
        """An upper bound of the largest of these forms over |z| <= reach * m / BINS, for m = 0..BINS."""
        tops, top = [], arb("-inf")
        enough = [FINE * (self.size(one.phi) + abs(one.lam) * self.size("s0")) for one in forms]
        for boxes in self.bins:
            for form, near in zip(forms, enough, strict=True):
                todo, boxes[:] = boxes[:], []
                while todo:
                    box = todo.pop()
                    high, beyond = (top, 0) if box.ceiling(form) <= top else box.supremum(form)
                    if high <= top or beyond <= near or not (self.spare and box.low < box.middle < box.high):
                        top = top.max(high) if high.is_finite() else arb("inf")
                        boxes.append(box)
                    else:
                        self.spare -= 1
                        todo += [Box(self.f, box.low, box.middle), Box(self.f, box.middle, box.high)]
            tops.append(top)
        return [tops[0], *tops]

    def _heights(self, quantity: str) -> list[tuple[float, list[arb], list[float]]]:
        rows = []
        for lam in self.multipliers[quantity]:
            heights = self.suprema(*(Form(phi, sign, lam) for phi, sign in QUANTITIES[quantity]))
            rows.append((lam, heights, [float(x) for x in heights]))
        return rows

    def _pairs(self, quantity: str) -> list[tuple[float, float, list[arb], list[float]]]:
        rows, k = [], JOINT[quantity]
        for mu, lam in self.multipliers[quantity]:
            need(mu > self.peak[k][-1] ** 2, f"the multiplier {mu} of {quantity} is above what it divides")
            tops = self.suprema(Form((k, mu), 1, lam))
            rows.append((mu, lam, tops, [float(x) for x in tops]))
        return rows

    def bin(self, z: arb) -> int:
        """The smallest m in 0..BINS with |z| <= reach * m / BINS."""
        return min(BINS, math.ceil(float((z / self.reach * BINS).upper()) * (1 + 2.0**-50)))

    def average(self, quantity: str, m: int, low: arb, high: arb) -> arb:
        """A bound on the mean of |r'|, |r'|^2 or |r''|^2 where the mean of r^2 is in [low, high]."""
        a, b = float(low), float(high)  # only to choose a multiplier; every multiplier gives a valid bound
        lam, tops, _ = min(self.heights(quantity), key=lambda row: row[2][m] + max(row[0] * a, row[0] * b))
        return (tops[m] + (lam * low).max(lam * high)).max(arb(0))

    def _sums(self, units: int, m: int, least: fmpq, most: fmpq) -> tuple[arb, arb, arb, arb, arb]:
        """The range of the mean of r^2 (empty where low > high), bounds on sums of |r'|, 2-norms of r', r''.

        least, most: of the root mean square of r.  Many cells share them, so the result is kept.
        """
        root, (_, top, bent) = arb(units).sqrt(), (peak[m] for peak in self.peak)
        low, high = arb(least).max(self.least[m]) ** 2, arb(most).min(self.peak[0][m]) ** 2
        a2 = (units * self.average("slope2", m, low, high)).sqrt().min(root * top)
        a1 = (units * self.average("slope", m, low, high)).min(root * a2)
        return low, high, a1, a2, (units * self.average("bend2", m, low, high)).sqrt().min(root * bent)

    def norm(self, quantity: str, m: int, low: arb, high: arb, units: int, targets: arb) -> arb:
        """A bound on the 2-norm of r' (r - y) (signal) or of its slope (drift), where sum y^2 <= targets."""
        a, b, c = float(low), float(high), float(targets)  # only to choose a pair
        mu, lam, tops, _ = min(
            self.pairs(quantity),
            key=lambda row: units * (row[3][m] + max(row[1] * a, row[1] * b)) + row[0] * c,
        )
        return (units * (tops[m] + (lam * low).max(lam * high)).max(arb(0)) + mu * targets).sqrt()
