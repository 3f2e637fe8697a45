"""The independent judge of certificates: is the step error of this program proved for the user's problem?

Trusted are Python's integers and Fractions, Arb's balls and power series, and these lines: nothing comes
from the prover.  Functions and their derivatives are power series, lines are exact rationals, every claimed
number is checked, and the problem is the one the caller poses, not the one the certificate names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from itertools import accumulate
from typing import Any

from flint import arb, arb_series, ctx, fmpq

FORMAT, BINS, PRECISION = "icgd certificate 1", 64, 96
UNITS = {"float64": Fraction(1, 2**53), "float32": Fraction(1, 2**24)}
NAMED = {"sigmoid": "1/2+tanh(t/2)/2", "softplus": "softplus(t)", "gelu": "t*(1+erf(t/sqrt(2)))/2"}
NAMED |= {"tanh": "tanh(t)", "sin": "sin(t)", "identity": "t"}
# Of u = phi(p - rho y) - sigma y: phi between its kinks, rho, sigma, sup |phi'|, phi(0), phi(t) / t.
LOSSES: dict[str, Any] = {"squared": ("2*t", 1, 0, 2, 0, 2), "huber": ("t", 1, 0, 1, 0, None)}
LOSSES |= {"logistic": (NAMED["sigmoid"], 0, 1, arb(0.25), arb(0.5), None)}
Sum = Mapping[str, Any]
Function = Callable[[Any], Any]


class Refused(ValueError):
    """The first claim of a certificate that does not hold."""


def need(ok: bool, claim: str) -> None:
    if not ok:
        raise Refused(claim)


def ball(x: Any) -> arb:
    return arb(fmpq(x.numerator, x.denominator)) if isinstance(x, Fraction) else arb(x)


def solution(value: Function, rate: Function) -> Function:
    """The power series of y(x) where y' = rate(y): tighter on wide balls than that of a quotient."""

    def at(x: arb_series) -> arb_series:
        y = first = arb_series([value(x[0])], prec=x.prec)
        for _ in range(x.prec - 1):
            y = first + (rate(y) * x.derivative()).integral()
        return y

    return at


def formula(text: str) -> Function:
    """The function of t, on power series, that a posed problem names; every number in it is exact."""
    names: dict[str, Any] = {"number": lambda s: fmpq(*Fraction(s).as_integer_ratio()), "pi": arb.pi()}
    for name in ("exp", "log", "sin", "cos", "tan", "atan", "erf", "sqrt"):
        names[name] = lambda x, name=name: getattr(x if isinstance(x, arb_series) else arb(x), name)()
    names["tanh"] = solution(arb.tanh, lambda y: 1 - y * y)
    names["softplus"] = solution(lambda x: (1 + x.exp()).log(), lambda y: 1 - (-y).exp())
    number = r"(?<![\w.])(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
    code = compile(re.sub(number, r"number('\g<0>')", NAMED.get(text, text).lower()), "formula", "eval")
    return lambda x: eval(code, {"__builtins__": {}, **names}, {"t": x})


def jet(f: Function, x: arb, order: int) -> list[arb]:
    """f, f', ..., up to the 4th derivative, at a ball."""
    series = 0 * arb_series([x, 1], prec=order + 1) + f(arb_series([x, 1], prec=order + 1))
    return [series[k] * (1, 1, 2, 6, 24)[k] for k in range(order + 1)]


def slope(f: Function, x: arb_series) -> arb_series:
    """The power series of f' where that of the variable is x."""
    return (
        0 * arb_series([x[0], 1], prec=x.prec + 1) + f(arb_series([x[0], 1], prec=x.prec + 1))
    ).derivative()


def within(f: Function, k: int, z: float, low: Any, high: Any) -> bool:
    """Whether low <= f^(k) <= high on all of [-z, z], by bisection, monotonicity and mean values."""
    todo, budget = [(-z, z)], 20_000
    while todo and budget:
        (a, b), budget = todo.pop(), budget - 1
        box, middle = arb(a).union(arb(b)), (a + b) / 2
        whole = jet(f, box, k + 1)
        if whole[k + 1] >= 0 or whole[k + 1] <= 0:
            if not all(low <= jet(f, arb(end), k)[k] <= high for end in (a, b)):
                return False
        else:
            mean = jet(f, arb(middle), k)[k] + whole[k + 1] * (box - middle)
            if not any(low <= x <= high for x in (whole[k], mean)):
                todo += [(a, middle), (middle, b)]
    return not todo


def lines(relus: Sum, lo: Fraction, hi: Fraction) -> Iterator[tuple[Fraction, Fraction, Fraction, Fraction]]:
    """The pieces (start, end, slope, intercept) of constant + sum c relu(a t + b) on [lo, hi], exactly."""
    turns: dict[Fraction, Fraction] = {}
    slope, value, start = Fraction(0), Fraction(relus["constant"]), lo
    for a, b, c in zip(*(map(Fraction, relus[key]) for key in "abc"), strict=True):
        need(a != 0, "every ReLU reads its variable")
        kink = -b / a
        if (a > 0) == (kink <= lo):
            slope, value = slope + c * a, value + c * (a * lo + b)
        if lo < kink < hi:
            turns[kink] = turns.get(kink, Fraction(0)) + c * abs(a)
    for kink in [*sorted(turns), hi]:
        yield start, kink, slope, value - slope * start
        start, slope, value = kink, slope + turns.get(kink, Fraction(0)), value + slope * (kink - start)


def lemma(f: Function, relus: Sum, reach: float, error: float) -> bool:
    """Whether |sum - f| <= error on all of [-reach, reach]."""
    todo, budget = list(lines(relus, Fraction(-reach), Fraction(reach))), 500_000
    value = cache(lambda x: jet(f, ball(x), 0)[0])
    while todo and budget:
        (a, b, slope, lift), budget = todo.pop(), budget - 1
        left, right, rise, up = ball(a), ball(b), ball(slope), ball(lift)
        if not all(abs(value(x) - rise * y - up) <= error for x, y in ((a, left), (b, right))):
            return False
        box, m = left.union(right), (left + right).mid() / 2
        whole, here = jet(f, box, 3), jet(f, m, 2)
        bends = any(x > 0 or x < 0 for x in (whole[2], here[2] + whole[3] * (box - m))) or whole[2] == 0
        for _ in range(2 * bends):  # then only the point matters where the slopes agree
            step = (here[1] - rise) / here[2]
            m = arb((m - step).mid()).max(left).min(right).mid() if step.is_finite() else m
            here = jet(f, m, 2)
        tilt = abs(here[1] - rise) if bends else abs(whole[1] - rise)
        if not abs(here[0] - rise * m - up) + tilt * (right - left) <= error:
            todo += [(a, (a + b) / 2, slope, lift), ((a + b) / 2, b, slope, lift)]
    return not todo


class Table:
    """Suprema of |r'|, |r''|, r^2 and phi - lam r^2 over |z| <= reach * m / BINS, for m = 0..BINS.

    The units of a layer average phi to at most sup (phi - lam r^2) + lam mean r^2, whatever lam.
    """

    def __init__(self, f: Function, reach: float, multipliers: Mapping[str, list[float]]) -> None:
        self.reach, self.multipliers, self.heights = ball(reach), multipliers, cache(self._heights)
        edges = [ball(side * Fraction(reach) * m / BINS) for m in range(BINS + 1) for side in (1, -1)]
        self.boxes = [
            (jet(f, a.union(b), 3), jet(f, (a + b) / 2, 2)) for a, b in zip(edges, edges[2:], strict=False)
        ]
        self.half = edges[2] / 2
        self.peak = [self._upto([abs(whole[k]) for whole, _ in self.boxes]) for k in range(3)]
        self.least = [-x for x in self._upto([-abs(whole[0]).abs_lower() for whole, _ in self.boxes])]

    def _upto(self, tops: list[arb]) -> list[arb]:
        tops = [arb(a.upper()).max(arb(b.upper())) for a, b in zip(tops[::2], tops[1::2], strict=True)]
        return list(accumulate([tops[0], *tops], lambda x, y: x.max(y)))

    def _heights(self, quantity: str) -> list[tuple[float, list[arb], list[float]]]:
        rows = []
        for lam in self.multipliers[quantity]:
            tops = []
            for (r, r1, r2, r3), (p, p1, p2) in self.boxes:
                sign = 1 if r1 >= 0 else -1 if r1 <= 0 else arb(0, 1)
                top, at, slant = {
                    "slope": (abs(r1), abs(p1), sign * r2),
                    "slope2": (r1**2, p1**2, 2 * r1 * r2),
                    "bend2": (r2**2, p2**2, 2 * r2 * r3),
                }[quantity]
                joint = at - lam * p**2 + abs(slant - 2 * lam * r * r1) * self.half
                tops.append(arb((top - lam * r**2).upper()).min(arb(joint.upper())))
            heights = self._upto(tops)
            rows.append((lam, heights, [float(x) for x in heights]))
        return rows

    def bin(self, z: arb) -> int:
        return min(BINS, math.ceil(float((z / self.reach * BINS).upper())))

    def average(self, quantity: str, m: int, low: arb, high: arb) -> arb:
        """A bound on the mean of |r'|, |r'|^2 or |r''|^2 where the mean of r^2 is in [low, high]."""
        a, b = float(low), float(high)  # only to choose a multiplier: any is right
        lam, tops, _ = min(self.heights(quantity), key=lambda row: row[2][m] + max(row[0] * a, row[0] * b))
        return (tops[m] + (lam * low).max(lam * high)).max(arb(0))


class Check:
    """One certificate against one problem; `judge` returns the bound that is proved or raises Refused."""

    def __init__(self, certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str) -> None:
        self.c, self.letters, self.lean, self.N = certificate, letters, construction == "lean", letters["N"]
        need(certificate.get("format") == FORMAT, f"the format is {FORMAT!r}")
        for name, value in {**letters, "construction": construction}.items():
            mine = certificate["construction"] if name == "construction" else certificate["problem"].get(name)
            need(mine == value, f"{name} = {value} is what is proved (the certificate has {name} = {mine})")
        need(certificate["arithmetic"] in UNITS, "the arithmetic is float64 or float32")
        self.unit, self.program, self.layers = (
            UNITS[certificate["arithmetic"]],
            certificate["program"],
            certificate["layers"],
        )
        need(len(self.layers) == len(self.program["layers"]) == self.N, "there is one entry a layer")
        self.dims = [letters["d"], *[letters["K"]] * (self.N - 1), letters["d_out"]]
        self.roots = [arb(size).sqrt() for size in self.dims]
        top = "identity" if letters["output"] == "linear" else letters["activation"]
        self.r = [formula(name) for name in [letters["activation"]] * (self.N - 1) + [top]]
        phi, self.rho, self.sigma, self.lip, self.phi0, self.factor = LOSSES[letters["loss"]]
        self.phi, self.from_z = formula(phi), self.lean and self.rho == 0
        self.B_x, self.B_y, self.B_v = (arb(letters[name]) for name in ("B_x", "B_y", "B_v"))
        self.box = [self.B_v / size for size in self.roots[:-1]]

    def judge(self) -> float:
        """The certified bound on norm2(err)/eta; at most eps."""
        self.check_program()
        for j in range(self.N, 0, -1):
            self.check_ranges(j)
            self.check_errors(j)
        self.check_cover(self.c["certified"])
        need(self.c["certified"] <= self.letters["eps"], "the certified step error is at most eps")
        return float(self.c["certified"])

    def e(self, kind: str, j: int) -> arb:
        return arb(self.c["errors"].get(f"{kind}[{j}]", 0.0))

    def check_program(self) -> None:
        """That the block is for these letters, its box in the theorem's domain, its loss slope the loss's."""
        program, loss = self.program, self.program["loss"]
        for name in ("N", "K", "d", "d_out", "n", "eta", "output"):
            need(program[name] == self.letters[name], f"{name} of the program is that of the problem")
        need(program["construction"] == self.c["construction"], "the program is of this construction")
        same = (loss["rho"], loss["sigma"], loss["linear"]) == (self.rho, self.sigma, self.factor)
        need(same and (self.factor is None) == bool(loss["relus"]), "the loss slope is that of the loss")
        if self.letters["loss"] == "huber":
            far, half = Fraction(self.layers[-1]["r"]) + Fraction(self.letters["B_y"]) + 1, Fraction(1, 2)
            clip: list[Any] = [(-far, -half, 0, -half), (-half, half, 1, 0), (half, far, 0, half)]
            need([*lines(loss["relus"], -far, far)] == clip, "the loss slope is clipped at 1/2")
        for j, (layer, claim) in enumerate(zip(program["layers"], self.layers, strict=True)):
            need(0 < layer["face"] <= self.box[j], f"the box of V{j + 1} is in the theorem's domain")
            for key in "zgs":
                need(layer[f"above_{key}"] >= claim[key], f"the offset of {key}[{j + 1}] is above its range")

    def check_ranges(self, j: int) -> None:
        """Ranges of p(j-1), z, r and its derivatives, g and s = r'(z) g, in exact and computed arithmetic."""
        claim, z, e, unit = self.layers[j - 1], self.layers[j - 1]["z"], self.e, self.roots[j]
        p_in = self.roots[j - 1] * self.layers[j - 2]["r"] if j > 1 else self.B_x
        need(claim["p_in"] >= p_in, f"p[{j - 1}] is in its range")
        need(z >= self.B_v * claim["p_in"] + e("z", j), f"z[{j}] is in its range")
        r, low, high = claim["r"] - e("r", j), claim["dr_low"] + e("dr", j), claim["dr_high"] - e("dr", j)
        sides = [(-r, r), (low, high), *((-claim[name], claim[name]) for name in ("curvature", "jerk"))]
        for k, side in enumerate(sides):
            need(within(self.r[j - 1], k, z, *side), f"derivative {k} of r[{j}] is in its range")
        if j < self.N:
            norm = self.roots[j + 1] * self.B_v * self.layers[j]["s_norm"]
            most = norm / unit
        else:
            peak, reach = arb(claim["r"]), claim["r"] + self.rho * self.B_y
            phi = reach.min(arb(0.5)) if self.letters["loss"] == "huber" else jet(self.phi, reach, 0)[0]
            most = phi + self.sigma * self.B_y + e("u", j)
            norm = (
                unit * (self.phi0 + self.lip * peak + e("u", j))
                + (self.lip * self.rho + self.sigma) * self.B_y
            )
        need(claim["g"] >= most + e("g", j), f"g[{j}] is in its range")
        steep, product = arb(claim["dr_high"]).max(-arb(claim["dr_low"])), e("product", j)
        need(claim["s"] >= steep * claim["g"] + product, f"s[{j}] is in its range")
        norm = steep * (norm.min(unit * most) + unit * e("g", j)) + unit * product
        need(claim["s_norm"] >= norm.min(unit * claim["s"]), f"the norm of s[{j}] is in its range")

    def gamma(self, operations: int) -> arb:
        return ball(operations * self.unit / (1 - operations * self.unit))

    def check_errors(self, j: int) -> None:
        """That every local error covers what it stands for: the approximation, by lemma, and all rounding."""
        claim, layer, tokens = self.layers[j - 1], self.program["layers"][j - 1], self.letters["n"] + 1
        z, g, f = arb(claim["z"]), arb(claim["g"]), self.r[j - 1]
        inner, after = self.dims[j - 1] + tokens + 16, self.dims[j + 1] if j < self.letters["N"] else 1
        steep = arb(claim["dr_high"]).max(-arb(claim["dr_low"]))
        mean = self.gamma(2 * inner) * 2 * self.roots[j] * claim["s"] * claim["p_in"]
        half, ratio = self.box[j - 1], ball(self.unit / UNITS["float64"])
        weights = 8 * ball(self.unit) * half + 2 * (half - layer["face"]) * ratio
        least = {
            "z": self.gamma(inner) * 4 * z,
            "g": self.gamma(after + tokens + 16) * 4 * g,
            "r": self.gamma(tokens + 16) * 4 * z.max(arb(claim["r"]))
            + self.fitted("r", j, f, layer["r"], claim["z"]),
            "dr": self.fitted("dr", j, lambda x: slope(f, x), layer["dr"], claim["z"]),
            "product": self.gamma(2 * inner) * 8 * steep.max(arb(1)) * g + self.product(j, layer["product"]),
            "update": mean + weights * self.roots[j] * self.roots[j - 1] / self.letters["eta"],
        }
        if j == self.letters["N"] and self.letters["loss"] == "logistic":
            phi = (lambda x: self.phi(f(x))) if self.from_z else self.phi
            least["u"] = self.fitted(
                "u", j, phi, self.program["loss"]["relus"], claim["z" if self.from_z else "r"]
            )
        for kind, error in least.items():
            need(self.e(kind, j) >= error, f"the error {kind}[{j}] covers what the program does")

    def fitted(
        self, kind: str, j: int, f: Function, relus: Sum | None, reach: Any, size: Any = None, spread: int = 1
    ) -> arb:
        """A bound on |sum - f| up to `reach`, rounding included; 0 where the program has no such sum."""
        if relus is None:
            return arb(0)
        fit = self.c["lemmas"][f"{kind}[{j}]"]
        need(fit["reach"] >= reach, f"the lemma {kind}[{j}] reaches as far as it is used")
        need(lemma(f, relus, fit["reach"], fit["error"]), f"the lemma {kind}[{j}] holds")
        if fit["error"] == 0:
            return arb(0)
        spread *= 1 if self.lean or kind == "u" else self.letters["n"] + 1
        size = size or fit["reach"] * (3 + arb(2) ** -19) + arb(2) ** -39
        parts = zip(relus["a"], relus["b"], relus["c"], strict=True)
        total = sum((abs(c) * (abs(a) * size + abs(b)) for a, b, c in parts), abs(arb(relus["constant"])))
        return fit["error"] + self.gamma(len(relus["a"]) * spread + 16) * total

    def product(self, j: int, product: Mapping[str, Any] | None) -> arb:
        """A bound on |program - x g| for x in the range of r'(z): two squares and a linear term."""
        if product is None:
            return arb(0)
        claim, (centre, a, b) = self.layers[j - 1], (arb(product[key]) for key in ("centre", "a", "b"))
        g, half = arb(claim["g"]), (claim["dr_high"] - centre).max(centre - claim["dr_low"])
        if product["square"] is None:
            return half * g
        reach, far = a * half + b * g, 3 * (self.c["lemmas"][f"product[{j}]"]["reach"] + b * g)
        squares = self.fitted("product", j, lambda x: x * x, product["square"], reach, far, 2)
        return squares / 2 + abs(a * b - 1) * half * g + self.gamma(8) * abs(centre) * g

    def check_cover(self, claimed: float) -> None:
        """That the cells cover every network of W, and that none of them allows more than is claimed."""
        multipliers, splits = self.c["multipliers"], iter(self.c["splits"])
        rows = zip(self.r, self.layers, multipliers, strict=True)
        self.tables = [Table(f, claim["z"], lam) for f, claim, lam in rows]
        cells = [[(Fraction(low), Fraction(high)) for low, high in self.c["root"]]]
        for j, (table, (low, high)) in enumerate(zip(self.tables, cells[0], strict=True), start=1):
            need(
                ball(low) <= table.least[-1] and ball(high) >= table.peak[0][-1], f"the cells cover layer {j}"
            )
        while cells:
            cell, split = cells.pop(), next(splits, 0)
            if split:
                low, high = cell[split - 1]
                for half in ((((low + high) / 2), high), (low, (low + high) / 2)):
                    cells.append([*cell[: split - 1], half, *cell[split:]])
            else:
                need(self.bound(cell) <= claimed, f"the bound in the cell {cell} is at most {claimed}")

    def bound(self, cell: list[tuple[Fraction, Fraction]]) -> arb:
        """The step error over eta where the root mean square of r(z) in layer j is in cell[j - 1]."""
        p, d1, d2, rows = [self.B_x], [arb(0)], [arb(0)], []
        for j, (table, (least, most)) in enumerate(zip(self.tables, cell, strict=True), start=1):
            m, claim, size, unit = (
                table.bin(self.B_v * p[-1]),
                self.layers[j - 1],
                self.dims[j],
                self.roots[j],
            )
            low, high = ball(least).max(table.least[m]) ** 2, ball(most).min(table.peak[0][m]) ** 2
            if low > high:
                return arb(0)
            top, bent = table.peak[1][m], table.peak[2][m]
            a2 = (size * table.average("slope2", m, low, high)).sqrt().min(unit * top)
            a1 = (size * table.average("slope", m, low, high)).min(unit * a2)
            b2 = (size * table.average("bend2", m, low, high)).sqrt().min(unit * bent)
            shift = self.box[j - 1] * d1[-1] + self.e("z", j)
            bend, third = claim["curvature"] * shift / 2, claim["jerk"] * shift**2 / 2 + self.e("dr", j)
            moved1, moved2 = shift * (a1 + size * bend), shift * (a2 + unit * bend)
            rows.append((a1, a2, shift * unit * b2 + size * third, shift * b2 + unit * third))
            p.append(unit * high.sqrt())
            d1.append(moved1 + size * self.e("r", j))
            d2.append(moved2 + unit * self.e("r", j))
        lip, tilt, limit = self.lip, self.lip * self.rho + self.sigma, self.layers[-1]["g"]
        local = (0 if self.from_z else lip * self.e("r", j)) + self.e("u", j) + self.e("g", j)
        direct = self.c["steepness"] * shift if self.from_z else lip * shift * (top + bend)
        dg, dg2 = (
            (lip * shift * (top + bend)).min(direct) + local,
            (lip * moved2).min(unit * direct) + unit * local,
        )
        norm = (lip * p[-1] + self.phi0 * unit + tilt * self.B_y).min(unit * limit)

        def against(largest: arb, norm2: arb) -> arb:  # the 2-norm of u times such a vector, entry by entry
            linear = lip * (largest * p[-1]).min(table.peak[0][m] * norm2)
            return (linear + self.phi0 * norm2 + tilt * largest * self.B_y).min(limit * norm2)

        s2 = against(top, a2)
        s1 = (lip * a2 * p[-1] + self.phi0 * a1 + tilt * a2 * self.B_y).min(limit * a1).min(unit * s2)
        product, bow1, bow2 = self.e("product", j), *rows[-1][2:]
        ds2 = (top * dg2).min(a2 * dg) + bow2 * dg + shift * against(bent, b2) + third * norm + unit * product
        ds1 = (a2 * dg2).min(a1 * dg) + bow1 * dg + norm * (shift * b2 + unit * third) + size * product
        total = arb(0)
        for j in range(len(rows), 0, -1):
            total += ((ds2 * (p[j - 1] + d2[j - 1]) + s2 * d2[j - 1]) / 2 + self.e("update", j)) ** 2
            if j > 1:
                (a1, a2, bow1, bow2), size, product = rows[j - 2], self.dims[j - 1], self.e("product", j - 1)
                g, dg = (
                    self.box[j - 1] * s1,
                    self.box[j - 1] * ds1.min(self.roots[j] * ds2) + self.e("g", j - 1),
                )
                s1, s2 = g * a1, g * a2
                ds2 = dg * a2 + (g + dg) * bow2 + self.roots[j - 1] * product
                ds1 = dg * a1 + (g + dg) * bow1 + size * product
        return total.sqrt()


def check(certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str) -> float:
    """The bound on norm2(err)/eta that a certificate proves for the problem posed; raises Refused.

    letters: every letter of the problem with its value; activation and loss by name (or formula).
    """
    with ctx.workprec(PRECISION):
        try:
            return Check(certificate, letters, construction).judge()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
            raise (
                error if isinstance(error, Refused) else Refused(f"the certificate can be read ({error!r})")
            ) from None
