"""Tests the verifier by sabotage: it must catch every damage to a construction or certificate, by name.

`python -m icgd.verify.sabotage.run` prints what caught each mutant; undamaged controls, which must be
accepted; and how near the steps of weights come to the least that the checker accepts.  A damaged
construction is compared with the certificate of the plan; whether sampling would catch it is shown for
comparison.  A forged certificate is judged by the checker alone, as a forger would also supply the matrices
that it describes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed
from torch import Tensor

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import SoftmaxPlan
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.heads import Aggregate, Read
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.literal import Entries
from icgd.construct.block.stream import Stream
from icgd.construct.block.table import LookupTable
from icgd.construct.block.transformer import Layer, Transformer
from icgd.construct.prompt import Prompt, box, stack_weights
from icgd.verify.certificate.constructions import CONSTRUCTIONS, Certifiable
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.proof import mismatch, refusal
from icgd.verify.sabotage.forgeries import relu_forgeries
from icgd.verify.sabotage.least_claims import measured_claims
from icgd.verify.sabotage.mutants import SPIKE, SUMS, Catch, Damage, Mutant, spiked
from icgd.verify.sabotage.softmax import SOFTMAX_SETTINGS, softmax_damage, softmax_forgeries
from icgd.verify.search.attack import ROUNDS, attack
from icgd.verify.search.prompts import seeded
from icgd.verify.search.random_moves import search
from icgd.verify.search.sweep import one_step_errors, sweep

SAMPLES, HIDDEN_SAMPLES, EFFORT = 2_000, 20_000, 0.2
MANY = 2**20
CLAIMS = 60
"""Certificates that `main` lowers to what the checker asks for, and measures."""
BASE: dict[str, Any] = {"N": 2, "K": 4, "d": 2, "eps": 0.05}
DEEP: dict[str, Any] = {"N": 3, "K": 2, "d": 2, "eps": 0.2}
TINY: dict[str, Any] = {"N": 2, "activation": "identity", "eta": 1e6, "eps": 0.1}
# fmt: off
SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "lean": (BASE, "lean"), "paper": (BASE, "paper"), "deep": (DEEP, "lean"), "deep paper": (DEEP, "paper"),
    "many": (BASE | {"n": MANY}, "lean"), "many paper": (BASE | {"n": MANY}, "paper"),
    "linear": (BASE | {"output": "linear"}, "lean"), "linear paper": (BASE | {"output": "linear"}, "paper"),
    "logistic": (BASE | {"loss": "logistic"}, "lean"), "huber": (BASE | {"loss": "huber"}, "lean"),
    **SOFTMAX_SETTINGS, "tiny": (TINY | {"K": 1, "d": 1, "n": 1, "B_v": 1e-12, "B_y": 1e-12}, "lean"),
    "tiny wide": (TINY | {"K": 3, "d": 2, "n": 8, "B_v": 1e-9, "B_y": 1e-9}, "lean"),
    "wide": (BASE | {"d": 4, "eps": 0.2}, "lean"), "three": (BASE | {"K": 3}, "lean"),
    "three paper": (BASE | {"K": 3, "activation": "sigmoid", "loss": "logistic"}, "paper"),
}
# fmt: on


@cache
def plan_of(setting: str) -> Plan | SoftmaxPlan:
    """The plan of a setting; bypasses the limit of Problem on n, which is below MANY."""
    given, construction = SETTINGS[setting]
    problem = Problem.parse(given | {"n": min(given.get("n", 8), 10**6)})
    object.__setattr__(problem, "n", given.get("n", 8))
    return CONSTRUCTIONS[construction].plan(problem)


def true_certificate(setting: str) -> Any:
    """The certificate of a setting, as read from a file."""
    return as_read(_entry(setting).issue(plan_of(setting)))


def undamaged(setting: str) -> Any:
    """The transformer of a setting."""
    return _entry(setting).assemble(plan_of(setting))


def refused(setting: str, found: Any) -> str | None:
    """Why a certificate does not prove its bound for the problem of a setting, or None."""
    return refusal(found, posed_letters(_entry(setting).posed(plan_of(setting))), SETTINGS[setting][1])


def _entry(setting: str) -> Certifiable:
    return CONSTRUCTIONS[SETTINGS[setting][1]]


def control(setting: str) -> str | None:
    """Why the true certificate with the true matrices is not accepted, or None."""
    found = true_certificate(setting)
    return refused(setting, found) or mismatch(found, undamaged(setting).literal())


def sampling_sees(mutant: Mutant) -> bool:
    """Whether random prompts (for hidden damage: more, and the attack) show an error above eta*eps."""
    setting, generator = mutant.setting.replace("many paper", "paper").replace("many", "lean"), seeded(0)
    true = plan_of(setting)
    allowed = true.problem.eta * true.problem.eps
    try:
        mutant.damage(transformer := undamaged(setting))
        if not mutant.planted:
            return sweep(transformer, SAMPLES, generator).largest > allowed
        if isinstance(true, SoftmaxPlan):
            return search(transformer, HIDDEN_SAMPLES, generator).searched > true.problem.eps
        found = sweep(transformer, HIDDEN_SAMPLES, generator)
        rounds = tuple(replace(r, iterations=round(r.iterations * EFFORT)) for r in ROUNDS)
        more = attack(true, generator, transformer=transformer, rounds=rounds, seeds=found.worst)
        return max(found.largest, more.largest) > allowed
    except (KeyError, ValueError, RuntimeError):
        return True  # the damaged transformer does not run at all


def judged(mutant: Mutant, sampling: bool = True) -> Catch:
    """Damage, judge, and compare the refusal with what it should name."""
    found, problem = true_certificate(mutant.setting), plan_of(mutant.setting).problem
    by, seen, wrong = "checker", None, None
    if mutant.what == "certificate":
        mutant.damage(found)
        reason = refused(mutant.setting, found)
    else:
        by, transformer = "matrices", undamaged(mutant.setting)
        mutant.damage(transformer)
        reason, seen = mismatch(found, transformer.literal()), sampling_sees(mutant) if sampling else None
        if mutant.planted:
            error = float(one_step_errors(transformer, mutant.planted(problem))[0])
            wrong = error / (problem.eta * problem.eps)
    caught = reason is not None and bool(re.search(mutant.expected, reason))
    evidence = reason if caught else f"{reason}: not {mutant.expected!r}" if reason else "ACCEPTED"
    return Catch(mutant.name, caught, by if caught else "nobody", evidence or "", seen, wrong)


def judge_all(mutants: Iterable[Mutant], sampling: bool = True) -> list[Catch]:
    """The catch of each mutant; without `sampling` its column stays empty."""
    return [judged(mutant, sampling) for mutant in mutants]


def _fit(index: int, of: Callable[[ReluSum], ReluSum], target: str) -> Damage:
    """Damage to the sum for `target` in layer `index`, in both readings."""

    def damage(layer: Layer) -> None:
        parts = (part for part in [*layer.ridges, *layer.heads] if isinstance(part, Read | Ridge))
        part = next(part for part in parts if part.target == target)
        part.relus = of(part.relus)
        part.table = LookupTable(part.relus)

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
    """A hidden unit that is active only near one corner of W (N = 2), where it changes the first weight."""

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
    """The weights of one random corner of W, with a fixed seed."""
    edges = box(problem, torch.zeros(1, dtype=torch.float64))
    return edges[None] * (2.0 * torch.randint(2, (1, len(edges)), generator=seeded(77)) - 1)


def _prompt(problem: Problem, x: float, w: Tensor) -> Prompt:
    """A prompt of n copies of the example x = (x, 0, ...), y = (B_y, 0, ...)."""
    xs, ys = (torch.zeros(1, problem.n, size, dtype=torch.float64) for size in (problem.d, problem.d_out))
    xs[..., 0], ys[..., 0] = x, problem.B_y
    return Prompt(xs, ys, xs[:, 0], w)


def _at_spike(problem: Problem) -> Prompt:
    w = torch.full((1, problem.D_w), face(problem, 2) * 0.9, dtype=torch.float64)
    w[:, : problem.K * problem.d] = 0.0
    w[:, : problem.K * problem.d : problem.d] = SPIKE
    return _prompt(problem, 1.0, w)


def certificates() -> Iterator[Mutant]:
    """Forged certificates of all constructions."""
    yield from relu_forgeries()
    yield from softmax_forgeries()


def constructions() -> Iterator[Mutant]:
    """Damaged transformers: parts dropped, swapped, flipped or slightly wrong; and hidden damage."""
    yield from softmax_damage()
    # fmt: off
    table: list[tuple[str, str, Damage, str]] = []
    for to, last, where in (("deep", 6, r"0, W\d"), ("deep paper", 8, "0, head")):
        table += [(f"{name} ({to})", to, _fit(0, of, "p1"), where) for name, of in SUMS.items()]
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
        ("extra mask", "deep paper", _on(0, lambda x: x.__setattr__("diagonal", True)), "0, diagonal"),
        ("gate on another slot", "deep paper", _head(6, value="dr1"), "6, head 0 V"),
    ]
    only = _updates(lambda p: 1.0 if p.n < MANY else 0.5)
    at_corner, spike = (lambda p: _prompt(p, 0.0, corner(p))), spiked(SPIKE)
    wake = _on(4, lambda x: x.hidden.append(Corner(plan_of("wide").problem)))
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


def main() -> int:
    """Print every mutant with its catch; returns 1 if a mutant survives or a control is refused."""
    console, controls = Console(width=150), {setting: control(setting) for setting in SETTINGS}
    for setting, reason in controls.items():
        console.print(f"control {setting}: {'REFUSED: ' + reason if reason else 'accepted'}", markup=False)
    outcomes = judge_all([*constructions(), *certificates()])
    table = Printed("mutant", "caught by", "caught by sampling", "evidence")
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
    claims = measured_claims(CLAIMS)
    share, beyond = max(one.share for one in claims), max(one.beyond for one in claims)
    console.print(
        f"{len(claims)} certificates at extreme letters, lowered to what the checker asks for: "
        f"their own weights reach at most {share:.4f} of the bound, and {beyond:.2g} beyond the domain"
    )
    exceeded = share > 1 or beyond > 0
    return int(any(controls.values()) or caught < len(outcomes) or exceeded)


if __name__ == "__main__":
    sys.exit(main())
