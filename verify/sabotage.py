"""The verifier tested by sabotage: every damage to a construction or a certificate must be caught, by name.

`python -m verify.sabotage` prints who caught what, beside undamaged controls that must be accepted.
Damage to a construction is held against the certificate of the plan; sampling is shown beside it, for
comparison.  A forged certificate is judged by the checker alone: its forger would ship what it describes.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed
from torch import Tensor

from bounds.domain import face
from bounds.plan import Plan, plan
from bounds.problem import Problem
from bounds.relu_sum import ReluSum
from construct.heads import Aggregate, Read
from construct.hidden import Ridge
from construct.literal import Entries
from construct.prompt import Prompt, box, stack_weights
from construct.relu_icgd import assemble
from construct.stream import Stream
from construct.table import Table
from construct.transformer import Layer, Transformer
from verify.attack import ROUNDS, attack
from verify.certificate import certificate, letters
from verify.prompts import seeded
from verify.proof import mismatch, refusal
from verify.sweep import one_step_errors, sweep

Damage = Callable[[Any], object]
LOST = object()
SAMPLES, HIDDEN_SAMPLES, EFFORT = 2_000, 20_000, 0.2
SPIKE, WIDTH, MANY = 0.123, 1e-9, 2**20
STEEP = [(1.0, WIDTH - SPIKE, 5e8), (1.0, -SPIKE, -1e9), (1.0, -SPIKE - WIDTH, 5e8)]
BASE: dict[str, Any] = {"N": 2, "K": 4, "d": 2, "eps": 0.05}
DEEP: dict[str, Any] = {"N": 3, "K": 2, "d": 2, "eps": 0.2}
# fmt: off
SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "lean": (BASE, "lean"), "paper": (BASE, "paper"), "deep": (DEEP, "lean"), "deep paper": (DEEP, "paper"),
    "many": (BASE | {"n": MANY}, "lean"), "many paper": (BASE | {"n": MANY}, "paper"),
    "linear": (BASE | {"output": "linear"}, "lean"), "linear paper": (BASE | {"output": "linear"}, "paper"),
    "logistic": (BASE | {"loss": "logistic"}, "lean"), "huber": (BASE | {"loss": "huber"}, "lean"),
    "wide": (BASE | {"d": 4, "eps": 0.2}, "lean"), "three": (BASE | {"K": 3}, "lean"),
    "three paper": (BASE | {"K": 3, "activation": "sigmoid", "loss": "logistic"}, "paper"),
}
# fmt: on


@dataclass(frozen=True)
class Mutant:
    """One damage, done in place to a Transformer or a certificate of one of SETTINGS.

    expected: what the words of the catch must match.  planted: for hidden ones, where it is wrong.
    """

    name: str
    what: str
    setting: str
    damage: Damage
    expected: str
    planted: Callable[[Problem], Prompt] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; sampling_caught is None for certificates, wrong_by counts eta*eps."""

    name: str
    caught: bool
    by: str
    evidence: str
    sampling_caught: bool | None = None
    wrong_by: float | None = None


@cache
def made(setting: str) -> Plan:
    """The plan of a setting; a problem as large as 2**20 is one that Problem itself would not accept."""
    given, construction = SETTINGS[setting]
    problem = Problem.parse(given | {"n": min(given.get("n", 8), 10**6)})
    object.__setattr__(problem, "n", given.get("n", 8))
    return plan(problem, construction)


def control(setting: str) -> str | None:
    """Why the true certificate with the true matrices is not accepted, or None."""
    found = json.loads(json.dumps(certificate(true := made(setting))))
    reason = refusal(found, letters(true.problem), true.construction)
    return reason or mismatch(found, assemble(true).literal())


def sampling_sees(mutant: Mutant) -> bool:
    """Whether random prompts (for hidden mutants: many, and the attack) show an error above eta*eps."""
    setting, generator = mutant.setting.replace("many paper", "paper").replace("many", "lean"), seeded(0)
    allowed = made(setting).problem.eta * made(setting).problem.eps
    try:
        transformer = assemble(made(setting))
        mutant.damage(transformer)
        if not mutant.planted:
            return sweep(transformer, SAMPLES, generator).largest > allowed
        found = sweep(transformer, HIDDEN_SAMPLES, generator)
        rounds = tuple(replace(r, iterations=round(r.iterations * EFFORT)) for r in ROUNDS)
        more = attack(made(setting), generator, transformer=transformer, rounds=rounds, seeds=found.worst)
        return max(found.largest, more.largest) > allowed
    except (KeyError, ValueError, RuntimeError):
        return True  # it does not even run


def judged(mutant: Mutant, sampling: bool = True) -> Outcome:
    """Damage, judge, and hold the words of the catch against what they should name."""
    found = json.loads(json.dumps(certificate(true := made(mutant.setting))))
    by, seen, wrong, problem = "checker", None, None, true.problem
    if mutant.what == "certificate":
        mutant.damage(found)
        reason = refusal(found, letters(problem), true.construction)
    else:
        by, transformer = "matrices", assemble(true)
        mutant.damage(transformer)
        reason, seen = mismatch(found, transformer.literal()), sampling_sees(mutant) if sampling else None
        if mutant.planted:
            error = float(one_step_errors(transformer, mutant.planted(problem))[0])
            wrong = error / (problem.eta * problem.eps)
    caught = reason is not None and bool(re.search(mutant.expected, reason))
    evidence = reason if caught else f"{reason}: not {mutant.expected!r}" if reason else "ACCEPTED"
    return Outcome(mutant.name, caught, by if caught else "nobody", evidence or "", seen, wrong)


def run(mutants: Iterable[Mutant], sampling: bool = True) -> list[Outcome]:
    """What became of each; without `sampling` that column stays empty."""
    return [judged(mutant, sampling) for mutant in mutants]


def _fit(index: int, of: Callable[[ReluSum], ReluSum], target: str) -> Damage:
    """Damage to the sum for `target` in layer `index`, in both readings."""

    def damage(layer: Layer) -> None:
        parts = (part for part in [*layer.ridges, *layer.heads] if isinstance(part, Read | Ridge))
        part = next(part for part in parts if part.target == target)
        part.relus = of(part.relus)
        part.table = Table(part.relus)

    return _on(index, damage)


def _on(index: int, damage: Damage) -> Damage:
    return lambda transformer: damage(transformer.layer(index))


def _head(index: int, number: int = 0, **values: Any) -> Damage:
    return _on(index, lambda layer: vars(layer.heads[number]).update(values))


def _updates(by: Callable[[Problem], float]) -> Damage:
    def damage(transformer: Transformer) -> None:
        for layer in range(len(transformer.layers)):
            for part in transformer.layer(layer).heads:
                if isinstance(part, Aggregate):
                    part.scale *= by(transformer.problem)

    return damage


class Corner(Ridge):
    """A hidden unit that wakes at one corner of W alone (N = 2), and then moves the first weight away."""

    def __init__(self, problem: Problem) -> None:
        super().__init__({"V1": 1.0}, ReluSum([1.0], [-1.0], [1.0]), "V1")
        self.w = corner(problem)[0]
        self.reads_w, self.push = self.w.sign() / self.w.abs(), -float(self.w[0]) / 2

    def increment(self, values: Mapping[str, Tensor]) -> Tensor:
        w = stack_weights([values["V1"], values["V2"]])
        moved = torch.zeros_like(values["V1"])
        moved[..., 0, 0] = self.push * (w @ self.reads_w - (len(self.w) - 1)).clamp(min=0)
        return moved

    def literal(self, stream: Stream, first: int) -> tuple[Entries, Entries, dict[int, float]]:
        places = range(stream.weights.start, stream.weights.stop)
        reads = [(first, place, by) for place, by in zip(places, self.reads_w.tolist(), strict=True)]
        reads.append((first, stream["one"].start, 1.0 - len(self.w)))
        return np.array(reads), np.array([(places[0], first, self.push)]), {}


def corner(problem: Problem) -> Tensor:
    """The weights of one corner of W, drawn with a seed of its own."""
    edges = box(problem, torch.zeros(1, dtype=torch.float64))
    return edges[None] * (2.0 * torch.randint(2, (1, len(edges)), generator=seeded(77)) - 1)


def _prompt(problem: Problem, x: float, w: Tensor) -> Prompt:
    """n times the example x = (x, 0, ...), y = (B_y, 0, ...)."""
    xs, ys = (torch.zeros(1, problem.n, size, dtype=torch.float64) for size in (problem.d, problem.d_out))
    xs[..., 0], ys[..., 0] = x, problem.B_y
    return Prompt(xs, ys, xs[:, 0], w)


def _at_spike(problem: Problem) -> Prompt:
    w = torch.full((1, problem.D_w), face(problem, 2) * 0.9, dtype=torch.float64)
    w[:, : problem.K * problem.d] = 0.0
    w[:, : problem.K * problem.d : problem.d] = SPIKE
    return _prompt(problem, 1.0, w)


def constructions() -> Iterator[Mutant]:
    """Damaged transformers: what is dropped, swapped, flipped, or off by a little; and the hidden ones."""
    # fmt: off
    sums: dict[str, Callable[[ReluSum], ReluSum]] = {
        "flipped sign": lambda r: ReluSum(r.a, r.b, -r.c, r.constant),
        "weights off by 1e-3": lambda r: ReluSum(r.a, r.b, r.c + 1e-3, r.constant),
        "weights off by an ulp": lambda r: ReluSum(r.a, r.b, np.nextafter(r.c, 9), r.constant),
        "kinks off by 1e-12": lambda r: ReluSum(r.a, r.b + 1e-12, r.c, r.constant),
        "unit dropped": lambda r: ReluSum(r.a[1:], r.b[1:], r.c[1:], r.constant),
    }
    table: list[tuple[str, str, Damage, str]] = []
    for to, last, where in (("deep", 6, r"0, W\d"), ("deep paper", 8, "0, head")):
        table += [(f"{name} ({to})", to, _fit(0, of, "p1"), where) for name, of in sums.items()]
        for name, damage in {
            "n, not n+1": _updates(lambda p: p.n / (p.n + 1)), "twice the step": _updates(lambda p: 2.0),
            "eta off by 1e-12": _updates(lambda p: 1 + 1e-12), "ascent": _updates(lambda p: -1.0),
            "query not masked": _head(last, offset=0.0),
            "offset below the range": _head(last, offset=0.1),
            "p of another layer": _head(last, 2, value="p1"),
            "dropped head": _on(last, lambda x: x.attention.pop(1)),
        }.items():
            table.append((f"{name} ({to})", to, damage, f"{last}, head"))
    table += [
        ("slot never cleared", "deep", _on(6, lambda x: x.hidden.pop(-1)), "6, W1 rows"),
        ("dropped ridge", "deep", _on(3, lambda x: x.hidden.pop(0)), "3, W1 rows"),
        ("off-by-one layer: V2", "deep", _head(2, matrix="V2"), "2, head 0 K"),
        ("off-by-one layer: s3", "deep", _head(5, query="s3"), "5, head 0 Q"),
        ("row, not column", "deep", _head(5, columns=False), r"5, head \d K"),
        ("stale w: updated early", "deep", lambda t: t.layers.insert(5, t.layers.pop(6)), "5, head"),
        ("a layer left out", "deep", lambda t: t.layers.pop(4), "4, "),
        ("no mask", "deep paper", _on(5, lambda x: x.__setattr__("diagonal", False)), "5, diagonal"),
        ("mask too many", "deep paper", _on(0, lambda x: x.__setattr__("diagonal", True)), "0, diagonal"),
        ("gate on another slot", "deep paper", _head(6, value="dr1"), "6, head 0 V"),
    ]
    only = _updates(lambda p: 1.0 if p.n < MANY else 0.5)
    at_corner, a, b, c = (lambda p: _prompt(p, 0.0, corner(p))), *np.transpose(STEEP)
    def spike(r: ReluSum) -> ReluSum:
        return ReluSum(np.append(r.a, a), np.append(r.b, b), np.append(r.c, c), r.constant)
    wake = _on(4, lambda x: x.hidden.append(Corner(made("wide").problem)))
    hidden = [
        ("hidden: a spike of 1e-9 in r", "lean", _fit(0, spike, "p1"), "0, W1", _at_spike),
        ("hidden: a spike of 1e-9 in r'", "lean", _fit(0, spike, "dr1"), "0, W1", _at_spike),
        ("hidden: a spike of 1e-9 in heads", "paper", _fit(0, spike, "p1"), "0, head", _at_spike),
        ("hidden: one corner of W", "wide", wake, "4, W1 rows", at_corner),
        ("hidden: only at n = 2^20", "many", only, "4, head 0 V", _at_spike),
        ("hidden: only at n = 2^20, paper", "many paper", only, "6, head 0 V", _at_spike),
    ]
    # fmt: on
    for name, to, damage, words, at in [*((*row, None) for row in table), *hidden]:
        yield Mutant(name, "construction", to, damage, f"^layer {words}", at)


def put(path: str, value: Any) -> Damage:
    """The value at a dotted path replaced, by a function of the old one if it is one, or LOST."""
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]

    def damage(found: Any) -> None:
        part = reduce(lambda inner, key: inner[key], keys, found)
        if value is LOST:
            part.pop(last)
        else:
            part[last] = value(part[last]) if callable(value) else value

    return damage


def _more(units: Sequence[tuple[float, float, float]]) -> Callable[[Any], Any]:
    return lambda relus: relus | {x: relus[x] + [unit[i] for unit in units] for i, x in enumerate("abc")}


def _relabelled(**easier: Any) -> Damage:
    """The true certificate of an easier problem, with the letters of the posed one written over its own."""

    def damage(found: Any) -> None:
        own = certificate(plan(Problem.parse((posed := found["problem"]) | easier), found["construction"]))
        found |= json.loads(json.dumps(own)) | {"problem": posed}
        found["program"]["n"] = posed["n"]

    return damage


def _subtree(found: Any) -> None:
    """The first half of the root becomes a leaf."""
    splits, open_, end = found["splits"], 1, 1
    while open_:
        open_, end = open_ + (1 if splits[end] else -1), end + 1
    splits[1:end] = [0]


def certificates() -> Iterator[Mutant]:
    """Forged certificates: whatever a forger might lower, swap, leave out or plant."""
    for name, damage, expected, *setting in _forgeries():
        yield Mutant(name, "certificate", "".join(setting) or "lean", damage, expected)


def _forgeries() -> Iterator[tuple[str, Damage, str] | tuple[str, Damage, str, str]]:
    # fmt: off
    first, r, of_r1 = "program.layers.0", "program.layers.0.r", r"lemma r\[1\] holds"
    half, less = (lambda x: x / 2), (lambda x: x * 0.97)
    ranges = {"p_in": "p", "z": "z", "r": "derivative 0", "dr_high": "derivative 1", "g": "g", "s": "s",
              "curvature": "derivative 2", "jerk": "derivative 3", "s_norm": "the norm of s"}
    for j in (1, 2):
        for kind in ("z", "g", "r", "dr", "product", "update"):
            yield f"error {kind}[{j}] halved", put(f"errors.{kind}[{j}]", half), rf"error {kind}\[{j}\]"
            yield f"error {kind}[{j}] negative", put(f"errors.{kind}[{j}]", lambda x: -x), rf"{kind}\[{j}\]"
        for kind in ("r", "dr", "product"):
            name, place, words = f"lemma {kind}[{j}]", f"lemmas.{kind}[{j}]", rf"lemma {kind}\[{j}\]"
            yield f"{name} loosened", put(f"{place}.error", half), f"{words} holds"
            yield f"{name} shortened", put(f"{place}.reach", less), f"{words} reaches"
        for name, words in ranges.items():
            yield f"range {name} of layer {j} lowered", put(f"layers.{j - 1}.{name}", less), f"^{words}"
        yield f"dr_low of layer {j} raised", put(f"layers.{j - 1}.dr_low", lambda x: x + 0.05), "derivative 1"
    yield "error u[2] halved", put("errors.u[2]", half), r"error u\[2\]", "logistic"
    yield "lemma u[2] loosened", put("lemmas.u[2].error", half), r"lemma u\[2\] holds", "logistic"
    yield "steepness lowered", put("steepness", half), "steepness", "logistic"
    gift = {"u[2]": -0.03}
    yield "a negative error u[2]", lambda c: put("certified", half)(c) or c["errors"].update(gift), r"u\[2\]"
    yield "a kink moved", put(f"{r}.b.3", lambda x: x + 0.02), of_r1
    yield "a unit dropped", put(r, lambda old: old | {x: old[x][1:] for x in "abc"}), of_r1
    for name, key in {"r": "r", "dr": "dr", "product": "product.square"}.items():
        yield f"a spike in {key}", put(f"{first}.{key}", _more(STEEP)), rf"lemma {name}\[1\] holds"
    yield "a spike in the loss", put("program.loss.relus", _more(STEEP)), "loss slope", "huber"
    pair = put("program.layers.1.r", _more([(1.0, 5.0, 1e17), (1.0, 5.0, -1e17)]))
    yield "a pair of units that cancels on paper", pair, r"\br\[2\]", "linear paper"
    pair = put("program.loss.relus", _more([(1.0, 0.5, 1e17), (1.0, 0.5, -1e17)]))
    yield "a pair of units that cancels in the loss", pair, r"loss slope|u\[2\]", "huber"
    for key in "zgs":
        for how, change in {"below its range": less, "so large that it rounds": 1e17}.items():
            yield f"offset of {key} {how}", put(f"{first}.above_{key}", change), rf"offset of {key}\[1\]"
    for key in ("a", "b", "centre"):
        yield f"product's {key} altered", put(f"{first}.product.{key}", lambda x: x * 1.2), r"product\[1\]"
    zero = {"a": [1.0], "b": [-100.0], "c": [1.0], "constant": 0.0}  # as far as the lemma reaches
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
            yield f"proof for another {key}", _relabelled(**{key: new}), words
        if words.startswith("^"):
            yield f"{key} of the program", put(f"program.{key}", new), f"^{key} of the program"
    yield "certified lowered by 5%", put("certified", lambda x: x * 0.95), "bound in the cell"
    yield "a subtree called a leaf", _subtree, "bound in the cell"
    yield "a layer twice", lambda c: c["layers"].append(c["layers"][1]), "one entry a layer"
    cell, loss = "bound in the cell", "loss slope"
    readable, unfit = "can be read|number", "can be read|number|error|lemma|range|box|offset|cell"
    table: list[tuple[str, Any, str]] = [
        (f"{first}.face", 0.75, "box of V1"), (f"{first}.face", 0.3, "error update"), ("splits", [], cell),
        ("program.loss.rho", 0.5, loss), ("program.loss.linear", 1.9, loss), ("splits.0", 7, readable),
        ("program.construction", "paper", "program is of"), ("construction", "paper", "^construction = "),
        ("arithmetic", "float32", r"error \w+\[\d\]"), ("arithmetic", "exact", "arithmetic is"),
        ("format", "icgd 0", "format"), ("weights", "0", "weights|digest"), ("statement", "0", "statement"),
        ("root.0.0", 0.1, "cells cover layer 1"), ("root.1.1", 0.5, "cells cover layer 2"),
        ("program.n", 7, "^n of"), ("multipliers.1", LOST, readable), ("certified", 0.06, "at most eps"),
        ("layers.1", LOST, "one entry"), ("root.1", LOST, readable), (f"{r}.constant", str, readable),
        ("errors.r[1]", str, readable), ("lemmas.r[1]", {"reach": 9.0, "error": 0.0}, of_r1),
    ]
    for values, words in (([], readable), ([math.nan], unfit), ([-1e3], cell)):
        table.append(("multipliers.1", dict.fromkeys(("slope", "slope2", "bend2"), values), words))
    for path in ("certified", "errors.z[1]", "errors.r[2]", "errors.update[1]", "lemmas.r[1].error",
                 "lemmas.dr[1].reach", "layers.0.z", "layers.1.g", "layers.0.s_norm", "layers.0.dr_low",
                 "root.0.0", f"{r}.c.0", f"{r}.constant", f"{first}.face", f"{first}.above_s",
                 f"{first}.product.centre"):
        table += [(path, new, unfit) for new in (math.nan, math.inf, "0.5", None, LOST)]
    for path, new, words in table:
        yield f"{path} = {'(gone)' if new is LOST else new!r}"[:60], put(path, new), words
    # fmt: on


def main() -> int:
    """Print every mutant with its catch; 1 if one survives or a control is refused."""
    console, controls = Console(width=150), {setting: control(setting) for setting in SETTINGS}
    for setting, reason in controls.items():
        console.print(f"control {setting}: {'REFUSED: ' + reason if reason else 'accepted'}", markup=False)
    outcomes = run([*constructions(), *certificates()])
    table = Printed("mutant", "caught by", "sampling sees it", "evidence")
    for one in outcomes:
        seen = "" if one.sampling_caught is None else "yes" if one.sampling_caught else "no"
        seen += f" (x {one.wrong_by:.3g} of eta*eps)" if one.wrong_by is not None else ""
        cells = (one.name, one.by, seen, one.evidence[:160])
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    console.print(table)
    for one in (one for one in outcomes if not one.caught):
        console.print(f"survived: {one.name}: {one.evidence[:300]}", markup=False)
    caught = sum(one.caught for one in outcomes)
    rate = f"{caught} of {len(outcomes)} mutants caught ({caught / len(outcomes):.1%})"
    console.print(rate, f"and {list(controls.values()).count(None)} of {len(SETTINGS)} controls accepted")
    return int(any(controls.values()) or caught < len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
