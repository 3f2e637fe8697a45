"""One figure from the table of a sweep: y over x, a curve for each value of other columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.verify.results import Curve, Plot

_DECADE = 10.0
"""Axes are logarithmic from this ratio of their ends on."""


def table_plot(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: Sequence[str],
    by: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
) -> tuple[Plot, int]:
    """The plot of columns y over column x, and how many rows are left out because they lack a number.

    by: columns, of whose values each combination has a curve.  where: column -> the value of the rows taken.
    Raises ProblemError for an unknown column, a column of texts, and where rows at one point differ in y.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    for field, asked in (("x", [x]), ("y", y), ("by", by), ("where", list(where or {}))):
        for name in asked:
            if name not in names:
                raise ProblemError(field, name, f"the table has no such column; it has {', '.join(names)}")
    for name in (x, *y):
        if text := next((row[name] for row in rows if isinstance(row.get(name), str)), None):
            raise ProblemError("column", name, f"numbers are needed to plot it, and it has the text {text}")
    taken = [row for row in rows if all(_same(row.get(name), text) for name, text in (where or {}).items())]
    if not taken:
        raise ProblemError("where", " ".join(f"{k}={v}" for k, v in (where or {}).items()), "no row has this")
    points: dict[tuple[str, tuple[Any, ...]], dict[float, float]] = {}
    held: dict[tuple[tuple[Any, ...], float], Mapping[str, Any]] = {}
    left = 0
    for row in taken:
        key, at = tuple(row.get(name) for name in by), row.get(x)
        if at is None or all(row.get(name) is None for name in y):
            left += 1
            continue
        other = held.setdefault((key, float(at)), row)
        if any(row.get(name) != other.get(name) for name in y):
            _refuse_two(row, other, x, by, names)
        for name in y:
            if row.get(name) is not None:
                points.setdefault((name, key), {})[float(at)] = float(row[name])
    curves = [
        Curve(_label(name, len(y) > 1, by, key), *zip(*sorted(some.items()), strict=True))
        for (name, key), some in points.items()
    ]
    if not curves:
        raise ProblemError("y", ", ".join(y), "no row has a number there")
    xs, ys = [[v for c in curves for v in values(c)] for values in (lambda c: c.x, lambda c: c.y)]
    logarithmic = "x" * _decades(xs) + "y" * _decades(ys)
    return Plot(f"{', '.join(y)} over {x}", x, ", ".join(y), tuple(curves), logarithmic), left


def _refuse_two(
    row: Mapping[str, Any], other: Mapping[str, Any], x: str, by: Sequence[str], names: Mapping[str, Any]
) -> None:
    """Say which column, the first that differs, would tell two rows at one point apart."""
    first = next(name for name in names if row.get(name) != other.get(name))
    at = ", ".join(f"{name} = {row.get(name)}" for name in (x, *by))
    why = f"several rows have {at}; they differ in {first}: add it to --by, or choose one by --where"
    raise ProblemError("by", ", ".join(by) or "nothing", why)


def _same(value: Any, text: str) -> bool:
    """Whether a cell is what a text says, as a number where both are numbers."""
    try:
        return value is not None and float(value) == float(text)
    except ValueError:
        return str(value) == text


def _label(y: str, several: bool, by: Sequence[str], key: Sequence[Any]) -> str:
    which = " ".join(f"{name} = {value}" for name, value in zip(by, key, strict=True))
    return f"{y}, {which}" if several and which else which or y


def _decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) >= _DECADE * min(values)
