"""Mutants for `icgd.verify.sabotage.run`: named damage to constructions and certificates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt

Damage = Callable[[Any], object]
LOST = object()
SPIKE, WIDTH = 0.123, 1e-9
SUMS: dict[str, Callable[[ReluSum], ReluSum]] = {
    "flipped sign": lambda r: ReluSum(r.a, r.b, -r.c, r.constant),
    "weights off by 1e-3": lambda r: ReluSum(r.a, r.b, r.c + 1e-3, r.constant),
    "weights off by an ulp": lambda r: ReluSum(r.a, r.b, np.nextafter(r.c, 9), r.constant),
    "kinks off by 1e-12": lambda r: ReluSum(r.a, r.b + 1e-12, r.c, r.constant),
    "unit dropped": lambda r: ReluSum(r.a[1:], r.b[1:], r.c[1:], r.constant),
}


@dataclass(frozen=True)
class Mutant:
    """One damage, done in place to a transformer or a certificate of one of SETTINGS.

    expected: a pattern that the refusal must match.  planted: for hidden damage, a prompt that reveals it.
    """

    name: str
    what: str
    setting: str
    damage: Damage
    expected: str
    planted: Callable[[Problem], Prompt] | None = None


@dataclass(frozen=True)
class Catch:
    """Whether a mutant was caught; sampling_caught: None for certificates; wrong_by: in units of eta*eps."""

    name: str
    caught: bool
    by: str
    evidence: str
    sampling_caught: bool | None = None
    wrong_by: float | None = None


def put(path: str, value: Any) -> Damage:
    """Replace the value at a dotted path by `value`, or by value(old) for a function; LOST removes it."""
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]

    def damage(found: Any) -> None:
        part = reduce(lambda inner, key: inner[key], keys, found)
        if value is LOST:
            part.pop(last)
        else:
            part[last] = value(part[last]) if callable(value) else value

    return damage


def spike(at: float) -> list[tuple[float, float, float]]:
    """Three units (a, b, c) whose sum is 1/2 at a point and 0 farther than WIDTH from it."""
    steep = 0.5 / WIDTH
    return [(1.0, WIDTH - at, steep), (1.0, -at, -2 * steep), (1.0, -at - WIDTH, steep)]


def spiked(at: float) -> Callable[[ReluSum], ReluSum]:
    """Adds a spike at a point to a sum of ReLUs."""
    a, b, c = np.transpose(spike(at))
    return lambda r: ReluSum(np.append(r.a, a), np.append(r.b, b), np.append(r.c, c), r.constant)


def more(units: Sequence[tuple[float, float, float]]) -> Callable[[Any], Any]:
    """Adds `units` (a, b, c) to a sum of ReLUs in plain numbers."""
    return lambda relus: relus | {x: relus[x] + [unit[i] for unit in units] for i, x in enumerate("abc")}
