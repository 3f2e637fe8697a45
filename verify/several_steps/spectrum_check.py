"""The independent check of bounds on the Hessian of L_n: are these eigenvalues impossible on all of W?

It trusts what the checker of step errors trusts, whose functions, ranges and envelopes it reads
(`icgd.verify.checker`), and its own code: nothing comes from what found the bounds.  docs/several_steps.md
derives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from flint import arb, arb_series, ctx, fmpq

from icgd.verify.checker.directed import Upper, above
from icgd.verify.checker.envelopes import BINS, QUANTITIES, Envelope
from icgd.verify.checker.lemmas import Refused, need, within
from icgd.verify.checker.loss_slopes import slope_of
from icgd.verify.checker.power_series import Unreadable, exact, formula, jet, series
from icgd.verify.checker.relu import FURTHEST, LOSSES, PRECISION, readable
from icgd.verify.checker.tables import Tables

FORMAT = "icgd spectrum 1"
STATEMENT = (
    "-below <= every eigenvalue of the Hessian of L(w) <= above, for every prompt of examples in the radii "
    "and every w in W; where the slope of the loss has a kink, every mean of limits of Hessians"
)
MOST_SPLITS, MOST_HALVINGS = 65_536, 512
NEAR, NEAR_IN_TWO = 2.0**-12, 2.0**-6
"""How far the bound on the curvature at the output may be above a value, relative to it; more where it is not
linear in y, as boxes of z and y are many."""
Split = tuple[arb, arb, arb, arb]


class SpectrumCheck:
    """The check of one certificate for one problem; `judge` returns (below, above) or raises Refused."""

    def __init__(self, certificate: Mapping[str, Any], letters: Mapping[str, Any]) -> None:
        self.c, self.N = certificate, letters["N"]
        for name, value in {"format": FORMAT, "statement": STATEMENT, **letters}.items():
            mine = certificate["problem"][name] if name in letters else certificate[name]
            need(mine == value, f"{name} = {value} is what is proved (the certificate has {name} = {mine})")
        numbers = ("below", "above", "layers", "multipliers", "root", "splits", "most", "lip")
        need(readable([certificate[name] for name in numbers]), "every number is finite")
        self.layers = certificate["layers"]
        need(len(self.layers) == len(certificate["root"]) == self.N, "there is one entry a layer")
        self.dims = [letters["d"], *[letters["K"]] * (self.N - 1), letters["d_out"]]
        self.roots = [arb(size).sqrt() for size in self.dims]
        self.B_x, self.B_y, self.B_v = (arb(letters[name]) for name in ("B_x", "B_y", "B_v"))
        self.box = [self.B_v / size for size in self.roots[:-1]]
        top = "identity" if letters["output"] == "linear" else letters["activation"]
        named = cache(formula)
        self.r = [named(name) for name in [letters["activation"]] * (self.N - 1) + [top]]
        self.huber, self.quadratic = letters["loss"] == "huber", letters["loss"] == "squared"
        if letters["loss"] in LOSSES:
            phi, lip, _, held = LOSSES[letters["loss"]]
            self.phi, rho, sigma = formula(phi), held["rho"], held["sigma"]
        else:
            self.phi, rho, sigma = slope_of(letters["loss"])
            lip = certificate["lip"]
        self.rho, self.sigma, self.lip = exact(rho), exact(sigma), arb(lip)
        self.known = letters["loss"] in LOSSES

    def judge(self) -> tuple[float, float]:
        """Checks ranges, the slope of the loss, and both trees of cells."""
        p_in = self.B_x
        for j, (f, claim) in enumerate(zip(self.r, self.layers, strict=True), start=1):
            need(FURTHEST >= claim["z"] >= self.B_v * p_in, f"z[{j}] is in its range, at most 2^17")
            need(within(f, 0, claim["z"], -claim["r"], claim["r"]), f"r[{j}] is in its range")
            p_in = self.roots[j] * claim["r"]
        self.check_slope()
        self.envelopes = self.made_envelopes()
        for side, name in ((1, "above"), (-1, "below")):
            need(self.c[name] >= 0, f"the bound {name} is not negative")
            self.output = self.output_tops(side)
            self.check_cells(2 * arb(self.c[name]), self.c["splits"][name], name)
        return self.c["below"], self.c["above"]

    def made_envelopes(self) -> list[Envelope]:
        """The envelopes of all layers."""
        tables, made = Tables(), list[Envelope]()
        for f, claim, lam in reversed([*zip(self.r, self.layers, self.c["multipliers"], strict=True)]):
            made.insert(0, Envelope(tables.reaching(f, claim["z"] * (1 + 2.0**-40)), claim["z"], lam))
        return made

    def check_slope(self) -> None:
        """Check bounds on u = phi(p - rho y) - sigma y and on phi' over the range of p."""
        far = ((self.layers[-1]["r"] + abs(self.rho) * self.B_y) * (1 + arb(2) ** -60)).upper()
        most, reach = self.c["most"], float(far) * (1 + 2.0**-52)
        if self.huber:
            need(most >= far.min(arb(0.5)), "the loss slope is in its range")
        else:
            need(within(self.phi, 0, reach, -most, most), "the loss slope is in its range")
        if not self.known:
            need(within(self.phi, 1, reach, -self.lip, self.lip), "the lip of the loss slope holds")

    def second_derivative(self, z: arb, y: arb, order: int) -> list[arb]:
        """Derivatives of l(r(z), y) in z from the second on: those of u r', u = phi(r - rho y) - sigma y."""
        f = self.r[-1]
        try:
            if self.huber:  # u is p - y, clipped
                p, t = jet(f, z, 2), jet(f, z, 0)[0] - y
                inside, clipped = abs(t) < arb(0.5), t.min(arb(0.5)).max(arb(-0.5))
                tilt = arb(1) if inside else arb(0) if abs(t) > arb(0.5) else arb(0).union(arb(1))
                return [tilt * p[1] ** 2 + clipped * p[2], *[arb("nan")] * order]
            rise = series(f, z, order + 2).derivative()
            moved = arb_series([z, 1], prec=order + 2)
            u = 0 * moved + self.phi(f(moved) - self.rho * y) - self.sigma * y
            found = (u * rise).derivative()
            need(found.prec == order + 1, "no coefficient of the loss slope is missing")
            return [found[0], *([found[1]] if order else [])]
        except Unreadable:
            raise
        except (ArithmeticError, ValueError):
            return [arb("nan")] * (order + 1)

    def output_tops(self, side: int) -> tuple[list[arb], list[arb]]:
        """Bounds on side * (l o r)'', at least 0, for |z| <= reach m / BINS, m = 0..BINS: at y = 0, and else.

        Where (l o r)'' is linear in y, the supremum over z is convex in y, so no larger than the chord from
        y = 0 to an end.  Where it is not, the bound for all |y| <= B_y serves as both.
        """
        if not (self.rho == 0 or self.quadratic):
            tops = self.over_targets(side, [(-self.B_y, self.B_y)], NEAR_IN_TWO)
            return tops, tops
        ends = [(-self.B_y, -self.B_y), (self.B_y, self.B_y)]
        at_zero, at_ends = (self.over_targets(side, y, NEAR) for y in ([(arb(0), arb(0))], ends))
        return at_zero, [x.max(y) for x, y in zip(at_zero, at_ends, strict=True)]

    def over_targets(self, side: int, targets: list[tuple[arb, arb]], near: float) -> list[arb]:
        """A bound on side * (l o r)'', at least 0, for y in these intervals."""
        reach, top, tops = exact(self.layers[-1]["z"]), arb(0), list[arb]()
        scale = sum(abs(self.second_derivative(arb(0), y, 0)[0]) for y in (self.B_y, -self.B_y))
        for m in range(BINS):
            a, b = arb(reach * m / BINS), arb(reach * (m + 1) / BINS)
            spare, todo = MOST_HALVINGS, [(*z, *y) for z in ((a, b), (-b, -a)) for y in targets]
            while todo:
                low, high, least, most = box = todo.pop()
                above, reached = self.over(box, side)
                if above <= top or above - reached <= near * (scale + abs(above)) or not spare:
                    top = top.max(above) if above.is_finite() else arb("inf")
                else:
                    spare -= 1
                    todo += halves(low, high, least, most, 2 * self.B_y)
            tops.append(top)
        return [tops[0], *tops]

    def over(self, box: Split, side: int) -> tuple[arb, arb]:
        """An upper bound on a box, by enclosure or by the mean value theorem, and a value reached there."""
        low, high, least, most = box
        z, y, middle = low.union(high), least.union(most), ((low + high) / 2).mid()
        whole, rise = self.second_derivative(z, y, 1)
        near = self.second_derivative(middle, y, 0)[0] + rise * (z - middle)
        tops = [(side * one).upper() for one in (whole, near) if one.is_finite()]
        seen = side * self.second_derivative(middle, ((least + most) / 2).mid(), 0)[0]
        above = min(tops, key=float) if tops else arb("inf")
        return above, seen.lower() if seen.is_finite() else arb("-inf")

    def check_cells(self, claimed: arb, splits: Sequence[int], name: str) -> None:
        """Check that the cells cover every network of W, and that no eigenvalue in one exceeds the claim."""
        need(len(splits) <= MOST_SPLITS, f"there are at most {MOST_SPLITS:,} nodes in the tree of cells")
        root = self.c["root"]
        for j, (envelope, (low, high)) in enumerate(zip(self.envelopes, root, strict=True), start=1):
            need(low <= envelope.least[-1] and high >= envelope.peak[0][-1], f"the cells cover layer {j}")
        cells, found = [[(exact(low), exact(high)) for low, high in root]], iter(splits)
        while cells:
            need(len(cells) <= 256, "no cell is split more than 256 times in a row")
            cell, split = cells.pop(), next(found, 0)
            if split:
                low, high = cell[split - 1]
                for half in ((((low + high) / 2), high), (low, (low + high) / 2)):
                    cells.append([*cell[: split - 1], half, *cell[split:]])
            else:
                rows = self.form(cell)
                need(rows is None or positive(claimed, rows), f"the bound {name} holds in the cell {cell}")

    def form(self, cell: Sequence[tuple[fmpq, fmpq]]) -> list[list[arb]] | None:
        """The matrix whose largest eigenvalue bounds twice the Hessian's; None if the cell is empty.

        cell: the root mean square of r(z) in layer j is in cell[j - 1].
        """
        N, p = self.N, [self.B_x]
        tops, a1, a2, bends = (list[arb]() for _ in range(4))
        for j, (envelope, (least, most)) in enumerate(zip(self.envelopes, cell, strict=True), start=1):
            m, size, unit = envelope.bins(Upper([above(self.B_v * p[-1])])), self.dims[j], self.roots[j]
            low, high = envelope.mean_square(m, np.array([-above(-least)]), np.array([above(most)]))
            if low > high:
                return None
            slope, slope2, bend2 = (
                arb(float(envelope.average(name, m, low, high).x[0])) for name in QUANTITIES
            )
            _, top, bent = (arb(float(one[m][0])) for one in envelope.peak)
            a2.append((size * slope2).sqrt().min(unit * top))
            a1.append((size * slope).min(unit * a2[-1]))
            tops.append(top.min(a2[-1]))
            bends.append((size * bend2).sqrt().min(bent))
            p.append(unit * arb(float(high[0])).sqrt())
        moved = [[arb(0)] * N for _ in range(N)]  # norm2(dz(j)) <= moved[j - 1] . norms of the dV
        for j in range(N):
            if j:
                spread = self.roots[j + 1] * self.box[j] * a2[j - 1]
                moved[j] = [spread * x for x in moved[j - 1]]
            moved[j][j] += p[j]
        # dz(N)_k <= p norm2(row k of dV_N) + q; of the bound on (l o r)'' the rest is linear in |y_k|.
        at_zero, tilt = self.output[0][m[0]], self.output[1][m[0]] - self.output[0][m[0]]
        last = [p[N - 1] * (j == N - 1) for j in range(N)]
        q = [self.box[-1] * a2[N - 2] * x for x in moved[N - 2]] if N > 1 else [arb(0)]
        rows = [
            [
                at_zero * moved[-1][i] * moved[-1][k]
                + tilt * (last[i] * last[k] + last[i] * q[k] + q[i] * last[k] + self.roots[-1] * q[i] * q[k])
                for k in range(N)
            ]
            for i in range(N)
        ]
        s1, s2 = self.output_slope(
            tops[-1], a1[-1], a2[-1], p[-1], arb(float(self.envelopes[-1].peak[0][m[0]]))
        )
        for j in range(N - 1, 0, -1):
            g = self.box[j] * s1
            for i, x in enumerate(moved[j - 1]):
                rows[i][j] += s2 * tops[j - 1] * x
                rows[j][i] += s2 * tops[j - 1] * x
                for k, y in enumerate(moved[j - 1]):
                    rows[i][k] += g * bends[j - 1] * x * y
            s1, s2 = g * a1[j - 1], g * a2[j - 1]
        return rows

    def output_slope(self, top: arb, a1: arb, a2: arb, p: arb, peak: arb) -> tuple[arb, arb]:
        """1-norm and 2-norm of s(N) = r'(z) u, where |u| <= phi0 + lip |p| + tilt |y|, and |u| <= limit."""
        phi0, tilt = abs(jet(self.phi, arb(0), 0)[0]), self.lip * abs(self.rho) + abs(self.sigma)
        limit = self.c["most"] + abs(self.sigma) * self.B_y
        s2 = self.lip * (top * p).min(peak * a2) + phi0 * a2 + tilt * top * self.B_y
        s2 = s2.min(limit * a2)
        s1 = self.lip * a2 * p + phi0 * a1 + tilt * a2 * self.B_y
        return s1.min(limit * a1).min(self.roots[-1] * s2), s2


def halves(low: arb, high: arb, least: arb, most: arb, width: arb) -> list[Split]:
    """A box, halved in z or in y, whichever it is wider in, relative to the whole range of y."""
    if most - least > 0 and (most - least) / width >= (high - low):
        y = ((least + most) / 2).mid()
        return [(low, high, least, y), (low, high, y, most)]
    z = ((low + high) / 2).mid()
    return [(low, z, least, most), (z, high, least, most)]


def positive(shift: arb, rows: list[list[arb]]) -> bool:
    """Whether shift I - rows is positive definite, by elimination: every pivot is positive.

    The entries of the quadratic form are at most those of `rows`, which are not negative, and so are its
    eigenvalues.
    """
    if all(x == 0 for row in rows for x in row):
        return shift >= 0
    left = [[shift * (i == k) - x for k, x in enumerate(row)] for i, row in enumerate(rows)]
    for i, pivot in enumerate(left):
        if not pivot[i] > 0:
            return False
        for row in left[i + 1 :]:
            by = row[i] / pivot[i]
            row[:] = [x - by * y for x, y in zip(row, pivot, strict=True)]
    return True


def check_spectrum(certificate: Mapping[str, Any], letters: Mapping[str, Any]) -> tuple[float, float]:
    """(below, above) that a certificate proves for the problem posed; raises Refused.

    letters: every letter of the problem with its value; activation and loss by name (or formula).
    """
    with ctx.workprec(PRECISION):
        try:
            return SpectrumCheck(certificate, letters).judge()
        except Refused:
            raise
        except Unreadable as claim:
            raise Refused(str(claim)) from claim
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise Refused("the certificate can be read") from error
