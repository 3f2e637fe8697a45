"""Which columns of a table are the inputs x and which the targets y, by name or by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from icgd.bounds.problem import Problem
from icgd.verify.data.table import DataError, DataTable

Names = str | Sequence[str] | None
"""Names of columns, by commas in a text or each an item of its own; None or () for the defaults."""


@dataclass(frozen=True)
class Columns:
    """Which columns are the inputs x and which the targets y.

    said: which of them nobody named, and what was passed over in choosing them.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    said: tuple[str, ...] = field(default=(), compare=False)

    @property
    def d(self) -> int:
        return len(self.inputs)

    @property
    def d_out(self) -> int:
        return len(self.targets)


def choose_columns(
    table: DataTable,
    inputs: Names = None,
    targets: Names = None,
    d: int | None = None,
    d_out: int | None = None,
) -> Columns:
    """The named columns, or defaults where none are named.

    targets: by default the one column called target, or else the last one with numbers.  inputs: by default
    the first d other columns with numbers (of the diabetes data: those most correlated with the target), d
    being Problem's own default unless given.  d and d_out may be left None (or d_out 0) to be derived from
    the names; if given they must agree with them.  Raises DataError.
    """
    d_out, said = d_out or None, []
    asked_x, asked_y = _named(table, inputs), _named(table, targets)
    if asked_y is None:
        asked_y = ["target"] if "target" in table.usable else list(table.usable[-1:])
        if d_out is not None and d_out > 1:
            raise DataError(
                f"d_out = {d_out} needs {d_out} target columns, and by default there is only "
                f"{(asked_y or ['none'])[0]!r}; name {d_out} targets or leave d_out to be 1"
            )
        said.append(f"no targets were named: {', '.join(map(repr, asked_y))} was taken")
    if asked_x is None:
        others = [name for name in table.usable if name not in asked_y]
        wanted = min(Problem().d, len(others)) if d is None else d
        if wanted > len(others) or not others:
            raise DataError(
                f"d = {wanted or 1} needs {wanted or 1} input columns, and {table.source} has {len(others)} "
                f"with a name and numbers besides {', '.join(asked_y) or 'the target'}"
                f"{table.separated and '; '}{table.separated}"
            )
        asked_x = others[:wanted]
        said.append(_by_default(table, asked_x, others))
    for letter, role, names, size in (("d", "input", asked_x, d), ("d_out", "target", asked_y, d_out)):
        if not names:
            raise DataError(f"at least one {role} column is needed")
        if size is not None and size != len(names):
            raise DataError(
                f"{letter} = {size} but {len(names)} {role} columns are named ({', '.join(names)}); "
                f"leave {letter} out or make them agree"
            )
    name, times = Counter((*asked_x, *asked_y)).most_common(1)[0]
    if times > 1:
        also = " as input and as target" if name in asked_x and name in asked_y else ""
        raise DataError(f"column {name!r} is chosen {times} times{also}; inputs and targets must all differ")
    table.select((*asked_x, *asked_y))
    return Columns(tuple(asked_x), tuple(asked_y), tuple(said))


def _named(table: DataTable, given: Names) -> list[str] | None:
    """Each item that is the name of a column is that column; any other is split at its commas."""
    if given is None or given == ():
        return None
    names = []
    for item in [given] if isinstance(given, str) else given:
        text = item.strip()
        names += [text] if text in table.names else [part.strip() for part in text.split(",") if part.strip()]
    return names


def _by_default(table: DataTable, taken: Sequence[str], others: Sequence[str]) -> str:
    usable, before = set(table.usable), table.names[: table.names.index(taken[-1])]
    without = [
        repr(name) if name else f"number {k + 1}" for k, name in enumerate(before) if name not in usable
    ]
    passed = ", ".join(without[:5])
    words = f"no inputs were named: {', '.join(map(repr, taken))} were taken, the first {len(taken)} of "
    words += f"{len(others)} columns with numbers that are no target"
    return words + (f"; passed over, without a name of their own or any number: {passed}" if passed else "")


def letters_from(
    table: DataTable, letters: Mapping[str, Any], inputs: Names, targets: Names
) -> Mapping[str, Any]:
    """The letters with d and d_out taken from the chosen columns.  Raises DataError."""
    columns = choose_columns(table, inputs, targets, letters.get("d"), letters.get("d_out"))
    n = letters.get("n", Problem().n)
    if isinstance(n, int):  # otherwise the problem refuses it
        usable_rows(table, columns, n)
    return {**letters, "d": columns.d, "d_out": columns.d_out}


def usable_rows(table: DataTable, columns: Columns, n: int) -> list[int]:
    """The rows with a number in every chosen column; raises DataError where a prompt needs more of them."""
    kept = [int(row) for row in table.complete((*columns.inputs, *columns.targets)).nonzero()[0]]
    if len(kept) < n + 1:
        left = table.rows - len(kept)
        dropped = f", of which {left:,} lack a value" if left else ""
        raise DataError(
            f"{table.source} has {table.rows:,} rows{dropped}, and n = {n} examples and a query need {n + 1}"
        )
    return kept
