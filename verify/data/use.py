"""What was done with a table: its columns, their scaling, the rows used, and what is doubtful about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from icgd.verify.data.columns import Columns
from icgd.verify.data.scaling import Scaling
from icgd.verify.data.table import DataTable

_FAR = 10.0
"""How much farther from the middle than 99% of the rows a row must be to be reported."""

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


@dataclass(frozen=True)
class DataUse:
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
        file = f", sha256 {self.sha256}" if self.sha256 else ""
        return (
            f"{self.source}: {self.used:,} rows{left}, inputs {self.of_role('input')}, "
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
        (*table.remarks, *_doubts(table, columns, kept, scaled_by, examples)),
    )


def _doubts(
    table: DataTable, columns: Columns, kept: np.ndarray, scaled_by: tuple[Scaling, Scaling], n: int
) -> list[str]:
    """What may not be meant: about single columns, about pairs of them, about rows."""
    names = (*columns.inputs, *columns.targets)
    values = table.select(names)[kept]
    found = [
        f"column {name!r}: {note}" for name in names for note in table.notes.get(table.position(name), ())
    ]
    constant = [name for name, column in zip(names, values.T, strict=True) if column.min() == column.max()]
    if constant:
        listed = ", ".join(map(repr, constant))
        found.append(f"{len(constant)} constant columns, which become 0 in every prompt: {listed}")
    for name, column in zip(names, values.T, strict=True):
        found += _stand_in(name, column)
    for k, target in enumerate(columns.targets):
        for j, name in enumerate(columns.inputs):
            y, x = values[:, columns.d + k], values[:, j]
            if name not in constant and target not in constant and _is_same(x, y):
                found.append(
                    f"the target {target!r} is the input {name!r} times a number plus a number, in all "
                    f"{len(kept):,} rows: the answer is given away"
                )
    for role, part, scaling in (
        ("inputs", values[:, : columns.d], scaled_by[0]),
        ("targets", values[:, columns.d :], scaled_by[1]),
    ):
        found += _squeezed(table, kept, role, scaling.names, scaling.apply(part))
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
                    f"column {name!r}: {word:g} in {count:,} rows lies far from all others; if it means a "
                    f'missing value, add --table "na_values={word:g} dropna"'
                ]
    return []


def _is_same(x: Float[np.ndarray, " rows"], y: Float[np.ndarray, " rows"]) -> bool:
    """Whether one column is an affine function of the other, up to rounding; two rows always are."""
    if len(x) < 3:
        return False
    a, b = ((v - v.mean()) / np.linalg.norm(v - v.mean()) for v in (x / np.abs(x).max(), y / np.abs(y).max()))
    return bool(np.abs(a - np.sign(a @ b) * b).max() <= 1e-12)


def _squeezed(
    table: DataTable,
    kept: np.ndarray,
    role: str,
    names: Sequence[str],
    scaled: Float[np.ndarray, "rows columns"],
) -> list[str]:
    """A warning where one row in a hundred, or a single one, is so far off that all others lie together."""
    away = np.abs(scaled - np.median(scaled, axis=0))
    far = np.linalg.norm(away, axis=1)
    order = np.argsort(-far)
    few = max(1, len(far) // 100)
    if len(far) < 4 or far[order[few]] == 0 or far[order[0]] < _FAR * far[order[few]]:
        return []
    count = int((far >= _FAR * far[order[few]]).sum())
    worst = int(order[0])
    column = names[int(away[worst].argmax())]
    value = float(table.values[kept[worst], table.position(column)])
    return [
        f"{count:,} of {len(far):,} rows lie up to {far[worst] / far[order[few]]:.3g} times as far from the "
        f"middle of the {role} as the {len(far) - few:,} nearest, which scaling puts close together; the "
        f"farthest is {table.place(int(kept[worst]))}, with {column!r} = {value:.6g}"
    ]
