"""Forged certificates for `icgd.verify.sabotage.run`: each claims more than is true."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from icgd.bounds.problem import Problem
from icgd.verify.certificate.proof import certified
from icgd.verify.sabotage.mutants import LOST, SPIKE, Damage, Mutant, more, put, spike

Forgery = tuple[str, Damage, str] | tuple[str, Damage, str, str]
"""A name, the damage, what the refusal must match, and the setting if it is not the default."""
STEEP = spike(SPIKE)
BASE_SIDES = (2, 4)
"""Columns of V1 and V2 in the setting `lean`."""
_RANGES = {
    "p_in": "p",
    "z": "z",
    "r": "derivative 0",
    "dr_high": "derivative 1",
    "g": "g",
    "s": "s",
    "curvature": "derivative 2",
    "jerk": "derivative 3",
    "s_norm": "the norm of s",
}


def relabelled(**easier: Any) -> Damage:
    """The true certificate of an easier problem, with its letters replaced by those of the posed problem."""

    def damage(found: Any) -> None:
        own = certified(Problem.parse((posed := found["problem"]) | easier), found["construction"])
        found |= own | {"problem": posed}
        found["program"]["n"] = posed["n"]

    return damage


def subtree(found: Any) -> None:
    """Replace the first half of the root by a leaf."""
    splits, open_, end = found["splits"], 1, 1
    while open_:
        open_, end = open_ + (1 if splits[end] else -1), end + 1
    splits[1:end] = [0]


def offset_by(keys: str, more: float) -> Damage:
    """Offsets of some quantities moved away from their ranges, in every layer."""

    def damage(found: Any) -> None:
        for layer in found["program"]["layers"]:
            layer.update({f"above_{key}": layer[f"above_{key}"] + more for key in keys})

    return damage


def outermost_face(columns: int, B_v: float = 1.0) -> float:
    """The largest float in half the side of the box of a matrix with so many columns."""
    side = B_v / math.sqrt(columns)
    return side if Fraction(side) ** 2 * columns <= Fraction(B_v) ** 2 else math.nextafter(side, 0.0)


def lowered(sums: Sequence[str], how: str, less: Callable[[float], float]) -> Iterator[Forgery]:
    """Every error, lemma and range of a certificate with N = 2, lowered; sums: the kinds with a lemma."""
    for j in (1, 2):
        for kind in ("z", "g", "r", "dr", "product", "update"):
            yield f"error {kind}[{j}] {how}", put(f"errors.{kind}[{j}]", less), rf"error {kind}\[{j}\]"
            yield f"error {kind}[{j}] negative", put(f"errors.{kind}[{j}]", lambda x: -x), rf"{kind}\[{j}\]"
        for kind in sums:
            if (kind, j) != ("g", 2):
                name, place, words = f"lemma {kind}[{j}]", f"lemmas.{kind}[{j}]", rf"lemma {kind}\[{j}\]"
                yield f"{name} loosened", put(f"{place}.error", lambda x: x / 2), f"{words} holds"
                yield f"{name} shortened", put(f"{place}.reach", lambda x: x * 0.97), f"{words} reaches"
        for name, words in _RANGES.items():
            changed = put(f"layers.{j - 1}.{name}", lambda x: x * 0.97)
            yield f"range {name} of layer {j} lowered", changed, f"^{words}"
        yield f"dr_low of layer {j} raised", put(f"layers.{j - 1}.dr_low", lambda x: x + 0.05), "derivative 1"


def relu_forgeries() -> Iterator[Mutant]:
    """Forged certificates of Theorem 1, with parts lowered, swapped, left out or added."""
    for name, damage, expected, *setting in _forgeries():
        yield Mutant(name, "certificate", "".join(setting) or "lean", damage, expected)


def _forgeries() -> Iterator[Forgery]:
    # fmt: off
    first, r, of_r1 = "program.layers.0", "program.layers.0.r", r"lemma r\[1\] holds"
    half, less = (lambda x: x / 2), (lambda x: x * 0.97)
    yield from lowered(("r", "dr", "product"), "halved", half)
    yield "error u[2] halved", put("errors.u[2]", half), r"error u\[2\]", "logistic"
    yield "lemma u[2] loosened", put("lemmas.u[2].error", half), r"lemma u\[2\] holds", "logistic"
    yield "steepness lowered", put("steepness", half), "steepness", "logistic"
    gift = {"u[2]": -0.03}
    yield "a negative error u[2]", lambda c: put("certified", half)(c) or c["errors"].update(gift), r"u\[2\]"
    yield "a kink moved", put(f"{r}.b.3", lambda x: x + 0.02), of_r1
    yield "a unit dropped", put(r, lambda old: old | {x: old[x][1:] for x in "abc"}), of_r1
    for name, key in {"r": "r", "dr": "dr", "product": "product.square"}.items():
        yield f"a spike in {key}", put(f"{first}.{key}", more(STEEP)), rf"lemma {name}\[1\] holds"
    yield "a spike in the loss", put("program.loss.relus", more(STEEP)), "loss slope", "huber"
    pair = put("program.layers.1.r", more([(1.0, 5.0, 1e17), (1.0, 5.0, -1e17)]))
    yield "a pair of units that cancels on paper", pair, r"\br\[2\]", "linear paper"
    pair = put("program.loss.relus", more([(1.0, 0.5, 1e17), (1.0, 0.5, -1e17)]))
    yield "a pair of units that cancels in the loss", pair, r"loss slope|u\[2\]", "huber"
    for key, rounds in {"z": "z", "g": "g", "s": "update"}.items():
        yield f"offset of {key} below its range", put(f"{first}.above_{key}", less), rf"offset of {key}\[1\]"
        far = put(f"{first}.above_{key}", 1e17)
        yield f"offset of {key} so large that it rounds", far, rf"error {rounds}\[1\] covers"
    for setting in ("tiny", "tiny wide"):
        for name, keys, words in (("every offset", "zgs", "z"), ("g's offset", "g", "g")):
            words = rf"error {words}\[\d\] covers"
            yield f"{name} far above a tiny range ({setting})", offset_by(keys, 2.0**-40), words, setting
    for j in (1, 2):
        outermost = put(f"program.layers.{j - 1}.face", outermost_face(BASE_SIDES[j - 1]))
        yield f"no room for rounding at the faces of V{j}", outermost, rf"box of V{j} leaves room"
    for key in ("a", "b", "centre"):
        yield f"product's {key} altered", put(f"{first}.product.{key}", lambda x: x * 1.2), r"product\[1\]"
    zero = {"a": [1.0], "b": [-100.0], "c": [1.0], "constant": 0.0}  # zero on the range of the lemma
    negative = put(f"{first}.product", lambda p: p | {"a": -p["a"], "b": -p["b"], "square": zero})
    near = put("lemmas.product[1]", {"reach": 1e-6, "error": 1e-9})
    yield "a product with a, b < 0", lambda c: negative(c) or near(c), r"product\[\d\]"
    for key in ("r", "dr", "product"):
        yield f"no {key} in the program", put(f"{first}.{key}", None), rf"\b{key}\[1\]"
    lazy = put(first, lambda layer: layer | {"product": None, "dr": None})
    yield "a layer that never learns", lazy, r"product\[1\]|dr\[1\]"
    yield "loss slope read off z", put("program.loss.from_z", True), "from_z|loss slope", "huber"
    easier: dict[str, tuple[Any, str]] = {
        "eps": (0.2, "at most eps"), "N": (1, "one entry a layer"), "K": (3, "^K of"), "d": (1, "^d of"),
        "d_out": (1, "^d_out of"), "eta": (0.01, "^eta of"), "B_x": (0.5, r"p\[0\]"), "B_y": (0.5, r"g\[2\]"),
        "B_v": (0.5, r"z\[2\]"), "activation": ("sin", "derivative|lemma"), "loss": ("huber", "loss slope"),
        "output": ("linear", "^output of"), "n": (1, r"error \w+\[\d\]"), "L": (1, ""),
    }
    for key, (new, words) in easier.items():
        yield f"posed with another {key}", put(f"problem.{key}", new), f"^{key} = .* is what is proved"
        if words:
            yield f"proof for another {key}", relabelled(**{key: new}), words
        if words.startswith("^"):
            yield f"{key} of the program", put(f"program.{key}", new), f"^{key} of the program"
    yield "certified lowered by 5%", put("certified", lambda x: x * 0.95), "bound in the cell"
    yield "a subtree called a leaf", subtree, "bound in the cell"
    yield "a layer twice", lambda c: c["layers"].append(c["layers"][1]), "one entry a layer"
    cell, loss = "bound in the cell", "loss slope"
    number, whole, layer = "finite numbers?$", "list of whole numbers from 0 to 2$", "has one entry a layer$"
    lost = "^there is a field|equally long$|pair of finite numbers$|^the error .* covers"
    table: list[tuple[str, Any, str]] = [
        (f"{first}.face", 0.75, "box of V1"), (f"{first}.face", 0.3, "error update"), ("splits", [], cell),
        ("program.loss.rho", 0.5, loss), ("program.loss.linear", 1.9, loss), ("splits.0", 7, whole),
        ("program.construction", "paper", "program is of"), ("construction", "paper", "^construction = "),
        ("arithmetic", "float32", r"error \w+\[\d\]"), ("arithmetic", "exact", "arithmetic is"),
        ("format", "icgd 0", "format"), ("weights", "0", "weights|digest"), ("statement", "0", "statement"),
        ("root.0.0", 0.1, "cells cover layer 1"), ("root.1.1", 0.5, "cells cover layer 2"),
        ("program.n", 7, "^n of"), ("multipliers.1", LOST, layer), ("certified", 0.06, "at most eps"),
        ("layers.1", LOST, "one entry"), ("root.1", LOST, layer), (f"{r}.constant", str, number),
        ("errors.r[1]", str, number), ("lemmas.r[1]", {"reach": 9.0, "error": 0.0}, of_r1),
    ]
    joint, divided = "pairs of finite numbers$", "is above what it divides$"
    for pairs, words in (([], joint), ([[math.nan, 0.0]], joint), ([[9.0]], joint), ([[-9.0, 0.0]], divided)):
        table += [(f"joint.{name}", pairs, words) for name in ("signal", "drift")]
    table += [("joint", None, cell), ("joint.signal", [[1.5, -1e3]], cell), ("joint.drift", LOST, "drift")]
    for values, words in (([], number), ([math.nan], number), ([-1e3], cell)):
        table.append(("multipliers.1", dict.fromkeys(("slope", "slope2", "bend2"), values), words))
    for path in ("certified", "errors.z[1]", "errors.r[2]", "errors.update[1]", "lemmas.r[1].error",
                 "lemmas.dr[1].reach", "layers.0.z", "layers.1.g", "layers.0.s_norm", "layers.0.dr_low",
                 "root.0.0", f"{r}.c.0", f"{r}.constant", f"{first}.face", f"{first}.above_s",
                 f"{first}.product.centre"):
        table += [(path, new, number) for new in (math.nan, math.inf, "0.5", None)] + [(path, LOST, lost)]
    for path, new, words in table:
        yield f"{path} = {'(gone)' if new is LOST else new!r}"[:60], put(path, new), words
    # fmt: on
