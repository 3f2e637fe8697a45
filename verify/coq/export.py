"""Exports a certificate to Coq: its numbers as data, and files in which Coq checks them by computation.

The theory in this folder proves once, for every depth, width and number of examples, that a certificate
whose checks come out true bounds the step error (`certificate.v` has the statement).  `export` writes the
numbers of one certificate, exactly: `data.v`; a file for each layer, which checks its sums of ReLUs and its
ranges; and `instance.v` with the cells and the theorem `step_error_at_most`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

from flint import arb

from icgd.verify.checker.power_series import Unreadable, formula, jet
from icgd.verify.checker.program import layer_sizes
from icgd.verify.coq.floats import floats_file
from icgd.verify.coq.formulas import rational, term

THEORY = Path(__file__).parent
STATIC = (
    *(
        "vectors",
        "calculus",
        "block",
        "gradient",
        "sums",
        "erf",
        "formulas",
        "up",
        "cells",
        "rows",
        "token",
        "tight",
    ),
    *("enclose", "tables", "fits", "sweeps", "certificate", "proof", "machine", "rounding", "floats"),
    *("products", "slope", "update", "heads", "binary64", "clip", "step64"),
)
"""The theory, in the order of compilation."""

FLOATS = {True: "PrimitiveFloat", False: "SpecificFloat BigIntRadix2"}
"""The arithmetic of Coq's computations: with the processor's floats, or with pairs of integers."""

ARITHMETIC_FILE = """From Coq Require Import ZArith.
From Interval Require Import Float.Sig Float.Primitive_ops Float.Specific_ops Float.Specific_bigint.
From ICGD Require Import certificate proof binary64 step64.
Module F := {}.
Module StepChecks := Steps F.
Module FloatChecks := StepChecks.Fl.
Module Checks := FloatChecks.Pr.
Definition prec := F.PtoP 53%positive.
"""

LAYER_FILE = """From ICGD Require Import certificate data arithmetic.

Lemma fits : Checks.Ce.layer_fits prec certified {} = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
"""

INSTANCE_FILE = """From Coq Require Import Reals QArith Qreals List Lia.
From ICGD Require Import certificate proof data arithmetic.
{requires}
Import ListNotations.

(* The tree of cells: 0 for a leaf, else the layer whose interval is halved. *)
Definition splits : list nat := {splits}%nat.

Definition bound : Q := {bound}.
Definition eps : Q := {eps}.

Lemma sums : forallb (layer_sums certified) (seq 0 (N certified)) = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
Lemma fits j : (j < N certified)%nat -> Checks.Ce.layer_fits prec certified j = true.
Proof. intros Hj. change (N certified) with {N}%nat in Hj. {layers}lia. Qed.
Lemma slopes : loss_sums certified = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
Lemma slope : Checks.Ce.loss_fits prec certified = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

(* certificate.v says what step_error is, proof.v what gradient_of_loss is; data.v has the numbers. *)
Theorem step_error_at_most : step_error certified /\\ certificate.bound certified = Q2R bound.
Proof.
  split; [| reflexivity].
  apply (Checks.certificate_ok prec certified {boxes} splits sums fits slopes slope).
  vm_cast_no_check (eq_refl true).
Qed.

Theorem of_the_gradient :
  (step_error certified /\\ certificate.bound certified = Q2R bound) /\\ gradient_of_loss certified.
Proof. exact (conj step_error_at_most (Checks.gradient_ok prec certified sums fits slopes slope)). Qed.

Print Assumptions of_the_gradient.
"""

SLOPES = {
    "squared": ("Smooth (Times (Num (2 # 1)) Var)", Fraction(2), Fraction(0)),
    "huber": ("Clip", Fraction(1), Fraction(0)),
    "logistic": ("Smooth (Call Logistic Var)", Fraction(1, 4), Fraction(1, 2)),
}
"""The losses that can be exported: phi, its Lipschitz constant and |phi(0)|."""

SLACK, ROOM = Fraction(1, 10**4), Fraction(1, 2**30)
"""How far Coq's bound may be above the checker's, and a constant above what is attained (floats round up)."""

ULPS = Fraction(1, 2**48)
"""What Coq's float arithmetic may miss of r', whose size is about 1."""

ROWS, FINEST = 16, 128
"""Boxes in each of the 64 rows of a table: at least, and at most."""


def root(x: Fraction | int) -> Fraction:
    """The square root, exact or rounded up by at most 1e-17 of it: of a small box, too."""
    x = Fraction(x)
    exact = Fraction(isqrt(x.numerator), isqrt(x.denominator))
    scale = 10 ** (18 + max(0, len(str(x.denominator)) - len(str(x.numerator)) + 1) // 2)
    return exact if exact**2 == x else Fraction(isqrt(int(x * scale**2)) + 1, scale)


def listed(items: Iterable[str], between: str = "; ") -> str:
    return f"[{between.join(items)}]"


class Instance:
    """The numbers of one certificate as rationals, layers counted from 0 as in the Coq files.

    missing: what cannot be exported, and why; empty if the step error can.
    """

    def __init__(self, certificate: Mapping[str, Any]) -> None:
        self.c, self.program, self.letters = certificate, certificate["program"], certificate["problem"]
        self.dims, self.N = layer_sizes(self.program), self.program["N"]
        top = "identity" if self.letters["output"] == "linear" else self.letters["activation"]
        self.names = [self.letters["activation"]] * (self.N - 1) + [top]
        self.roots = [root(size) for size in self.dims]
        self.missing: list[str] = []
        if self.letters["loss"] not in SLOPES:
            self.missing.append(
                f"the loss {self.letters['loss']}: only {', '.join(SLOPES)} are exported to Coq"
            )
        try:
            self.terms = [term(name) for name in self.names]
        except Unreadable as reason:
            self.missing.append(f"the activation {self.letters['activation']}: {reason}")
        loss, lean = self.program["loss"], certificate["construction"] != "paper"
        self.direct = lean and not loss["rho"]  # the loss slope is a sum of ReLUs in z
        self.bare = lean and self.letters["output"] == "linear"  # there is no last product
        uneven = [key for key, w in self._sums() if w and any(abs(a) != 1 for a in w["a"])]
        self.missing += [
            f"the sum of ReLUs of {key}: a unit is neither relu(t + b) nor relu(b - t)" for key in uneven
        ]

    def _sums(self) -> list[tuple[str, Mapping[str, Any] | None]]:
        layers = self.program["layers"]
        found = [(f"{kind}[{j}]", one[kind]) for j, one in enumerate(layers, 1) for kind in ("r", "dr")]
        found += [(f"product[{j}]", (one["product"] or {}).get("square")) for j, one in enumerate(layers, 1)]
        return [*found, (f"u[{self.N}]", self.slope_sum)]

    @property
    def bound(self) -> Fraction:
        """What Coq is to prove: slightly more than what the certificate claims, not more than eps."""
        claimed, eps = Fraction(self.c["certified"]), Fraction(self.letters["eps"])
        return min(claimed * (1 + SLACK), eps) if claimed <= eps else claimed * (1 + SLACK)

    @property
    def slope_sum(self) -> Mapping[str, Any] | None:
        """The sum of ReLUs for the loss slope; None for huber, whose slope is such a sum itself."""
        return None if self.letters["loss"] == "huber" else self.program["loss"]["relus"]

    def error(self, kind: str, j: int) -> Fraction:
        return Fraction(self.c["errors"].get(f"{kind}[{j + 1}]", 0))

    @property
    def of_slope(self) -> Fraction:
        """The error of the loss slope, with what the checker counts of it as a product that is not there."""
        kinds = ("g", "u", "product") if self.bare else ("g", "u")
        return sum((self.error(kind, self.N - 1) for kind in kinds), Fraction(0))

    def fit(self, kind: str, j: int, relus: Mapping[str, Any] | None) -> Fraction:
        """The claimed error of a sum of ReLUs; 0 where there is none."""
        return Fraction(self.c["lemmas"][f"{kind}[{j + 1}]"]["error"]) if relus else Fraction(0)

    def relus(self, kind: str, j: int, relus: Mapping[str, Any] | None) -> str:
        """A sum of ReLUs, its units in the order of their kinks."""
        if not relus:
            return "None"
        claim = self.c["lemmas"][f"{kind}[{j + 1}]"]
        a, b, c = ([*map(Fraction, relus[key])] for key in "abc")
        constant, reach = Fraction(relus["constant"]), Fraction(claim["reach"])
        kinks = max(x.denominator for x in (*b, reach))
        weights = max(x.denominator for x in (*c, constant))
        order = sorted(range(len(a)), key=lambda i: -b[i] / a[i])
        units = (f"({'true' if a[i] > 0 else 'false'}, {b[i] * kinks}, {c[i] * weights})" for i in order)
        return (
            f"(Some (Relus {kinks} {weights} ({constant * weights}) {listed(units)}%Z {reach * kinks} "
            f"{rational(claim['error'])}))"
        )

    def slopes(self, j: int) -> tuple[Fraction, Fraction]:
        """The range of r', a little wider than the certificate's, which may be attained."""
        claim = self.c["layers"][j]
        return Fraction(claim["dr_low"]) - ULPS, Fraction(claim["dr_high"]) + ULPS

    def times(self, j: int) -> tuple[str, Fraction]:
        """The program's multiplication in a layer, and a bound on its error."""
        product, claim = self.program["layers"][j]["product"], self.c["layers"][j]
        if product is None:
            return "Exactly", Fraction(0)
        centre, square = Fraction(product["centre"]), product["square"]
        low, high = self.slopes(j)
        spread = max(high - centre, centre - low)
        if square is None:
            return f"(Centred {rational(centre)})", spread * Fraction(claim["g"])
        a, b = Fraction(product["a"]), Fraction(product["b"])
        error = self.fit("product", j, square) / 2 + abs(a * b - 1) * spread * Fraction(claim["g"])
        sums = self.relus("product", j, square).removeprefix("(Some ").removesuffix(")")
        return f"(Squared {rational(centre)} {rational(a)} {rational(b)} {sums})", error

    def layer(self, j: int) -> str:
        """The record of a layer."""
        program, claim, last = self.program["layers"][j], self.c["layers"][j], j == self.N - 1
        times, product = self.times(j)
        e = {kind: self.error(kind, j) for kind in ("z", "r", "dr", "product", "g", "update")}
        u = Fraction(0)
        if last:
            e["g"], e["product"] = self.of_slope, Fraction(0) if self.bare else e["product"]
            u = self.fit("u", j, self.slope_sum)
        known = {"r": self.fit("r", j, program["r"]), "dr": self.fit("dr", j, program["dr"])}
        known |= {"product": product, "g": u}
        # What is left for rounding.
        w = {kind: Fraction(_below(e[kind] - known.get(kind, 0))) for kind in e}
        low, high = map(Fraction, self.c["root"][j])
        most = Fraction(claim["r"]) - e["r"]
        limits = (-most, most) if low <= 0 else (low, most) if self.positive(j) else (-most, -low)
        half = root(Fraction(self.letters["B_v"]) ** 2 / self.dims[j])
        numbers = [half, claim["z"], most]
        pairs = [f"({rational(one)}, {rational(other)})" for one, other in (limits, (low, high))]
        ranges = [*self.slopes(j), Fraction(claim["g"]), Fraction(claim["s_norm"])]
        ranges += [Fraction(claim[key]) * (1 + ROOM) + ROOM**2 for key in ("curvature", "jerk")]
        errors = [w[kind] for kind in ("z", "r", "dr", "product", "g")]
        errors += [e[kind] for kind in ("z", "r", "dr", "product", "g", "update")]
        names = {"slope": "Slope1", "slope2": "Slope2", "bend2": "Bend2"}
        lines = [(names[name], 0.0, lam) for name, row in self.c["multipliers"][j].items() for lam in row]
        if last and self.c["joint"]:
            lines += [(name.title(), *pair) for name, row in self.c["joint"].items() for pair in row]
        lams = [
            f"({name}, {'true' if lam >= 0 else 'false'}, {rational(abs(lam))}, {rational(mu)})"
            for name, mu, lam in lines
        ]
        fields = [
            f"({self.terms[j]})",
            self.relus("r", j, program["r"]),
            self.relus("dr", j, program["dr"]),
            times,
        ]
        fields += [
            *map(rational, numbers),
            *pairs,
            *map(rational, ranges),
            *map(rational, errors),
            listed(lams),
        ]
        return "LayerData\n  " + "\n  ".join(fields)

    def positive(self, j: int) -> bool:
        """Whether r(0) is above 0."""
        return bool(jet(formula(self.names[j]), arb(0), 0)[0] > 0)

    def data(self) -> str:
        """The Coq file with the numbers of this instance."""
        letters, claims, loss = self.letters, self.c["layers"], self.program["loss"]
        phi, lip, phi0 = SLOPES[letters["loss"]]
        if phi != "Clip":
            lip, phi0 = lip * (1 + ROOM), phi0 * (1 + ROOM) + ROOM**2
        last = self.N - 1
        top = Fraction(claims[last]["g"]) - self.of_slope
        ps = [Fraction(letters["B_x"]), *(Fraction(claim["p_in"]) for claim in claims[1:])]
        ps.append(self.roots[-1] * Fraction(claims[last]["r"]))
        sums = self.relus("u", last, self.slope_sum)
        steep = None if loss["rho"] else f"(Some {rational(Fraction(self.c['steepness']) * (1 + ROOM))})"
        made = ", ".join(self.c[key] for key in ("construction", "arithmetic", "weights"))
        shown = ", ".join(f"{name} = {value}" for name, value in letters.items())
        numbers = [loss["rho"], loss["sigma"], letters["B_y"], letters["B_v"], lip, phi0, top]
        return "\n".join(
            [
                "From Coq Require Import QArith List.\nFrom ICGD Require Import formulas tables certificate.",
                "Import ListNotations.\nOpen Scope Q_scope.\n",
                f"(* {shown}.\n   {made} *)",
                *(f"Definition layer_{j + 1} : layer_data := {self.layer(j)}.\n" for j in range(self.N)),
                f"Definition certified : data := Data {listed(map(str, self.dims))}%nat",
                f"  {listed(map(rational, self.roots))} {listed(map(rational, ps))}",
                f"  {listed(f'layer_{j + 1}' for j in range(self.N))}",
                f"  ({phi}) {' '.join(map(rational, numbers))} {str(self.direct).lower()}",
                f"  {sums} {steep} {rational(self.bound)}.",
                "",
            ]
        )

    def instance(self) -> str:
        """The Coq file with the cells and the theorem of this instance."""
        layers = range(1, self.N + 1)
        return INSTANCE_FILE.format(
            requires="\n".join(f"From ICGD Require layer_{j}." for j in layers),
            splits=listed(map(str, self.c["splits"])),
            bound=rational(self.bound),
            eps=rational(self.letters["eps"]),
            boxes=self.boxes(),
            N=self.N,
            layers="".join(f"destruct j as [| j]; [exact layer_{j}.fits |]. " for j in layers),
        )

    def boxes(self) -> int:
        """Boxes in a row of a table: more where the range of z is wide."""
        widest = max(float(claim["z"]) for claim in self.c["layers"])
        return min(FINEST, max(ROWS, 4 * math.ceil(widest)))


def _below(x: Fraction) -> float:
    """A float below x, and 0 for x <= 0."""
    return max(0.0, math.nextafter(float(x), 0.0))


def export(certificate: Mapping[str, Any], folder: Path, *, primitive: bool = True) -> list[Path]:
    """Write the Coq files of a certificate; returns them in compilation order.

    primitive: whether Coq computes with the processor's floats, which is faster and adds axioms.
    """
    instance = Instance(certificate)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{name}.v": (THEORY / f"{name}.v").read_text("utf-8") for name in STATIC}
    if not instance.missing:
        texts |= {"data.v": instance.data(), "arithmetic.v": ARITHMETIC_FILE.format(FLOATS[primitive])}
        texts |= {f"layer_{j + 1}.v": LAYER_FILE.format(j) for j in range(instance.N)}
        texts["instance.v"] = instance.instance()
        if floats := floats_file(certificate):
            texts["in_floats.v"] = floats
    for old in (*folder.glob("layer_*.v"), folder / "instance.v", folder / "in_floats.v"):
        old.unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "missing.txt").write_text("\n".join(instance.missing), "utf-8")
    return [folder / name for name in texts]
