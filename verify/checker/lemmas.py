"""The checker's lemmas on functions of one variable: their ranges, and their distance from sums of ReLUs.

Nothing comes from the rest of the project.  Functions are power series over balls
(`icgd.verify.checker.power_series`); lines are exact rationals.  Floats come first
(`icgd.verify.checker.linear_pieces`), and balls judge what they leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from flint import arb, fmpq

from icgd.verify.checker.linear_pieces import pieces, unsettled
from icgd.verify.checker.power_series import Function, exact, jet
from icgd.verify.checker.tables import Table

Sum = Mapping[str, Any]


class Refused(ValueError):
    """A certificate is refused; the message is the first of its claims that does not hold."""


def need(ok: bool, claim: str) -> None:
    if not ok:
        raise Refused(claim)


def within(f: Function, k: int, z: float, low: Any, high: Any) -> bool:
    """Whether low <= f^(k) <= high on all of [-z, z], by bisection, monotonicity and Taylor's theorem."""
    todo, budget, at = [(-z, z)], 20_000, cache(lambda end: jet(f, arb(end), k)[k])
    while todo and budget:
        (a, b), budget = todo.pop(), budget - 1
        box, middle = arb(a).union(arb(b)), (a + b) / 2
        whole = jet(f, box, k + 2)
        if whole[k + 1] >= 0 or whole[k + 1] <= 0:
            if not all(low <= at(end) <= high for end in (a, b)):
                return False
        else:
            (*_, value, rise), away = jet(f, arb(middle), k + 1), box - middle
            near = value + rise * away + whole[k + 2] * arb(0).union(away.abs_upper() ** 2) / 2
            if not any(low <= x <= high for x in (whole[k], near)):
                todo += [(a, middle), (middle, b)]
    return not todo


def lines(relus: Sum, lo: fmpq, hi: fmpq) -> Iterator[tuple[fmpq, fmpq, fmpq, fmpq]]:
    """The pieces (start, end, slope, intercept) of constant + sum c relu(a t + b) on [lo, hi], exactly."""
    turns: dict[fmpq, fmpq] = {}
    slope, value, start = fmpq(0), exact(relus["constant"]), lo
    for a, b, c in zip(*(map(exact, relus[key]) for key in "abc"), strict=True):
        need(a != 0, "every ReLU reads its variable")
        kink = -b / a
        if (a > 0) == (kink <= lo):
            slope, value = slope + c * a, value + c * (a * lo + b)
        if lo < kink < hi:
            turns[kink] = turns.get(kink, 0) + (c * a if a > 0 else -c * a)
    for kink in [*sorted(turns), hi]:
        yield start, kink, slope, value - slope * start
        start, slope, value = kink, slope + turns.get(kink, 0), value + slope * (kink - start)


def lemma(table: Table, k: int, relus: Sum, reach: float, error: float) -> bool:
    """Whether |sum - f^(k)| <= error on [-reach, reach]: by floats where they show it, else by balls."""
    edges = table.edges
    found = pieces(relus, reach, edges[(edges > -reach) & (edges < reach)]) if reach <= table.reach else None
    if found is None:
        todo = list(lines(relus, -exact(reach), exact(reach)))
    else:
        todo = [found.exactly(i) for i in unsettled(table, k, found, error)]
    value, budget = cache(lambda x: jet(table.f, arb(x), k)[k]), 500_000
    while todo and budget:
        (a, b, slope, lift), budget = todo.pop(), budget - 1
        left, right, rise, up = arb(a), arb(b), arb(slope), arb(lift)
        if not all(abs(value(x) - rise * y - up) <= error for x, y in ((a, left), (b, right))):
            return False
        box, m = left.union(right), (left + right).mid() / 2
        whole = jet(table.f, box, 3 + k)[k:]
        for _ in range(4):
            here = jet(table.f, m, 2 + k)[k:]
            bend = whole[2].abs_lower().max((here[2] + whole[3] * (box - m)).abs_lower())
            tilt = abs(here[1] - rise) if bend > 0 else abs(whole[1] - rise)
            # If the error is small at both ends and the bend has one sign, the error is largest where the
            # slope of the function equals that of the line.
            beyond = tilt * ((right - left).min(tilt / (2 * bend)) if bend > 0 else right - left)
            if abs(here[0] - rise * m - up) + beyond <= error:
                break
            step = (here[1] - rise) / here[2]
            m = (m - step).mid().max(left).min(right).mid() if step.is_finite() else m
        else:
            todo += [(a, (a + b) / 2, slope, lift), ((a + b) / 2, b, slope, lift)]
    return not todo
