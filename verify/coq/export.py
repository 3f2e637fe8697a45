"""Exports a certificate to Coq: a lemma for every linear piece, and one theorem on the step error.

`coq/propagation.v` proves once, for every depth, width and number of examples, how local errors propagate to
the error of a step; `coq/local.v` proves what a sum of ReLUs is on a piece, and how exact a product by
squares is.  `export` adds the numbers of one certificate: for each approximated function a file with one
lemma per piece, proved by the Interval tactic, and `instance.v` with the theorem `step_error_at_most` for
this problem and program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from math import isqrt
from pathlib import Path
from types import SimpleNamespace as Row
from typing import Any

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.verify.certificate.program import layer_sizes

THEORY = Path(__file__).parent
STATIC = ("propagation.v", "local.v")
SMOOTH = ("tanh", "sigmoid", "softplus", "sin", "identity")
SLOPES = {"squared": 2}
"""The losses with u = phi(p - y) that can be exported, each with the Lipschitz constant of phi."""

HEADER = """From Coq Require Import Reals QArith Qreals List Lra Lia.
From ICGD Require Import propagation local.
Import ListNotations.
Open Scope R_scope.
"""


def up(x: Fraction | float, digits: int = 15) -> Fraction:
    """x rounded up to `digits` significant digits."""
    return _rounded(x, digits, ROUND_CEILING)


def down(x: Fraction | float, digits: int = 15) -> Fraction:
    """x rounded down to `digits` significant digits."""
    return _rounded(x, digits, ROUND_FLOOR)


def _rounded(x: Fraction | float, digits: int, towards: str) -> Fraction:
    exact = Fraction(x)
    context = Context(prec=digits, rounding=towards)
    # x is a float or a product of a few floats, so its numerator and denominator are exact as Decimals.
    return Fraction(context.divide(Decimal(exact.numerator), Decimal(exact.denominator)))


def root(x: Fraction | int) -> Fraction:
    """The square root, exact or rounded up."""
    exact, scale = Fraction(isqrt(Fraction(x).numerator), isqrt(Fraction(x).denominator)), 10**18
    return exact if exact**2 == x else Fraction(isqrt(int(x * scale**2)) + 1, scale)


def real(x: Fraction | float) -> str:
    return f"({Fraction(x).numerator} / {Fraction(x).denominator})"


def rational(x: Fraction | float) -> str:
    return f"({Fraction(x).numerator} # {Fraction(x).denominator})"


def listed(items: Iterable[str], between: str = "; ") -> str:
    return f"[{between.join(items)}]"


def tuples(rows: Iterable[Sequence[Fraction | float]]) -> list[str]:
    return [f"({', '.join(map(rational, row))})" for row in rows]


@dataclass(frozen=True)
class Lemma:
    """The sum of ReLUs `name` is within `error` of `function` on [-reach, reach]."""

    name: str
    function: str
    relus: Mapping[str, Any]
    reach: Fraction
    error: Fraction

    def source(self) -> str:
        """A Coq file with the sum, a lemma for each of its pieces, and the lemma for all of them together."""
        pieces = tuples(self.pieces())
        units = tuples(zip(*(self.relus[key] for key in "abc"), strict=True))
        tactic = "square_piece" if self.function == "square" else "linear_piece"
        return "\n".join(
            [
                HEADER,
                "(* sum c relu(a t + b), every unit as (a, b, c) *)",
                f"Definition units : list (Q * Q * Q) := {listed(units, ';   ')}.",
                f"Definition constant : Q := {rational(self.relus['constant'])}.",
                f"Definition reach : Q := {rational(self.reach)}.",
                f"Definition error : Q := {rational(self.error)}.\n",
                *(
                    f"Lemma piece_{i} : near_on {self.function} error {piece}.\nProof. {tactic}. Qed.\n"
                    for i, piece in enumerate(pieces)
                ),
                f"Definition pieces : list piece := {listed(pieces, ';   ')}.\n",
                f"Lemma fit : close (relu_sum constant units) {self.function} (Q2R reach) (Q2R error).",
                "Proof.\n  apply pieces_close with pieces; [vm_compute; reflexivity | discriminate |].",
                *(f"  apply List.Forall_cons; [exact piece_{i} |]." for i in range(len(pieces))),
                "  apply List.Forall_nil.\nQed.\n",
            ]
        )

    def pieces(self) -> list[tuple[Fraction, Fraction, Fraction, Fraction]]:
        """The start, end, slope and intercept of each piece; Coq checks that they describe the sum."""
        kinks, slopes, lifts = ReluSum(**self.relus).segments()
        ends = zip([-self.reach, *kinks], [*kinks, self.reach], slopes, lifts, strict=True)
        cut = [(max(a, -self.reach), min(b, self.reach), slope, lift) for a, b, slope, lift in ends]
        return [piece for piece in cut if piece[0] < piece[1]]

    @property
    def sum(self) -> str:
        return f"relu_sum lemma_{self.name}.constant lemma_{self.name}.units"


class Instance:
    """The numbers of one certificate as rationals, layers counted from 0 as in the Coq files.

    lemmas: those that can be exported.  missing: what cannot be exported, and why; empty if the step error
    can.
    """

    def __init__(self, certificate: Mapping[str, Any]) -> None:
        self.c, self.program, self.letters = certificate, certificate["program"], certificate["problem"]
        self.dims, self.N, self.loss = layer_sizes(self.program), self.program["N"], self.letters["loss"]
        top = "identity" if self.letters["output"] == "linear" else self.letters["activation"]
        self.names = [self.letters["activation"]] * (self.N - 1) + [top]
        self.lemmas: dict[tuple[str, int], Lemma] = {}
        self.missing: list[str] = []
        if self.loss not in SLOPES:
            self.missing.append(f"the step error: the loss is {self.loss}, and only squared can be exported")
        for key, claim in certificate["lemmas"].items():
            kind, layer = key.rstrip("]").split("[")
            self._lemma(kind, int(layer) - 1, claim)

    def _lemma(self, kind: str, j: int, claim: Mapping[str, float]) -> None:
        described, loss, r = self.program["layers"][j], self.program["loss"], self.names[j]
        if kind == "product":
            relus, function = described["product"] and described["product"]["square"], "square"
        elif kind == "u" and self.loss != "logistic":
            self.missing.append(f"u[{j + 1}]: of the nonlinear loss slopes only logistic can be exported")
            return
        elif kind == "u":
            relus = loss["relus"]
            function = f"(fun t => sigmoid0 ({r}0 t))" if loss["from_z"] else "sigmoid0"
        else:
            relus, function = described[kind], f"{r}{1 if kind == 'dr' else 0}"
        if relus and kind != "product" and r not in SMOOTH:
            self.missing.append(f"{kind}[{j + 1}]: {r} is not one of {', '.join(SMOOTH)}")
        elif relus:
            error = up(claim["error"], 5)
            self.lemmas[kind, j] = Lemma(f"{kind}_{j + 1}", function, relus, Fraction(claim["reach"]), error)

    def rows(self) -> list[Row]:
        """The theorem's constants in every layer, each slightly larger than its inequality requires."""
        lip, B_y, rows = SLOPES[self.loss], Fraction(self.letters["B_y"]), []
        below = Row(P1=Fraction(self.letters["B_x"]), EP1=Fraction(0))
        for j in range(self.N):
            a = self._local(j)
            a.P, a.EP = below.P1, below.EP1
            a.Z, a.EZ = (up(a.half * a.root * norm + a.ez) for norm in (a.P, a.EP))
            self._ranges(j, a)
            a.ED = up(a.ed + a.C2 * a.EZ)
            a.P1, a.EP1 = up(a.unit * (a.A + a.er)), up(a.unit * (a.er + a.C1 * a.EZ))
            rows.append(below := a)
        for j, a in reversed([*enumerate(rows)]):
            if j == self.N - 1:
                a.G = up(lip * (a.A + a.er + B_y) + a.eg)
                a.Gn, a.EG = (up(lip * norm + a.unit * a.eg) for norm in (a.P1 + B_y, a.EP1))
            else:
                column = rows[j + 1].half * rows[j + 1].unit
                a.G, EG = (up(column * norm + a.eg) for norm in (rows[j + 1].Sn, rows[j + 1].ES))
                a.Gn, a.EG = up(a.unit * a.G), up(a.unit * EG)
            a.fx = Fraction(0)
            if product := self.program["layers"][j]["product"]:
                centre, lemma = Fraction(product["centre"]), self.lemmas.get(("product", j))
                a.spread = max(a.DH - centre, centre - a.DL)
                off = abs(Fraction(product["a"]) * Fraction(product["b"]) - 1) if lemma else 1
                a.fx = up(off * a.spread * a.G + (lemma.error / 2 if lemma else 0))
            a.ex = a.fx + a.wx
            a.Sn = up(a.D * a.Gn + a.unit * a.ex)
            a.ES = up(a.unit * a.ex + a.C1 * a.EG + a.Gn * a.ED)
            a.E = up((a.ES * a.P + a.Sn * a.EP) / 2 + a.eu)
        return rows

    def _local(self, j: int) -> Row:
        """Local errors e = f + w, of the approximated function and of rounding, and sizes."""
        a = Row()

        def error(kind: str) -> Fraction:
            return Fraction(self.c["errors"].get(f"{kind}[{j + 1}]", 0))

        def rounding(kind: str, share: int = 1) -> Fraction:
            known = self.c["lemmas"][f"{kind}[{j + 1}]"]["error"] if (kind, j) in self.lemmas else 0
            return up(max(Fraction(0), error(kind) - Fraction(known) / share))

        a.fr, a.fd = (
            self.lemmas[kind, j].error if (kind, j) in self.lemmas else Fraction(0) for kind in ("r", "dr")
        )
        a.wz, a.wr, a.wd, a.wx = rounding("z"), rounding("r"), rounding("dr"), rounding("product", 2)
        a.wg, a.eu = up(error("g") + error("u")), up(error("update"))
        a.ez, a.er, a.ed, a.eg = a.wz, a.fr + a.wr, a.fd + a.wd, a.wg
        a.root, a.unit = root(self.dims[j]), root(self.dims[j + 1])
        a.half = up(root(Fraction(self.letters["B_v"]) ** 2 / self.dims[j]))
        return a

    def _ranges(self, j: int, a: Row) -> None:
        """Ranges of r, r' and r'': those of the certificate, widened because Z may be slightly larger."""
        claim = {name: Fraction(value) for name, value in self.c["layers"][j].items()}
        error = {kind: Fraction(self.c["errors"].get(f"{kind}[{j + 1}]", 0)) for kind in ("r", "dr")}
        wider, low, high = (
            max(0, a.Z - claim["z"]),
            claim["dr_low"] + error["dr"],
            claim["dr_high"] - error["dr"],
        )
        room = 0 if self.names[j] == "identity" else Fraction(1, 10**6)  # a coarse bisection suffices
        a.C2 = up(claim["curvature"] * (1 + room) + claim["jerk"] * wider)
        low, high = (
            side(x) for side, x in ((down, low - room - a.C2 * wider), (up, high + room + a.C2 * wider))
        )
        a.C1 = max(high, -low)
        a.A = up((claim["r"] - error["r"]) * (1 + room / 1000) + a.C1 * wider)
        a.DL, a.DH, a.D = low - a.ed, high + a.ed, a.C1 + a.ed

    def source(self) -> str:
        """The Coq file with the theorem of this instance."""
        rows, letters = self.rows(), self.letters
        last = rows[-1]
        hidden = ("spread", "unit", "P1", "EP1")
        v = {name: [vars(row)[name] for row in rows] for name in vars(last) if name not in hidden}
        v |= {"P": [*v["P"], last.P1], "EP": [*v["EP"], last.EP1], "root": [*v["root"], last.unit]}
        functions = {
            f"{d}act": [f"{r}{order}" for r in self.names] for order, d in enumerate(("", "d", "d2"))
        }
        for name, kind, order in (("rhat", "r", 0), ("dhat", "dr", 1)):
            lemmas = [self.lemmas.get((kind, j)) for j in range(self.N)]
            functions[name] = [
                lemma.sum if lemma else f"{self.names[j]}{order}" for j, lemma in enumerate(lemmas)
            ]
        products = [self._product(j) for j in range(self.N)]
        names = " ".join([*v, *functions, "product", "phi", "B_y", "lip", "dim"])
        made = ", ".join(self.c[key] for key in ("construction", "arithmetic", "weights"))
        shown = ", ".join(f"{name} = {value}" for name, value in letters.items())
        proof = (THEORY / "instance.template").read_text("utf-8").replace("PHI", self.loss)
        for kind in ("product", "dr", "r"):  # R_PROOFS is the end of DR_PROOFS
            proofs = [self._proof(kind, j, rows[j]) for j in range(self.N)]
            proof = proof.replace(f"{kind.upper()}_PROOFS", listed(proofs, " | "))
        step = "destruct j as [| j]; [try (exfalso; lia); numbers | "
        return "\n".join(
            [
                HEADER,
                *(f"From ICGD Require lemma_{lemma.name}." for lemma in self.lemmas.values()),
                f"(* {shown}.\n   {made} *)",
                f"Definition N : nat := {self.N}.",
                f"Definition dim (j : nat) : nat := nth j {listed(map(str, self.dims))}%nat 0%nat.",
                *(f"Definition {k} (j : nat) : R := nth j {listed(map(real, x))} 0." for k, x in v.items()),
                *(
                    f"Definition {k} (j : nat) : R -> R := nth j {listed(x)} identity0."
                    for k, x in functions.items()
                ),
                f"Definition product (j : nat) : R -> R -> R := nth j {listed(products)} Rmult.",
                f"Definition phi := {self.loss}.\nDefinition lip : R := {SLOPES[self.loss]}.",
                *(f"Definition {name} : R := {real(letters[name])}." for name in ("B_y", "B_v", "eps")),
                f"Definition bound : R := {real(up(root(sum(a.E**2 for a in rows)), 9))}.\n",
                f"Ltac numbers := cbv beta iota delta [nth {names}].",
                f"Ltac numbers_in H := cbv beta iota delta [nth {names}] in H.",
                f"Ltac each j H := unfold N in H; {step * self.N}exfalso; lia{']' * self.N}.",
                f"Ltac each_size j H := {step * (self.N + 1)}exfalso; lia{']' * (self.N + 1)}.\n",
                proof,
            ]
        )

    def _product(self, j: int) -> str:
        product, lemma = self.program["layers"][j]["product"], self.lemmas.get(("product", j))
        if product is None:
            return "Rmult"
        if lemma is None:
            return f"by_centre {rational(product['centre'])}"
        return f"by_squares {' '.join(rational(product[key]) for key in ('centre', 'a', 'b'))} ({lemma.sum})"

    def _proof(self, kind: str, j: int, row: Row) -> str:
        """The tactic that proves the local error of r, r' or the product in layer j."""
        lemma, spread = self.lemmas.get((kind, j)), kind == "product" and hasattr(row, "spread")
        if lemma is None:
            return f"by_centre_lemma {real(row.spread)}" if spread else "by_itself"
        tactic = f"by_square_lemma {real(row.spread)}" if spread else "by_lemma"
        return " ".join([tactic, *(f"lemma_{lemma.name}.{part}" for part in ("fit", "reach", "error"))])


def export(certificate: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the Coq files of a certificate; returns them in compilation order: theory, lemmas, instance."""
    instance = Instance(certificate)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("lemma_*.v"), folder / "instance.v"):
        old.unlink(missing_ok=True)
    texts = {name: (THEORY / name).read_text("utf-8") for name in STATIC}
    texts |= {f"lemma_{lemma.name}.v": lemma.source() for lemma in instance.lemmas.values()}
    if not instance.missing:
        texts["instance.v"] = instance.source()
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "missing.txt").write_text("\n".join(instance.missing), "utf-8")
    return [folder / name for name in texts]
