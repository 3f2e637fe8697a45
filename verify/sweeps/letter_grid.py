"""The grid of a sweep, "N=2,3,4 eps=1e-1:1e-5:9": which values each letter takes."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from icgd.bounds.letters import ProblemError

MOST_PROBLEMS = 100_000
"""The largest grid."""

Value = int | float | str
Spacing = Literal["", "logarithmic", "even"]

_HOW = "write values like 2,3,4, or first:last:count like 1e-1:1e-5:9"
_DIGITS = 6
"""Significant digits of the numbers inside a range, so that they are the same on every machine."""


@dataclass(frozen=True)
class Axis:
    """The values of one letter.  spacing: of its range of three or more numbers, if it has one."""

    letter: str
    values: tuple[Value, ...]
    spacing: Spacing = ""

    def __str__(self) -> str:
        if not self.spacing:
            return f"{self.letter} = {', '.join(map(str, self.values))}"
        ends = f"{self.values[0]} to {self.values[-1]}"
        return f"{self.letter} = {len(self.values)} values from {ends}, {self.spacing} spacing"


@dataclass(frozen=True)
class LetterGrid:
    """Every combination of the values of its axes; the last axis changes fastest.

    >>> grid = LetterGrid.parse("N=1,2 eps=1e-1:1e-3:3", {"N": int, "eps": float})
    >>> [tuple(point.values()) for point in grid][:4]
    [(1, 0.1), (1, 0.01), (1, 0.001), (2, 0.1)]
    """

    axes: tuple[Axis, ...]

    @classmethod
    def parse(cls, text: str, kinds: Mapping[str, type]) -> LetterGrid:
        """The grid that a text describes; kinds: int, float or str of each letter.

        A range first:last:count of a real letter is logarithmic if both ends are positive and differ by a
        factor of ten or more, else evenly spaced; :log or :even behind it decides instead.  first:last of a
        whole letter are all whole numbers between.  Commas in brackets and quotes belong to a formula.
        Raises ProblemError, which names the part that is wrong.
        """
        try:
            words = shlex.split(text)
        except ValueError:
            raise ProblemError("grid", text, "a quotation mark is not closed") from None
        axes: dict[str, Axis] = {}
        for word in words:
            letter, sign, values = word.partition("=")
            if not sign or not values:
                raise ProblemError("grid", word, f"a letter, = and its values are needed: {_HOW}")
            if letter not in kinds:
                why = f"there is no such letter; a grid may have {', '.join(kinds)}"
                raise ProblemError("grid", letter, why)
            if letter in axes:
                raise ProblemError("grid", letter, "it is there twice; give all of its values in one place")
            axes[letter] = _axis(letter, values, kinds[letter])
        if not axes:
            raise ProblemError("grid", '""', f"at least one letter is needed: {_HOW}")
        found = cls(tuple(axes.values()))
        if len(found) > MOST_PROBLEMS:
            why = (
                f"it has {len(found):,} problems, and at most {MOST_PROBLEMS:,} are swept; take fewer values"
            )
            raise ProblemError("grid", text, why)
        return found

    def __len__(self) -> int:
        return math.prod(len(axis.values) for axis in self.axes)

    def __iter__(self) -> Iterator[dict[str, Value]]:
        names = [axis.letter for axis in self.axes]
        for values in product(*(axis.values for axis in self.axes)):
            yield dict(zip(names, values, strict=True))

    def __str__(self) -> str:
        return "; ".join(map(str, self.axes))


def _axis(letter: str, text: str, kind: type) -> Axis:
    values: list[Value] = []
    spacing: Spacing = ""
    for item in _items(text):
        if kind is str:
            values.append(item)
        elif ":" in item:
            some, spacing = _range(letter, item, kind)
            values += some
        else:
            values.append(_number(letter, item, kind))
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ProblemError("grid", f"{letter}={text}", f"it has {', '.join(twice)} more than once")
    return Axis(letter, tuple(values), spacing)


def _items(text: str) -> list[str]:
    """The parts between commas that are not in brackets."""
    deep, parts = 0, [""]
    for sign in text:
        deep += (sign in "([") - (sign in ")]")
        if sign == "," and deep == 0:
            parts.append("")
        else:
            parts[-1] += sign
    if not all(part.strip() for part in parts):
        raise ProblemError("grid", text, "a value is missing beside a comma")
    return [part.strip() for part in parts]


def _number(letter: str, text: str, kind: type) -> Value:
    """The number that a text is; raises ProblemError for others, and for a fraction of a whole letter."""
    wanted = "a whole number" if kind is int else "a finite number"
    if kind is int and re.fullmatch(r"[+-]?\d{1,30}", text):
        return int(text)
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or (kind is int and (found != int(found) or abs(found) >= 2**53)):
        raise ProblemError("grid", f"{letter}={text}", f"{wanted} is needed: {_HOW}")
    return int(found) if kind is int else found


def _range(letter: str, text: str, kind: type) -> tuple[list[Any], Spacing]:
    parts, name = text.split(":"), f"{letter}={text}"
    forced = parts.pop() if parts[-1] in ("log", "even") else ""
    first, last = (_number(letter, part, kind) for part in (*parts, "nan")[:2])
    assert not isinstance(first, str) and not isinstance(last, str)
    if len(parts) == 2 and kind is int and not forced:
        step = 1 if last >= first else -1
        if abs(last - first) >= MOST_PROBLEMS:
            raise ProblemError("grid", name, f"it has more than {MOST_PROBLEMS:,} values")
        return list(range(int(first), int(last) + step, step)), ""
    if len(parts) != 3 or not re.fullmatch(r"\d{1,6}", parts[2]) or int(parts[2]) < 2 or first == last:
        why = f"two different ends and a count of at least 2 are needed: {_HOW}"
        raise ProblemError("grid", name, why)
    count, positive = int(parts[2]), min(first, last) > 0
    if forced == "log" and not positive:
        raise ProblemError("grid", name, "logarithmic spacing needs positive ends")
    decades = kind is float and positive and max(first, last) >= 10 * min(first, last)
    log = forced == "log" or (decades and not forced)
    between = [_between(first, last, k / (count - 1), log) for k in range(1, count - 1)]
    found = [first, *(round(one) if kind is int else float(f"{one:.{_DIGITS}g}") for one in between), last]
    if len(set(found)) < count:
        raise ProblemError("grid", name, f"between these ends there are no {count} different values")
    return found, "logarithmic" if log else "even"


def _between(first: float, last: float, part: float, log: bool) -> float:
    if log:
        return float(10 ** ((1 - part) * math.log10(first) + part * math.log10(last)))
    return (1 - part) * first + part * last
