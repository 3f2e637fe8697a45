"""The checker's own truths about functions of one variable: ranges, lines, and how near one is to the other.

Nothing comes from the rest of the project.  Functions are power series over balls, read from their formulas;
derivatives are coefficients of series; lines are exact rationals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache, reduce
from itertools import pairwise
from typing import Any

from flint import arb, arb_series, fmpq

Function = Callable[[Any], Any]
Sum = Mapping[str, Any]
NAMED = {"sigmoid": "1/2+tanh(t/2)/2", "softplus": "softplus(t)", "gelu": "t*(1+erf(t/sqrt(2)))/2"}
NAMED |= {"tanh": "tanh(t)", "sin": "sin(t)", "identity": "t"}


class Refused(ValueError):
    """The first claim of a certificate that does not hold."""


def need(ok: bool, claim: str) -> None:
    if not ok:
        raise Refused(claim)


def exact(x: Any) -> fmpq:
    """The rational that a finite number (or the text of one) is; floats count as what they are."""
    return fmpq(*Fraction(x).as_integer_ratio())


def solution(value: Function, rate: Callable[[Any, Any], Any]) -> Function:
    """The power series of y(x) where y' = rate(x, y): tighter on wide balls than that of a quotient."""

    def at(x: arb_series) -> arb_series:
        y = first = arb_series([value(x[0])], prec=x.prec)
        for _ in range(x.prec - 1):
            y = first + (rate(x, y) * x.derivative()).integral()
        return y

    return at


def formula(text: str) -> Function:
    """The function of t, on power series, that a posed problem names; every number in it is exact."""
    names: dict[str, Any] = {"number": exact, "pi": arb.pi()}
    for name in ("exp", "log", "sin", "cos", "tan", "atan", "erf", "sqrt"):
        names[name] = lambda x, name=name: getattr(x if isinstance(x, arb_series) else arb(x), name)()
    names["sinh"], names["cosh"] = (
        lambda x, s=s: (names["exp"](x) - s * names["exp"](-x)) / 2 for s in (1, -1)
    )
    names["tanh"] = solution(arb.tanh, lambda x, y: 1 - y * y)
    names["softplus"] = solution(lambda x: (1 + x.exp()).log(), lambda x, y: (1 + names["tanh"](x / 2)) / 2)
    number = r"(?<![\w.])(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
    code = compile(
        re.sub(number, r"number('\g<0>')", NAMED.get(text, text).strip().lower()), "formula", "eval"
    )
    return lambda x: eval(code, {"__builtins__": {}, **names}, {"t": x})


def jet(f: Function, x: arb, order: int) -> list[arb]:
    """f, f', ..., up to the 4th derivative, at a ball."""
    series = 0 * arb_series([x, 1], prec=order + 1) + f(arb_series([x, 1], prec=order + 1))
    return [series[k] * (1, 1, 2, 6, 24)[k] for k in range(order + 1)]


def hull(f: Function, a: arb, b: arb, order: int = 3) -> list[arb]:
    """A jet that holds those of all points between a and b, from parts of width 1/16 at most."""
    parts = 1 + int(16 * abs(float(b - a)))
    ends = [a + (b - a) * i / parts for i in range(parts + 1)]
    jets = [jet(f, x.union(y), order) for x, y in pairwise(ends)]
    return [reduce(arb.union, column) for column in zip(*jets, strict=True)]


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


def lemma(f: Function, relus: Sum, reach: float, error: float) -> bool:
    """Whether |sum - f| <= error on all of [-reach, reach]."""
    todo, budget = list(lines(relus, -exact(reach), exact(reach))), 500_000
    value = cache(lambda x: jet(f, arb(x), 0)[0])
    while todo and budget:
        (a, b, slope, lift), budget = todo.pop(), budget - 1
        left, right, rise, up = arb(a), arb(b), arb(slope), arb(lift)
        if not all(abs(value(x) - rise * y - up) <= error for x, y in ((a, left), (b, right))):
            return False
        box, m = left.union(right), (left + right).mid() / 2
        whole = jet(f, box, 3)
        for _ in range(4):
            here = jet(f, m, 2)
            bend = whole[2].abs_lower().max((here[2] + whole[3] * (box - m)).abs_lower())
            tilt = abs(here[1] - rise) if bend > 0 else abs(whole[1] - rise)
            # Between ends that are in order, a function of one bend dips most where its slope is the line's.
            beyond = tilt * ((right - left).min(tilt / (2 * bend)) if bend > 0 else right - left)
            if abs(here[0] - rise * m - up) + beyond <= error:
                break
            step = (here[1] - rise) / here[2]
            m = (m - step).mid().max(left).min(right).mid() if step.is_finite() else m
        else:
            todo += [(a, (a + b) / 2, slope, lift), ((a + b) / 2, b, slope, lift)]
    return not todo
