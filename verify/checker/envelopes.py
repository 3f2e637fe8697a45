"""The checker's envelopes: bounds on the mean slopes of a layer's units, given their mean r^2 and max |z|.

For every lam, the mean of phi over the units of a layer is at most sup (phi - lam r^2) + lam mean r^2.
Suprema come from boxes on which Taylor's theorem bounds a function from both sides; a box on which the bounds
are too far apart is halved.  Nothing comes from the rest of the project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from flint import arb

from icgd.verify.checker.power_series import Function, exact, jet, square

BINS = 64
FINE, MOST_HALVINGS = 2.0**-17, 4096
"""How far the bound of a supremum may be above it, relative to its terms; and how often the boxes of a layer
may be halved, for all forms together: once this is used up, later bounds are a little higher."""


class Form(NamedTuple):
    """sign phi - lam r^2, where phi is called r0, r1, r2 (r and its derivatives) or s0, s1, s2 (squares)."""

    phi: str
    sign: int = 1
    lam: float = 0.0


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
        self.parts = {}
        for k in range(3):
            self.parts[f"r{k}"] = r[k], p[k], p[k + 1], r[k + 2]
            bend = 2 * (square(r[k + 1]) + r[k] * r[k + 2])
            self.parts[f"s{k}"] = square(r[k]), square(p[k]), 2 * p[k] * p[k + 1], bend

    def supremum(self, form: Form) -> tuple[arb, arb]:
        """An upper bound of the form on the box, and a bound on its distance above the supremum."""
        whole, value, rise, bend = self.parts[form.phi]
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


class Envelope:
    """Suprema of |r|, |r'|, |r''| and phi - lam r^2 over |z| <= reach * m / BINS, for m = 0..BINS."""

    def __init__(self, f: Function, reach: float, multipliers: Mapping[str, Sequence[float]]) -> None:
        self.f, self.reach, self.multipliers, self.spare = f, arb(reach), multipliers, MOST_HALVINGS
        edges = [arb(exact(reach) * m / BINS) for m in range(BINS + 1)]
        self.bins = [[Box(f, a, b), Box(f, -b, -a)] for a, b in pairwise(edges)]
        parts = [box.parts for boxes in self.bins for box in boxes]
        self.size = {name: max(float(abs(one[name][1]).upper()) for one in parts) for name in parts[0]}
        self.heights = cache(self._heights)
        self.peak = [self.suprema(Form(f"r{k}"), Form(f"r{k}", -1)) for k in range(3)]
        self.least = [(-top).max(arb(0)).sqrt().lower() for top in self.suprema(Form("s0", -1))]

    def suprema(self, *forms: Form) -> list[arb]:
        """An upper bound of the largest of these forms over |z| <= reach * m / BINS, for m = 0..BINS."""
        tops, top = [], arb("-inf")
        enough = [FINE * (self.size[one.phi] + abs(one.lam) * self.size["s0"]) for one in forms]
        for boxes in self.bins:
            for form, near in zip(forms, enough, strict=True):
                todo, boxes[:] = boxes[:], []
                while todo:
                    box = todo.pop()
                    high, beyond = box.supremum(form)
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

    def bin(self, z: arb) -> int:
        """The smallest m in 0..BINS with |z| <= reach * m / BINS."""
        return min(BINS, math.ceil(float((z / self.reach * BINS).upper()) * (1 + 2.0**-50)))

    def average(self, quantity: str, m: int, low: arb, high: arb) -> arb:
        """A bound on the mean of |r'|, |r'|^2 or |r''|^2 where the mean of r^2 is in [low, high]."""
        a, b = float(low), float(high)  # only to choose a multiplier; every multiplier gives a valid bound
        lam, tops, _ = min(self.heights(quantity), key=lambda row: row[2][m] + max(row[0] * a, row[0] * b))
        return (tops[m] + (lam * low).max(lam * high)).max(arb(0))
