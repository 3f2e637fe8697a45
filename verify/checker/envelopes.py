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

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from icgd.verify.checker.directed import Floats, Interval, Upper, down, up
from icgd.verify.checker.lemmas import need
from icgd.verify.checker.tables import Places, Table

BINS = 64
FINE, MOST_HALVINGS, BOXES_AT_ONCE = 2.0**-20, 4096, 1024
"""How far the bound of a supremum may be above it, relative to its terms; and how often the boxes of a layer
may be halved, for all forms together: once this is used up, later bounds are a little higher.  Boxes that are
bounded together."""


class Form(NamedTuple):
    """sign phi - lam r^2, where phi is called r0, r1, r2 (r and its derivatives) or s0, s1, s2 (squares).

    Or (k, mu) for a^2 mu / (mu - b^2), where a and b are derivative k of r^2 / 2 and of r.
    """

    phi: str | tuple[int, float]
    sign: int = 1
    lam: float = 0.0

    @property
    def name(self) -> str | int:
        """What phi is called, or its k."""
        return self.phi if isinstance(self.phi, str) else self.phi[0]


JOINT = {"signal": 1, "drift": 2}
QUANTITIES = {"slope": (("r1", 1), ("r1", -1)), "slope2": (("s1", 1),), "bend2": (("s2", 1),)}
Curve = tuple[Interval, Interval, Interval]
"""A function on boxes: its value and slope in the middle of each, and the range of its second derivative."""


class Boxes:
    """The functions of forms on boxes [low, high], each in one interval of a table.

    curves: those that are called by name.  half: at least the distance of the middle from the ends.
    """

    def __init__(self, table: Table, low: Floats, high: Floats) -> None:
        self.low, self.high, self.middle = low, high, low + (high - low) / 2
        self.half = up(np.maximum(high - self.middle, self.middle - low))
        self.curving, place = up(self.half * self.half) / 2, table.place(low)
        r, most = [], [bound[place] for bound in table.most]
        for k in range(5):
            value, error = table.at(self.middle, k, place), table.errors[k][place]
            r.append(Interval(down(value - error), up(value + error)))
        far = [up(up(r[k + 1].size() * self.half) + up(most[k + 2] * self.curving)) for k in range(4)]
        far.append(up(most[5] * self.half))
        whole = [Interval(down(x.low - by), up(x.high + by)) for x, by in zip(r, far, strict=True)]
        self.r, self.whole, self.curves = r, whole, dict[Any, Curve]()
        for k in range(3):
            self.curves[f"r{k}"] = r[k], r[k + 1], whole[k + 2]
            bend = whole[k + 1].squared() + whole[k] * whole[k + 2]
            self.curves[f"s{k}"] = r[k].squared(), _twice(r[k] * r[k + 1]), _twice(bend)

    def curve(self, name: str | int, forms: Sequence[Form]) -> Curve:
        """The curve of these forms, one a row, whose phi has this name or this k."""
        if isinstance(name, str):
            return self.curves[name]
        mu = np.array([[form.phi[1]] for form in forms], float)
        middle, whole = _freed(self.r[: name + 2], name, mu), _freed(self.whole[: name + 3], name, mu)
        return middle[0], middle[1], whole[2]

    def suprema(self, forms: Sequence[Form]) -> tuple[Floats, Floats, Floats]:
        """For each form and box an upper bound and a value that is reached; the size of each form's terms."""
        groups = [
            (self.curve(name, rows := [*some]), len(rows))
            for name, some in groupby(forms, lambda form: form.name)
        ]
        sign, lam = (np.array([[getattr(form, name)] for form in forms], float) for name in ("sign", "lam"))
        phi = [_stacked([(curve[i], count) for curve, count in groups]) for i in range(3)]
        squares = self.curves["s0"]
        value, rise, bend = (x.times(sign) - by.times(lam) for x, by in zip(phi, squares, strict=True))
        steep, most = rise.size(), bend.high
        turn, curving = (
            up(-most * self.half),
            np.where(most < 0, down(self.half * self.half) / 2, self.curving),
        )
        vertex = up(up(steep * steep) / (-2 * most))  # where the upper parabola turns inside the box
        beyond = np.where((most < 0) & (steep < turn), vertex, up(up(steep * self.half) + up(most * curving)))
        least = np.maximum(0.0, np.maximum(rise.low, -rise.high))
        end = down(down(value.low + down(least * self.half)) + down(bend.low * self.curving))
        sizes = [np.nan_to_num(x.size()).max(axis=-1) for x in (phi[0], squares[0])]
        return up(value.high + beyond), np.maximum(value.low, end), sizes[0] + np.abs(lam[:, 0]) * sizes[1]


def _stacked(parts: Sequence[tuple[Interval, int]]) -> Interval:
    """The rows of these intervals, repeated as often as is said, under each other."""
    low, high = (
        np.concatenate(
            [np.broadcast_to(getattr(part, end), (count, part.low.shape[-1])) for part, count in parts]
        )
        for end in ("low", "high")
    )
    return Interval(low, high)


def _twice(x: Interval) -> Interval:
    return Interval(2 * x.low, 2 * x.high)


def _freed(r: Sequence[Interval], k: int, mu: Floats) -> list[Interval]:
    """a^2 mu / (mu - b^2) of a form and its slope, from r and k + 1 derivatives; from one more, its bend.

    mu: one a row; all is nan where it may not be above b^2.
    """
    a = [r[0] * r[1], r[1].squared() + r[0] * r[2]]
    if len(r) > 3:
        a.append((r[1] * r[2]).times(np.array(3.0)) + r[0] * r[3])
    if len(r) > 4:
        a.append(r[2].squared().times(np.array(3.0)) + (r[1] * r[3]).times(np.array(4.0)) + r[0] * r[4])
    a, b = a[k - 1 :], r[k:]
    gap, gap1 = Interval(mu, mu) - b[0].squared(), -_twice(b[0] * b[1])
    found = [a[0].squared().over(gap)]
    found.append((_twice(a[0] * a[1]) - found[0] * gap1).over(gap))
    if len(a) > 2:
        over2, gap2 = _twice(a[1].squared() + a[0] * a[2]), -_twice(b[1].squared() + b[0] * b[2])
        found.append((over2 - _twice(found[1] * gap1) - found[0] * gap2).over(gap))
    return [x.times(mu) for x in found]


class Envelope:
    """Suprema of |r|, |r'|, |r''| and phi - lam r^2 over |z| <= reach * m / BINS, for m = 0..BINS.

    table: of r, a little beyond `reach`.  multipliers: lam for each of QUANTITIES; pairs mu, lam for each of
    JOINT that is used.  peak: of |r|, |r'| and |r''|.  least: a lower bound on |r|.  rows: the multipliers of
    each quantity, and the suprema for each of them.
    """

    @np.errstate(all="ignore")
    def __init__(self, table: Table, reach: float, multipliers: Mapping[str, Sequence[Any]]) -> None:
        self.table, self.reach = table, float(reach)
        self.edges = up(self.reach * np.arange(BINS + 1.0)) / BINS
        self.edges[0] = 0.0
        need(self.edges[-1] <= table.reach, "the table of a function reaches as far as it is used")
        forms = [Form(f"r{k}", sign) for k in range(3) for sign in (1, -1)] + [Form("s0", -1)]
        rows = {name: _numbers(multipliers[name], 1) for name in QUANTITIES}
        rows |= {name: _numbers(multipliers[name], 2) for name in JOINT if name in multipliers}
        for name, numbers in rows.items():
            for phi, sign in QUANTITIES.get(name, ()):
                forms += [Form(phi, sign, lam) for (lam,) in numbers]
            forms += [Form((JOINT[name], mu), 1, lam) for mu, lam in numbers] if name in JOINT else []
        tops = iter(self._suprema(forms))
        self.peak = [np.maximum(next(tops), next(tops)) for _ in range(3)]
        self.least = np.maximum(0.0, down(np.sqrt(np.maximum(0.0, -next(tops)))))
        self.rows = dict[str, tuple[Floats, Floats]]()
        for name, numbers in rows.items():
            parts = [[next(tops) for _ in numbers] for _ in QUANTITIES.get(name, (None,))]
            self.rows[name] = numbers, np.max(np.array(parts), axis=0)
            for mu in numbers[:, 0] if name in JOINT else ():
                above = mu > up(self.peak[JOINT[name]][-1:] ** 2)[0]
                need(above, f"the multiplier {mu} of {name} is above what it divides")

    def _suprema(self, forms: Sequence[Form]) -> Floats:
        """An upper bound of each of these forms over |z| <= reach * m / BINS, for m = 0..BINS."""
        cuts = self.table.edges[np.abs(self.table.edges) < self.edges[-1]]
        ends = np.concatenate([self.edges, (self.edges[1:] + self.edges[:-1]) / 2])
        points = np.sort(np.concatenate([-ends, ends, cuts]))
        low, high, spare, enough = points[:-1], points[1:], MOST_HALVINGS, None
        reached, tops = np.full((2, BINS + 1, len(forms)), -np.inf)
        while len(low):
            boxes = Boxes(self.table, low[:BOXES_AT_ONCE], high[:BOXES_AT_ONCE])
            bounds, values, size = boxes.suprema(forms)
            enough = FINE * size + 2.0**-600 if enough is None else enough  # forms may be 0 everywhere
            bins = np.searchsorted(self.edges, np.abs(boxes.middle), "left")
            np.fmax.at(reached, bins, values.T)
            near = np.maximum.accumulate(reached).T[:, bins] + enough[:, None]
            wide = (boxes.low < boxes.middle) & (boxes.middle < boxes.high)
            halved = np.flatnonzero(wide & ~np.all(bounds <= near, axis=0))[:spare]
            done = np.delete(np.arange(len(bins)), halved)
            np.maximum.at(tops, bins[done], np.where(np.isnan(bounds), np.inf, bounds).T[done])
            spare, middle = spare - len(halved), boxes.middle[halved]
            low = np.concatenate([low[BOXES_AT_ONCE:], boxes.low[halved], middle])
            high = np.concatenate([high[BOXES_AT_ONCE:], middle, boxes.high[halved]])
        return np.maximum.accumulate(np.concatenate([tops[1:2], tops[1:]])).T

    def bins(self, z: Upper) -> Places:
        """The smallest m in 0..BINS with |z| <= reach * m / BINS, or one more."""
        m = np.ceil(up(up(z.x / self.reach) * BINS))
        need(bool(np.all(np.isfinite(m))), "the range of a layer is finite")
        return np.minimum(m, BINS).astype(np.intp)

    def average(self, quantity: str, m: Places, low: Floats, high: Floats) -> Upper:
        """A bound on the mean of |r'|, |r'|^2 or |r''|^2 where the mean of r^2 is in [low, high]."""
        return self._least(quantity, m, low, high)[1]

    def norm(self, quantity: str, m: Places, low: Floats, high: Floats, units: int, targets: Upper) -> Upper:
        """A bound on the 2-norm of r' (r - y) (signal) or of its slope (drift), where sum y^2 <= targets."""
        (mu, _), mean = self._least(quantity, m, low, high, targets.x / units)
        return (mean * units + targets * mu).sqrt()

    def _least(
        self, quantity: str, m: Places, low: Floats, high: Floats, spread: Any = 0.0
    ) -> tuple[Floats, Upper]:
        """The multipliers with the least bound (any would do), and theirs on the mean of phi."""
        numbers, tops = self.rows[quantity]
        lam = numbers[:, -1:]
        promised = tops[:, m] + np.maximum(lam * low, lam * high) + numbers[:, :1] * spread
        best = np.argmin(promised, axis=0)
        lam = numbers[best, -1]
        mean = up(tops[best, m] + up(np.maximum(lam * low, lam * high)))
        return numbers[best].T, Upper(np.maximum(0.0, mean))

    def mean_square(self, m: Places, least: Floats, most: Floats) -> tuple[Floats, Floats]:
        """Bounds on the mean of r^2, whose root is in [least, most]; no network is there if low > high."""
        low, high = np.maximum(least, self.least[m]), np.minimum(most, self.peak[0][m])
        return np.maximum(0.0, down(low * low)), up(high * high)


def _numbers(multipliers: Sequence[Any], count: int) -> Floats:
    """One row of `count` numbers a multiplier."""
    return np.array(multipliers, dtype=np.float64).reshape(len(multipliers), count)
