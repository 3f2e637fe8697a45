"""The independent checker of certificates: is the step error of this program proved for the user's problem?

It trusts Python's numbers, FLINT's rationals, Arb's balls and power series, numpy's float64 (as IEEE-754
defines it), and its own code: nothing comes from the prover.  Functions and their derivatives are power
series, lines are exact rationals, bounds in floats are rounded outwards, every claimed number is checked, and
the problem is the one that the caller poses, not the one that the certificate names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq

from icgd.verify.checker.cells import leaves
from icgd.verify.checker.directed import Floats, Upper, above
from icgd.verify.checker.envelopes import JOINT, Envelope
from icgd.verify.checker.lemmas import Refused, Sum, lemma, need, within
from icgd.verify.checker.loss_slopes import slope_of
from icgd.verify.checker.power_series import NAMED, Function, Unreadable, exact, formula, jet
from icgd.verify.checker.tables import Tables

FORMAT, PRECISION, FURTHEST = "icgd certificate 1", 128, 2**17
CELLS_AT_ONCE = 4096
"""Cells that are bounded together."""
STATEMENT = (
    "norm2(err) <= eta * certified, where err = w' - Proj(w - eta grad L(w)), for every prompt of n examples "
    "and a query in the radii and every w in W"
)
UNITS = {"float64": fmpq(1, 2**53), "float32": fmpq(1, 2**24)}
# Of u = phi(p - rho y) - sigma y: phi between its kinks, sup |phi'|, phi(0), and what the program must hold.
CLIP = {"a": [1.0, 1.0], "b": [0.5, -0.5], "c": [1.0, -1.0], "constant": -0.5}
LOSSES: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "squared": ("2*t", 2, 0, {"rho": 1, "sigma": 0, "linear": 2, "relus": None}),
    "huber": ("t", 1, 0, {"rho": 1, "sigma": 0, "linear": None, "relus": CLIP}),
    "logistic": (NAMED["sigmoid"], arb(0.25), arb(0.5), {"rho": 0, "sigma": 1, "linear": None}),
}


def square_of(x: Any) -> Any:
    """x^2 of a series."""
    return x * x


def readable(node: Any) -> bool:
    """Whether a part of a certificate has only finite numbers, None and the known words of a program."""
    if isinstance(node, Mapping | list):
        return all(map(readable, node.values() if isinstance(node, Mapping) else node))
    number = isinstance(node, int | float) and not isinstance(node, str) and abs(node) < 1e300
    return node is None or number or node in ("lean", "paper", "softmax", "activated", "linear")


class Check:
    """The check of one certificate for one problem; `judge` returns the proved bound or raises Refused.

    scale: `certified` over the bound on the cells, which is for the loss (1/(2n)) sum.
    """

    statement, scale = STATEMENT, 1
    constructions: tuple[str, ...] = "lean", "paper"

    def __init__(self, certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str) -> None:
        self.c, self.letters, self.lean, self.N = certificate, letters, construction != "paper", letters["N"]
        known = f"construction = {construction} can be proved ({' and '.join(self.constructions)} can)"
        need(construction in self.constructions, known)
        posed = {**letters, "construction": construction, "format": FORMAT, "statement": self.statement}
        posed["arithmetic"] = letters.get("precision", certificate["arithmetic"])
        for name, value in posed.items():
            mine = certificate["problem"][name] if name in letters else certificate[name]
            need(mine == value, f"{name} = {value} is what is proved (the certificate has {name} = {mine})")
        words = {"format", "statement", "construction", "arithmetic", "problem", "weights"}
        need(readable([certificate[name] for name in {*certificate} - words]), "every number is finite")
        for name, error in certificate["errors"].items():
            need(error >= 0, f"the error {name} is not negative")
        need(certificate["arithmetic"] in UNITS, "the arithmetic is float64 or float32")
        self.unit, self.layers = UNITS[certificate["arithmetic"]], certificate["layers"]
        self.program = certificate["program"]
        need(len(self.layers) == len(self.program["layers"]) == self.N, "there is one entry a layer")
        self.dims = [letters["d"], *[letters["K"]] * (self.N - 1), letters["d_out"]]
        self.roots = [arb(size).sqrt() for size in self.dims]
        top = "identity" if letters["output"] == "linear" else letters["activation"]
        named = cache(formula)
        self.r = [named(name) for name in [letters["activation"]] * (self.N - 1) + [top]]
        self.tables = Tables()
        self.known = letters["loss"] in LOSSES
        if self.known:
            phi, self.lip, self.phi0, self.loss = LOSSES[letters["loss"]]
            self.phi = formula(phi)
        else:
            self.phi, rho, sigma = slope_of(letters["loss"])
            self.lip, self.phi0 = arb(certificate["lip"]), abs(jet(self.phi, arb(0), 0)[0])
            self.loss = {"rho": rho, "sigma": sigma}
        self.rho, self.sigma = (abs(exact(self.loss[name])) for name in ("rho", "sigma"))
        self.from_z, self.bare = self.lean and self.rho == 0, self.lean and letters["output"] == "linear"
        self.direct = self.from_z or self.bare  # u is computed directly from z(N)
        self.B_x, self.B_y, self.B_v = (arb(letters[name]) for name in ("B_x", "B_y", "B_v"))
        self.box = [self.B_v / size for size in self.roots[:-1]]

    def judge(self) -> float:
        """The certified bound on norm2(err)/eta, at most eps; `letters` has the units of the cells."""
        self.check_program()
        for j in range(self.N, 0, -1):
            self.check_ranges(j)
            self.check_offsets(j)
            self.check_face(j)
            for kind, error in self.least(j).items():
                need(self.e(kind, j) >= error, f"the error {kind}[{j}] covers what the program does")
        self.check_cover(self.c["certified"] / self.scale)
        need(self.c["certified"] <= self.scale * self.letters["eps"], "the certified error is at most eps")
        return float(self.c["certified"])

    def e(self, kind: str, j: int) -> arb:
        return arb(self.c["errors"].get(f"{kind}[{j}]", 0.0))

    def check_program(self) -> None:
        """Check the letters of the block, that its box is in the theorem's domain, and its loss slope."""
        program, loss = self.program, self.program["loss"]
        for name in ("N", "K", "d", "d_out", "n", "eta", "output"):
            need(program[name] == self.letters[name], f"{name} of the program is that of the problem")
        need(program["construction"] == self.c["construction"], "the program is of this construction")
        for name, value in {**self.loss, "from_z": self.direct}.items():
            need(loss[name] == value, f"{name} of the program's loss slope is that of the loss")
        for j, layer in enumerate(program["layers"], start=1):
            bare, product = j == self.N and self.bare, layer["product"]
            need(0 < layer["face"] <= self.box[j - 1], f"the box of V{j} is in the theorem's domain")
            need(bool(layer["r"]) != (j == self.N and self.direct), f"r[{j}] is computed where it is read")
            need(bool(product) == (self.lean and not bare), f"product[{j}] is where it belongs")
            unread = (product and not product["square"]) or bare
            need(bool(layer["dr"] or unread), f"dr[{j}] is computed where it is read")

    def check_ranges(self, j: int) -> None:
        """Check the ranges of p(j-1), z, r and its derivatives, g, s = r'(z) g, exact and as computed."""
        claim, z, e, unit = self.layers[j - 1], self.layers[j - 1]["z"], self.e, self.roots[j]
        p_in = self.roots[j - 1] * self.layers[j - 2]["r"] if j > 1 else self.B_x
        need(claim["p_in"] >= p_in, f"p[{j - 1}] is in its range")
        need(FURTHEST >= z >= self.B_v * claim["p_in"] + e("z", j), f"z[{j}] is in its range, at most 2^17")
        r, low, high = claim["r"] - e("r", j), claim["dr_low"] + e("dr", j), claim["dr_high"] - e("dr", j)
        sides = [(-r, r), (low, high), *((-claim[name], claim[name]) for name in ("curvature", "jerk"))]
        for k, side in enumerate(sides):
            need(within(self.r[j - 1], k, z, *side), f"derivative {k} of r[{j}] is in its range")
        if j < self.N:
            norm = self.roots[j + 1] * self.B_v * self.layers[j]["s_norm"]
            most = norm / unit
        else:
            peak, reach = arb(claim["r"]), claim["r"] + self.rho * self.B_y
            rest = self.sigma * self.B_y + e("u", j)
            if self.known:
                phi = reach.min(arb(0.5)) if self.letters["loss"] == "huber" else jet(self.phi, reach, 0)[0]
                most = phi + rest
            else:
                most = claim["g"] / (1 + arb(2) ** -60) - e("g", j)
                held = within(self.phi, 0, self.far(), rest - most, most - rest)
                need(held, f"the loss slope in g[{j}] is in its range")
                need(within(self.phi, 1, self.far(), -self.lip, self.lip), "the lip of the loss slope holds")
            norm = unit * (self.phi0 + self.lip * peak + e("u", j))
            norm += (self.lip * self.rho + self.sigma) * self.B_y
        need(claim["g"] >= most + e("g", j), f"g[{j}] is in its range")
        steep, product = self.steep(j), e("product", j)
        need(claim["s"] >= steep * claim["g"] + product, f"s[{j}] is in its range")
        norm = steep * (norm.min(unit * most) + unit * e("g", j)) + unit * product
        need(claim["s_norm"] >= norm.min(unit * claim["s"]), f"the norm of s[{j}] is in its range")

    def steep(self, j: int) -> arb:
        """A bound on |r'| in layer j, exact and as computed."""
        return arb(self.layers[j - 1]["dr_high"]).max(-arb(self.layers[j - 1]["dr_low"]))

    def gamma(self, operations: int) -> arb:
        need(2 * operations * self.unit < 1, "there are few enough operations for a bound on rounding")
        return arb(operations * self.unit / (1 - operations * self.unit))

    def check_offsets(self, j: int) -> None:
        """Check that the constants that keep z, g and s at or above 0 are large enough."""
        for key in "zgs":
            far = self.offset(key, j) >= self.layers[j - 1][key]
            need(far, f"the offset of {key}[{j}] is above its range")

    def offset(self, key: str, j: int) -> arb:
        """The constant added to z, g or s, which rounds with it however small the quantity itself is."""
        return arb(self.program["layers"][j - 1][f"above_{key}"])

    def check_face(self, j: int) -> None:
        """Check that rounding leaves a projected weight in the theorem's domain.

        A weight w beyond the face f becomes w - (w - f), with roundings of the size of w - f and of f.  It
        starts in the box and moves by at most eta (s p / 2 + the error of the update).  The room is that of
        float64: in float32 a weight may leave the domain, by less than the error of the update allows.
        """
        claim, half, face = self.layers[j - 1], self.box[j - 1], self.program["layers"][j - 1]["face"]
        far = half + self.letters["eta"] * (arb(claim["s"]) * claim["p_in"] + self.e("update", j))
        room = 2 * arb(UNITS["float64"]) * far
        need(face + room <= half, f"the box of V{j} leaves room for rounding in the theorem's domain")

    def least(self, j: int) -> dict[str, arb]:
        """The least value of every local error: the approximation, by its lemma, and all rounding."""
        claim, layer, tokens = self.layers[j - 1], self.program["layers"][j - 1], self.letters["n"] + 1
        z, g, f = arb(claim["z"]), arb(claim["g"]), self.r[j - 1]
        inner, after = self.dims[j - 1] + tokens + 16, self.dims[j + 1] if j < self.letters["N"] else 1
        steep = self.steep(j).max(arb(1))
        if layer["product"]:
            steep = steep.max(abs(arb(layer["product"]["centre"])))
        of_z, of_g = z + self.offset("z", j), g + self.offset("g", j)
        shift = self.offset("z", j) if self.lean else arb(0)  # sums in `paper` read no slot with an offset
        of_u = shift if self.direct else arb(0)
        mean = self.gamma(2 * inner) * self.roots[j] * (claim["s"] + self.offset("s", j)) * claim["p_in"]
        half, ratio = self.box[j - 1], arb(self.unit / UNITS["float64"])
        weights = 8 * arb(self.unit) * half + 2 * (half - layer["face"]) * ratio
        least = {
            "z": self.gamma(inner) * 2 * of_z,
            "g": self.gamma(after + tokens + 16) * 2 * of_g,
            "r": self.gamma(tokens + 16) * 4 * z.max(arb(claim["r"]))
            + self.fitted("r", j, f, layer["r"], claim["z"], shift),
            "dr": self.fitted("dr", j, f, layer["dr"], claim["z"], shift),
            "u": arb(0),
            "product": self.gamma(2 * inner) * 4 * steep * of_g + self.product(j, layer["product"]),
            "update": mean + weights * self.roots[j] * self.roots[j - 1] / self.letters["eta"],
        }
        if j == self.N and self.bare and self.program["loss"]["linear"]:
            least["product"] += self.gamma(2 * inner) * 4 * abs(arb(self.program["loss"]["linear"])) * of_u
        if j == self.N and self.letters["loss"] == "huber":  # p - y and the clip round
            least["u"] = self.gamma(tokens + 17) * 4 * (claim["r"] + self.B_y + 1 + of_u)
        elif j == self.N and self.letters["loss"] != "squared":
            least["u"] = self.slope_error(f, of_u)
        return least

    def far(self) -> float:
        """The largest |t| at which phi(t) is evaluated."""
        return math.nextafter(float((self.layers[-1]["r"] + self.rho * self.B_y).upper()), math.inf)

    def slope_error(self, f: Function, shift: arb) -> arb:
        """The error of a loss slope that the program approximates, or has as one factor."""
        loss, z, inside = self.program["loss"], self.layers[-1]["z"], lambda x: self.phi(f(x))
        if self.rho == 0:
            steep = self.c["steepness"]
            need(within(inside, 1, z, -steep, steep), "the steepness of the loss slope holds")
        if (by := loss["linear"]) is not None:
            of_p = not self.from_z or self.letters["output"] == "linear"
            need(of_p, "the loss slope is computed from p, not from z")
            line = {"a": [1.0, -1.0], "b": [0.0, 0.0], "c": [by, -by], "constant": 0.0}
            need(abs(math.frexp(by)[0]) == 0.5, f"the loss slope has a power of 2 for a factor, not {by}")
            table = self.tables.reaching(self.phi, self.far())
            alone = loss["relus"] is None and lemma(table, 0, line, self.far(), 0.0)
            need(alone, f"the loss slope is {by} times p - rho y")
            return arb(0)
        need(bool(loss["relus"]), "the loss slope is computed where it is read")
        reach = z if self.from_z else self.layers[-1]["r"] + self.rho * self.B_y
        error = self.fitted("u", self.N, inside if self.from_z else self.phi, loss["relus"], reach, shift)
        # The targets are terms of the same sum.
        return error + self.gamma(len(loss["relus"]["a"]) + 16) * 2 * self.sigma * self.B_y

    def fitted(
        self, kind: str, j: int, f: Function, relus: Sum | None, reach: Any, shift: arb, spread: int = 1
    ) -> arb:
        """A bound on |sum - f| up to `reach`, rounding included; 0 where the program has no such sum.

        shift: a bound on the constants that are added to the argument and subtracted again.
        """
        if relus is None:
            return arb(0)
        fit = self.c["lemmas"][f"{kind}[{j}]"]
        need(fit["reach"] >= reach, f"the lemma {kind}[{j}] reaches as far as it is used")
        table, k = self.tables.reaching(f, fit["reach"]), 1 if kind == "dr" else 0
        need(lemma(table, k, relus, fit["reach"], fit["error"]), f"the lemma {kind}[{j}] holds")
        sane = all(2.0**-100 <= abs(x) <= 2.0**60 for key in "abc" for x in relus[key] if x)
        need(sane, f"the weights of {kind}[{j}] are of a sane size")
        by_heads = self.rho != 0 if kind == "u" else not self.lean
        spread *= self.letters["n"] + 1 if by_heads else 1
        size = fit["reach"] + 2 * shift
        parts = zip(relus["a"], relus["b"], relus["c"], strict=True)
        total = sum((abs(c) * (abs(a) * size + abs(b)) for a, b, c in parts), abs(arb(relus["constant"])))
        return fit["error"] + self.gamma(len(relus["a"]) * spread + self.dims[j - 1] + 16) * total

    def product(self, j: int, product: Mapping[str, Any] | None) -> arb:
        """A bound on |program - x g| for x in the range of r'(z): two squares and a linear term."""
        if product is None:
            return arb(0)
        claim, (centre, a, b) = self.layers[j - 1], (arb(product[key]) for key in ("centre", "a", "b"))
        g, half = arb(claim["g"]), (claim["dr_high"] - centre).max(centre - claim["dr_low"])
        if product["square"] is None:
            return half * g
        need(a > 0 and b > 0, f"the factors of product[{j}] are positive")
        above, reach = self.offset("g", j), a * half + b * g
        shift = a * abs(centre) + b * above
        squares = self.fitted("product", j, square_of, product["square"], reach, shift, 2)
        row = self.gamma(2 * len(product["square"]["a"]) + 16)  # one sum: both squares and centre g
        return squares / 2 + abs(a * b - 1) * half * g + row * abs(centre) * (g + 2 * above)

    def check_cover(self, claimed: float) -> None:
        """Check that the cells cover every network of W, and that the bound in each is at most the claim."""
        multipliers = self.c["multipliers"]
        linear = self.program["loss"]["linear"] is not None and self.rho > 0 and self.sigma == 0
        need(self.c["joint"] is None or linear, "the joint envelope is for a loss slope linear in p - rho y")
        last = multipliers[-1] | (self.c["joint"] or {})
        rows = zip(self.r, self.layers, [*multipliers[:-1], last], strict=True)
        self.envelopes = [
            Envelope(self.tables.reaching(f, claim["z"] * (1 + 2.0**-40)), claim["z"], lam)
            for f, claim, lam in rows
        ]
        for j, (envelope, (low, high)) in enumerate(
            zip(self.envelopes, self.c["root"], strict=True), start=1
        ):
            need(low <= envelope.least[-1] and high >= envelope.peak[0][-1], f"the cells cover layer {j}")
        low, high = leaves(self.c["root"], self.c["splits"])
        for start in range(0, low.shape[1], CELLS_AT_ONCE):
            some = slice(start, start + CELLS_AT_ONCE)
            bounds = self.bound(low[:, some], high[:, some])
            for i in np.flatnonzero(~(bounds <= claimed))[:1]:
                cell = [*zip(low[:, start + i].tolist(), high[:, start + i].tolist(), strict=True)]
                need(False, f"the bound in the cell {cell} is at most {claimed}")

    @np.errstate(all="ignore")
    def bound(self, low: Floats, high: Floats) -> Floats:
        """The step error over eta where the root mean square of r(z) in layer j is in [low, high][j - 1].

        Both have one row a layer and one column a cell; so have all bounds, which are rounded up.
        """
        lip, unit_y = over(self.lip), over(self.B_y)
        p, d1, d2, rows = [Upper(0 * low[0]) + over(self.B_x)], [over(0)], [over(0)], []
        empty = np.zeros(low.shape[1], dtype=bool)
        for j, envelope in enumerate(self.envelopes, start=1):
            m, claim = envelope.bins(over(self.B_v) * p[-1]), self.layers[j - 1]
            size, unit = self.dims[j], over(self.roots[j])
            least, most = envelope.mean_square(m, low[j - 1], high[j - 1])
            empty |= least > most
            peak, top, bent = (Upper(one[m]) for one in envelope.peak)
            a2 = (envelope.average("slope2", m, least, most) * size).sqrt().min(unit * top)
            a1 = (envelope.average("slope", m, least, most) * size).min(unit * a2)
            b2 = (envelope.average("bend2", m, least, most) * size).sqrt().min(unit * bent)
            shift = over(self.box[j - 1]) * d1[-1] + over(self.e("z", j))
            bend = (over(claim["curvature"]) * shift).half()
            third = (over(claim["jerk"]) * shift * shift).half() + over(self.e("dr", j))
            moved1, moved2 = shift * (a1 + bend * size), shift * (a2 + unit * bend)
            rows.append((a1, a2, shift * unit * b2 + third * size, shift * b2 + unit * third))
            p.append(unit * Upper(most).sqrt())
            d1.append(moved1 + over(self.e("r", j)) * size)
            d2.append(moved2 + unit * over(self.e("r", j)))
        tilt, limit = over(self.lip * self.rho + self.sigma) * unit_y, over(self.layers[-1]["g"])
        phi0, product = over(self.phi0), over(self.e("product", j))
        local = over((0 if self.from_z else self.lip * self.e("r", j)) + self.e("u", j) + self.e("g", j))
        dg = lip * shift * (top + bend)
        direct = over(self.c["steepness"]) * shift if self.rho == 0 else dg
        dg, dg2 = dg.min(direct) + local, (lip * moved2).min(unit * direct) + unit * local
        norm = (lip * p[-1] + phi0 * unit + tilt).min(unit * limit)

        def against(largest: Upper, norm2: Upper) -> Upper:  # the 2-norm of u times a vector, entry by entry
            linear = lip * (largest * p[-1]).min(peak * norm2)
            return (linear + phi0 * norm2 + tilt * largest).min(limit * norm2)

        s2, bow1, bow2 = against(top, a2), *rows[-1][2:]
        ds2 = (top * dg2).min(a2 * dg) + bow2 * dg + shift * against(bent, b2) + third * norm
        if self.c["joint"]:  # s = c r' (r - rho y) as one function of z
            steep, targets = over(abs(arb(self.program["loss"]["linear"]))), over((self.rho * self.B_y) ** 2)
            signal, drift = (envelope.norm(name, m, least, most, size, targets) for name in JOINT)
            far = claim["r"] + self.rho * self.B_y
            bow = over((claim["jerk"] * far + 3 * arb(claim["curvature"]) * self.steep(j)) / 2)
            inexact = local * (a2 + bow2) + over(self.e("dr", j)) * (norm + steep * moved2)
            s2 = s2.min(steep * signal)
            ds2 = ds2.min(steep * shift * (drift + unit * bow * shift) + inexact)
        s1 = (lip * a2 * p[-1] + phi0 * a1 + tilt * a2).min(limit * a1).min(unit * s2)
        ds1 = (a2 * dg2).min(a1 * dg) + bow1 * dg + norm * (shift * b2 + unit * third) + product * size
        ds2, total = ds2 + unit * product, over(0)
        for j in range(self.N, 0, -1):
            one = (ds2 * (p[j - 1] + d2[j - 1]) + s2 * d2[j - 1]).half() + over(self.e("update", j))
            total += one * one
            if j > 1:
                (a1, a2, bow1, bow2), product = rows[j - 2], over(self.e("product", j - 1))
                box, unit = over(self.box[j - 1]), over(self.roots[j - 1])
                g = box * s1
                dg = box * ds1.min(over(self.roots[j]) * ds2) + over(self.e("g", j - 1))
                s1, s2 = g * a1, g * a2
                ds2 = dg * a2 + (g + dg) * bow2 + unit * product
                ds1 = dg * a1 + (g + dg) * bow1 + product * self.dims[j - 1]
        return np.where(empty, 0.0, total.sqrt().x)


def over(x: Any) -> Upper:
    """A number or ball that is not negative, as an upper bound."""
    need((found := above(x)) >= 0, "no size is negative")
    return Upper(found)


def check(
    certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str, kind: type[Check] = Check
) -> float:
    """The bound on norm2(err)/eta that a certificate proves for the problem posed; raises Refused.

    letters: every letter of the problem with its value; activation and loss by name (or formula).
    """
    with ctx.workprec(PRECISION):
        try:
            return kind(certificate, letters, construction).judge()
        except Refused:
            raise
        except Unreadable as claim:
            raise Refused(str(claim)) from claim
        except SyntaxError as error:
            raise Refused("the activation is a formula that the checker can read") from error
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            lost = isinstance(error, KeyError)
            raise Refused(f"there is a field {error}" if lost else "the certificate can be read") from error
