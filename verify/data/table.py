"""The class `DataTable`: named columns of numbers, and what is known about cells that are none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from icgd.bounds.printable import printable

_NO_NAME = re.compile(r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__|\.\.\.\d+")
"""What pandas and R call a column that has no name, mostly an index."""

_SHOWN = 20
"""How many names of columns a message lists."""


class DataError(ValueError):
    """A table cannot be used; the message says why and what to do, in characters that can be printed."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True, eq=False)
class DataTable:
    """A table of numbers with names; a missing value is NaN.

    names: "" for a column without one.  faults: by number of the column, its first cell that is neither a
    number nor missing, as a sentence; such a column cannot be chosen.  gaps: the same for a missing value.
    lines: the line of the file on which each row ends, where the table is a text file.
    dropna: whether rows with a missing value in a chosen column are left out rather than refused.
    sha256, read_as: of the file.  notes: by number of the column, what else is to be said when it is chosen.
    remarks: what is to be said about the file itself.  words: columns of words or dates, without a number.
    separated: of a text file, what its cells were separated by, for a message.
    """

    source: str
    names: tuple[str, ...]
    values: Float[np.ndarray, "rows columns"]
    faults: Mapping[int, str] = field(default_factory=dict)
    gaps: Mapping[int, str] = field(default_factory=dict)
    lines: Sequence[int] | None = None
    dropna: bool = False
    sha256: str | None = None
    read_as: str = "a table in memory"
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    words: frozenset[int] = frozenset()
    separated: str = ""

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    @property
    def listed(self) -> str:
        """The names of the columns for a message; only the first of a great many."""
        shown = [repr(name) if "," in name else name or "(unnamed)" for name in self.names[:_SHOWN]]
        more = len(self.names) - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more else "")

    def place(self, row: int) -> str:
        """Where a row is, as an editor counts: "line 7", or "row 6" where there are no lines."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def position(self, name: str) -> int:
        """The number of the column of that name, from 0; raises DataError where there is none, or two."""
        found = [k for k, other in enumerate(self.names) if other == name]
        if not name or not found:
            near = get_close_matches(name, [other for other in self.names if other], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if with_comma := next((other for other in self.names if "," in other and name in other), None):
                hint = f"; name a column with a comma in an option of its own, as {with_comma!r}"
            if self.separated and any(name in other and re.search(r"[,;|\t]", other) for other in self.names):
                hint += f"; {self.separated}"
            raise DataError(f"{self.source} has no column {name!r}; it has {self.listed}{hint}")
        if len(found) > 1:
            where = " and ".join(str(k + 1) for k in found)
            raise DataError(
                f"{self.source}: {len(found)} columns are called {name!r} (number {where}), and one of them "
                "is chosen; give them different names"
            )
        return found[0]

    def select(self, names: Sequence[str]) -> Float[np.ndarray, "rows chosen"]:
        """The named columns in that order, missing values as NaN.

        Raises DataError where one is not there or has a cell that is no number; NaN stays only with `dropna`.
        """
        positions = [self.position(name) for name in names]
        for k in positions:
            if k in self.faults:
                raise DataError(f"{self.source}, {self.faults[k]}")
            column = self.values[:, k]
            if np.isinf(column).any():
                row = int(np.isinf(column).argmax())
                raise DataError(
                    f"{self.source}, {self.place(row)}, column {self.names[k]!r}: {column[row]} is not finite"
                )
            missing = np.isnan(column)
            if missing.any() and not self.dropna:
                first = self.gaps.get(k) or self._gap(k, int(missing.argmax()))
                raise DataError(
                    f"{self.source}, {first}; {int(missing.sum()):,} of {self.rows:,} rows have none there: "
                    'fill them in, choose other columns, or leave such rows out with --table "dropna"'
                )
        return self.values[:, positions]

    def _gap(self, k: int, row: int) -> str:
        return f"{self.place(row)}, column {self.names[k]!r}: there is no number"

    def complete(self, names: Sequence[str]) -> Bool[np.ndarray, " rows"]:
        """Which rows have a number in all of these columns."""
        whole: Bool[np.ndarray, " rows"] = ~np.isnan(self.select(names)).any(axis=1)
        return whole

    @cached_property
    def usable(self) -> tuple[str, ...]:
        """The columns with a name that somebody gave them alone, which hold what may be meant as numbers."""
        counted, some = Counter(self.names), np.isfinite(self.values).any(axis=0)
        meant = [is_some or (k in self.faults and k not in self.words) for k, is_some in enumerate(some)]
        return tuple(
            name
            for name, is_meant in zip(self.names, meant, strict=True)
            if counted[name] == 1 and name and is_meant and not _NO_NAME.fullmatch(name)
        )


def reads_as_number(text: str) -> bool:
    """Whether Python reads a number there; underscores between digits are none."""
    try:
        return "_" not in text and not math.isnan(float(text))
    except ValueError:
        return False
