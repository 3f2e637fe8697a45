"""What was done with a table: its columns, their scaling, the rows used, and what is doubtful about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from icgd.bounds.printable import Brief
from icgd.verify.data.columns import Columns
from icgd.verify.data.scaling import Scaling
from icgd.verify.data.table import DataTable

_FAR = 10.0
"""How much farther from the median than 99% of a column a value must be to be reported."""

_STAND_INS = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
"""Numbers that often stand for a missing value."""


@dataclass(frozen=True)
class ScaledColumn:
    """A column that was used: a prompt holds (value - centre) / unit, that is factor * (value - centre).

    unit, centre, smallest, largest: in the table's own units; factor: 1 / unit, 0 for a constant column.
    """

    name: str
    role: str
    centre: float
    unit: float
    smallest: float
    largest: float

    @property
    def factor(self) -> float:
        return 1 / self.unit if self.unit > 0 else 0.0


@dataclass(frozen=True, repr=False)
class DataUse(Brief):
    """What was done with a table.

    sha256: of its file, if there is one.  rows: in the table; dropped: of them, for a missing value.
    chosen: what was chosen because nobody named it.  warnings: what is doubtful, with counts.
    """

    source: str
    sha256: str | None
    read_as: str
    rows: int
    dropped: int
    prompts: int
    examples: int
    columns: tuple[ScaledColumn, ...]
    chosen: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def used(self) -> int:
        """The rows from which prompts are drawn."""
        return self.rows - self.dropped

    def of_role(self, role: str) -> str:
        return ", ".join(repr(one.name) for one in self.columns if one.role == role)

    @property
    def said(self) -> tuple[str, ...]:
        """What a person is told, a sentence each."""
        left = f" ({self.dropped:,} of {self.rows:,} left out for a missing value)" if self.dropped else ""
        file = f", SHA-256 {self.sha256[:16]}..." if self.sha256 else ""
        return (
            f"{self.used:,} rows{left}, inputs {self.of_role('input')}, "
            f"target {self.of_role('target')}; {self.read_as}{file}",
            *self.chosen,
            *(f"warning: {one}" for one in self.warnings),
        )


def describe_use(
    table: DataTable,
    columns: Columns,
    rows: Sequence[int],
    scaled_by: tuple[Scaling, Scaling],
    *,
    prompts: int,
    examples: int,
) -> DataUse:
    """What is done with these rows of a table; scaled_by: the scalings of the inputs and of the targets."""
    kept = np.asarray(rows)
    used = []
    for role, names, scaling in zip(
        ("input", "target"), (columns.inputs, columns.targets), scaled_by, strict=True
    ):
        for k, name in enumerate(names):
            values = table.values[kept, table.position(name)]
            used.append(
                ScaledColumn(
                    name,
                    role,
                    float(scaling.centre[k]),
                    float(scaling.unit[k]),
                    float(values.min()),
                    float(values.max()),
                )
            )
    return DataUse(
        table.source,
        table.sha256,
        table.read_as,
        table.rows,
        table.rows - len(kept),
        prompts,
        examples,
        tuple(used),
        columns.said,
        (*table.remarks, *_doubts(table, columns, kept, examples)),
    )


def _doubts(table: DataTable, columns: Columns, kept: np.ndarray, n: int) -> list[str]:
    """What may not be meant: about single columns, about pairs of them, about rows."""
    names = (*columns.inputs, *columns.targets)
    values = table.select(names)[kept]
    found = [
        f"column {name!r}: {note}" for name in names for note in table.notes.get(table.position(name), ())
    ]
    constant = [name for name, column in zip(names, values.T, strict=True) if column.min() == column.max()]
    if constant:
        listed = ", ".join(map(repr, constant))
        found.append(f"constant columns, which become 0 in every prompt: {len(constant)} ({listed})")
    for name, column in zip(names, values.T, strict=True):
        found += _stand_in(name, column) + _squeezed(table, kept, name, column)
    for k, target in enumerate(columns.targets):
        for j, name in enumerate(columns.inputs):
            y, x = values[:, columns.d + k], values[:, j]
            if name not in constant and target not in constant and _is_same(x, y):
                found.append(
                    f"the target {target!r} is the input {name!r} times a number plus a number, in all "
                    f"{len(kept):,} rows: the answer is given away"
                )
    if len(kept) < 2 * (n + 1):
        found.append(
            f"{len(kept):,} rows for prompts of {n + 1}: any two prompts share rows and are not independent"
        )
    return found


def _stand_in(name: str, column: Float[np.ndarray, " rows"]) -> list[str]:
    for word in _STAND_INS:
        count = int((column == word).sum())
        if word in (column.min(), column.max()) and 0 < count < len(column) and len(set(column)) > 2:
            rest = column[column != word]
            if abs(word - np.median(rest)) > 2 * (rest.max() - rest.min()):
                return [
                    f"column {name!r}: {word:g}, far from all others, in {count:,} rows; if it means a "
                    f'missing value, add --table "na_values={word:g} dropna"'
                ]
    return []


def _is_same(x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> bool:
    """Whether one column is an affine function of the other, up to rounding; two rows always are."""
    if len(x) < 3:
        return False
    parts, allowed = [], 2.0**-48
    for v in (x / np.abs(x).max(), y / np.abs(y).max()):
        spread = float(np.linalg.norm(v - v.mean()))
        parts.append((v - v.mean()) / spread)
        allowed += 2.0**-48 / spread  # numbers of size 1 were rounded, and their mean was taken
    a, b = parts
    return bool(np.abs(a - np.sign(a @ b) * b).max() <= allowed)


def _squeezed(table: DataTable, kept: np.ndarray, name: str, column: Float[np.ndarray, " rows"]) -> list[str]:
    """A warning where one value in a hundred, or a single one, is so far off that all others lie together."""
    size = max(float(np.abs(column).max()), np.finfo(float).tiny)
    far = np.abs(column / size - np.median(column / size))
    order = np.argsort(-far)
    few = max(1, len(far) // 100)
    if len(far) < 4 or far[order[few]] == 0 or far[order[0]] < _FAR * far[order[few]]:
        return []
    count = int((far >= _FAR * far[order[few]]).sum())
    worst = int(order[0])
    return [
        f"column {name!r}: values far from all others, which scaling puts close together: {count:,} (up to "
        f"{far[worst] / far[order[few]]:.3g} times as far from the median as the nearest {len(far) - few:,}; "
        f"the farthest is {column[worst]:.6g} in {table.place(int(kept[worst]))})"
    ]
