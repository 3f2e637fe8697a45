"""Mutants of the block with softmax attention and of its certificates, for `icgd.verify.sabotage.run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.literal import Head, LiteralLayer
from icgd.construct.block.table import LookupTable
from icgd.construct.prompt import Prompt
from icgd.construct.softmax_icgd import Products, SoftmaxTransformer
from icgd.verify.certificate.proof import certified
from icgd.verify.checker.relu import STATEMENT
from icgd.verify.sabotage.forgeries import Forgery, lowered, outermost_face, relabelled, subtree
from icgd.verify.sabotage.mutants import LOST, SPIKE, SUMS, Damage, Mutant, more, put, spike, spiked

_SMALL: dict[str, Any] = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.2}
SOFTMAX_SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "softmax": (_SMALL, "softmax"),
    "softmax logistic": (_SMALL | {"loss": "logistic", "activation": "sigmoid"}, "softmax"),
    "softmax huber": (_SMALL | {"loss": "huber", "d_out": 1}, "softmax"),
    "softmax linear": (_SMALL | {"output": "linear"}, "softmax"),
    "softmax deep": (_SMALL | {"N": 3}, "softmax"),
}
_LEAST = ReluSum([1.0], [0.0], [1e-9])
LAST = 9  # the last layer of the block with N = 2, from 0: z r z r u s g s q and the mean


def _on(index: int, damage: Damage) -> Damage:
    return lambda transformer: damage(transformer.blocks[index])


def _part(index: int, number: int = 0, **values: Any) -> Damage:
    return _on(index, lambda layer: vars(layer.listed[number]).update(values))


def _sum(index: int, number: int, of: Callable[[ReluSum], ReluSum]) -> Damage:
    """Damage to a sum of ReLUs, in both readings."""

    def damage(layer: Any) -> None:
        part = layer.listed[number]
        part.relus = of(part.relus)
        part.table = LookupTable(part.relus)

    return _on(index, damage)


def _scaled(by: Callable[[Problem], float]) -> Damage:
    def damage(transformer: SoftmaxTransformer) -> None:
        transformer.head.scale *= by(transformer.problem)

    return damage


def _literal(of: Callable[[LiteralLayer, int], LiteralLayer]) -> Damage:
    """Damage to the matrices of the last layer that the structured reading does not have."""

    def damage(layer: Any) -> None:
        whole = type(layer).literal
        layer.literal = lambda stream: of(whole(layer, stream), stream.D)

    return _on(LAST, damage)


def _attentive(name: str) -> Callable[[LiteralLayer, int], LiteralLayer]:
    def of(layer: LiteralLayer, D: int) -> LiteralLayer:
        (head,) = layer.heads
        return replace(layer, heads=(replace(head, **{name: Head.of(D, [(0, D - 1, 1e-9)], [], []).Q}),))

    return of


def _narrow(factor: float) -> Damage:
    def damage(layer: Any) -> None:
        for part in layer.listed:
            part.a, part.b = part.a * factor, part.b / factor

    return _on(8, damage)


def _at_spike(problem: Problem) -> Prompt:
    """A prompt at which one square of the first product is evaluated exactly at the spike."""
    x, y = (torch.zeros(1, problem.n, size, dtype=torch.float64) for size in (problem.d, problem.d_out))
    x[..., 0], y[..., 0] = 1.0, problem.B_y
    w = torch.full((1, problem.D_w), problem.half_width(2) * 0.9, dtype=torch.float64)
    w[:, : problem.K * problem.d] = 0.0
    w[:, : problem.K * problem.d : problem.d] = SPIKE
    return Prompt(x, y, x[:, 0], w)


def _spike(transformer: SoftmaxTransformer) -> None:
    part = transformer.blocks[0].listed[0]
    assert isinstance(part, Products)
    part.relus = spiked(part.a * SPIKE + part.b)(part.relus)
    part.table = LookupTable(part.relus)


def softmax_damage() -> Iterator[Mutant]:
    """Damaged blocks: parts dropped, swapped, flipped, opened or slightly wrong; and a hidden spike."""
    # fmt: off
    table: list[tuple[str, Damage, str]] = []
    for index, number, to in ((0, 0, "products"), (1, 1, "p1")):
        table += [(f"{name} ({to})", _sum(index, number, of), rf"{index}, W\d") for name, of in SUMS.items()]
    table += [
        ("n, not n+1", _scaled(lambda p: p.n / (p.n + 1)), f"{LAST}, head 0 V"),
        ("half the step: 1/(2n)", _scaled(lambda p: 0.5), f"{LAST}, head 0 V"),
        ("eta off by 1e-12", _scaled(lambda p: 1 + 1e-12), f"{LAST}, head 0 V"),
        ("ascent", _scaled(lambda p: -1.0), f"{LAST}, head 0 V"),
        ("query not masked", _part(8, offset=None), "8, W1"),
        ("gate offset too small", _part(8, 1, offset=0.1), "8, W1"),
        ("gate offset too large", _part(8, 1, offset=1e12), "8, W1"),
        ("a of a product is 1", _part(2, a=1.0), "2, W1"), ("b of a product is 1", _part(6, b=1.0), "6, W1"),
        ("products' factors unbalanced", _narrow(1.5), "8, W1"),
        ("p of another layer", _part(8, 1, left="z1"), "8, W1"),
        ("s of another layer", _part(8, 0, right="g1"), "8, W1"),
        ("V of another layer", _part(6, left="V1"), "6, W1"),
        ("row, not column", _part(6, pattern="rows"), "6, W"),
        ("loss slope 2 y", _part(4, form={"p2": 1.0, "y": -2.0}), "4, W1"),
        ("a product left out", _on(8, lambda x: x.parts.pop(0)), "8, W1 rows"),
        ("the linear part left out", _on(5, lambda x: x.parts.pop(0)), "5, W1 rows"),
        ("slot never cleared", _on(LAST, lambda x: x.parts.pop(-1)), f"{LAST}, W1 rows"),
        ("projection left out", _on(LAST, lambda x: x.parts.pop(0)), f"{LAST}, W1"),
        ("V1 never moves", _on(LAST, lambda x: setattr(x, "moves", x.moves[1:])), f"{LAST}, head 0 V"),
        ("the mean taken early", lambda t: t.layers.insert(8, t.layers.pop(9)), "8, "),
        ("a layer left out", lambda t: t.layers.pop(5), "5, "),
        ("a layer too many", lambda t: t.layers.append(type(t.blocks[0])([])), "10, layer"),
        ("an extra unit", _on(3, lambda x: x.parts.append(Ridge({"z2": 1.0}, _LEAST, "p2"))), "3, W1 rows"),
        ("queries that are not 0", _literal(_attentive("Q")), f"{LAST}, head 0 Q"),
        ("keys that are not 0", _literal(_attentive("K")), f"{LAST}, head 0 K"),
        ("a head twice", _literal(lambda x, D: replace(x, heads=x.heads * 2)), f"{LAST}, heads"),
        ("a token sees itself alone", _literal(lambda x, D: replace(x, diagonal=True)), f"{LAST}, diagonal"),
    ]
    # fmt: on
    for name, damage, words in table:
        yield Mutant(f"softmax: {name}", "construction", "softmax", damage, f"^layer {words}")
    name = "softmax: hidden: a spike of 1e-9 in a product"
    yield Mutant(name, "construction", "softmax", _spike, "^layer 0, W1", _at_spike)


def softmax_forgeries() -> Iterator[Mutant]:
    """Forged certificates: as for Theorem 1, and for the parts that are new in this block."""
    for name, damage, expected, *setting in _forgeries():
        to = " ".join(["softmax", *setting])
        yield Mutant(f"{to}: {name}", "certificate", to, damage, expected)


def _forgeries() -> Iterator[Forgery]:
    # fmt: off
    first, half = "program.layers.0", lambda x: x / 2
    yield from lowered(("r", "dr", "product", "z", "g", "update"), "quartered", lambda x: x / 4)
    yield "error u[2] quartered", put("errors.u[2]", lambda x: x / 4), r"error u\[2\]", "logistic"
    yield "error u[2] gone", put("errors.u[2]", LOST), r"error u\[2\]", "huber"
    yield "lemma u[2] loosened", put("lemmas.u[2].error", half), r"lemma u\[2\] holds", "logistic"
    yield "steepness lowered", put("steepness", half), "steepness", "logistic"
    for kind in ("z", "g", "update"):
        place, words = f"{first}.{kind}", rf"{kind}\[1\]"
        for key in "ab":
            yield f"{key} of {kind} altered", put(f"{place}.{key}", lambda x: x * 1.2), words
            yield f"{key} of {kind} off by 1e-2", put(f"{place}.{key}", lambda x: x * 0.99), words
        yield f"a, b < 0 in {kind}", put(place, lambda p: p | {"a": -p["a"], "b": -p["b"]}), words
        yield f"a spike in {kind}", put(f"{place}.square", more(spike(SPIKE))), rf"lemma {kind}\[1\] holds"
        pair = [(1.0, 3.0, 1e14), (1.0, 3.0, -1e14)]
        cancelling = put(f"{place}.square", more(pair))
        yield f"a pair of units in {kind} that cancels", cancelling, rf"error {kind}\[1\]"
        yield f"no square in {kind}", put(f"{place}.square", None), words
        yield f"no {kind}", put(place, None), rf"^{kind}\[1\] is computed"
    for j in (1, 2):
        outermost = put(f"program.layers.{j - 1}.face", outermost_face(2))
        yield f"no room for rounding at the faces of V{j}", outermost, rf"box of V{j} leaves room"
    for how, offset in {"below the range": lambda x: x / 1.02, "at 0": 0.0, "below 0": -9.0}.items():
        yield f"gate {how}", put(f"{first}.update.offset", offset), r"gate of update\[1\] shuts"
    yield "gate so far that it rounds", put(f"{first}.update.offset", 1e15), r"error update\[1\]"
    yield "no gate", put(f"{first}.update.offset", LOST), "^there is a field 'offset'"
    def steeper(s: Any) -> Any:
        return s | {key: [x * by for x in s[key]] for key, by in zip("abc", (2, 2, 0.5), strict=True)}
    yield "units steeper than the gate", put(f"{first}.update.square", steeper), "as steep as its units"
    for key, change in {"r": None, "dr": None, "product": None}.items():
        yield f"no {key} in the program", put(f"{first}.{key}", change), rf"\b{key}\[1\]"
    yield "the factor 2 forgotten: eta", put("program.eta", half), "^eta of the program"
    yield "the factor 2 forgotten: certified", put("certified", half), "bound in the cell"
    yield "the factor 2 forgotten: loss", put("program.loss.linear", 1), "loss slope"
    yield "n, not n + 1: n of the program", put("program.n", 4), "^n of the program"
    yield "loss slope read off z", put("program.loss.from_z", True), "from_z|loss slope", "huber"
    yield "steeper loss", put("program.loss.relus", more(spike(SPIKE))), "loss slope", "huber"
    easier: dict[str, tuple[Any, str]] = {
        "eps": (0.4, "at most eps"), "N": (1, "one entry a layer"), "K": (1, "^K of"), "d": (1, "^d of"),
        "eta": (0.01, "^eta of"), "B_x": (0.5, r"p\[0\]"), "B_y": (0.5, r"g\[2\]"), "B_v": (0.5, r"z\[2\]"),
        "activation": ("sin", "derivative|lemma"), "loss": ("huber", "loss slope"), "L": (1, ""),
        "output": ("linear", "^output of"), "n": (1, "digest"), "d_out": (1, "^d_out of"),
    }
    for key, (new, words) in easier.items():
        yield f"posed with another {key}", put(f"problem.{key}", new), f"^{key} = .* is what is proved"
        if words:
            yield f"proof for another {key}", relabelled(**{key: new}), words
    yield "certified lowered by 5%", put("certified", lambda x: x * 0.95), "bound in the cell"
    yield "a subtree called a leaf", subtree, "bound in the cell"
    yield "the proof of Theorem 1 renamed", _renamed, "^there is no field .above_z. in program"
    number, whole = "finite numbers?$", "list of whole numbers from 0 to 2$"
    table: list[tuple[str, Any, str]] = [
        (f"{first}.face", 0.75, "box of V1"), (f"{first}.face", 0.3, "error update"), ("splits", [], "cell"),
        ("construction", "lean", "^construction = "), ("program.construction", "lean", "program is of"),
        ("statement", STATEMENT, "statement"), ("arithmetic", "float32", r"error \w+\[\d\]"),
        ("weights", "0", "digest"), ("certified", 0.3, "at most eps"), ("layers.1", LOST, "one entry"),
        ("root.1.1", 0.1, "cover layer 2"), ("multipliers.0", LOST, "one entry"), ("splits.0", 9, whole),
        (f"{first}.z.a", str, number), (f"{first}.update.offset", float("nan"), number),
        (f"{first}.z.square.c.0", float("inf"), number), ("errors.z[1]", None, number),
    ]
    for path, new, words in table:
        yield f"{path} = {'(gone)' if new is LOST else new!r}"[:60], put(path, new), words
    # fmt: on


def _renamed(found: Any) -> None:
    own = certified(Problem.parse(found["problem"]), "lean")
    found |= own | {name: found[name] for name in ("problem", "construction", "statement")}
    found["program"]["construction"] = "softmax"
