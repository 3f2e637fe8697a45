"""Prompts from real tables: scikit-learn's diabetes data or any CSV file, scaled into the theorem's radii."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt
from icgd.verify.search.prompts import Device, start

_DIABETES = ("bmi", "s5", "bp", "s4", "s3", "s6", "s1", "age", "s2", "sex")
"""The columns of the diabetes data in order of decreasing correlation with its target."""

_MARGIN = 1 - 2**-20
"""The norm of the longest row over the radius; the distance suffices for rounding, even in float32."""


class DataError(ValueError):
    """A table cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class DataTable:
    """A named numeric table.

    faults: for each column with a cell that is not a number, where and why.  Such a column cannot be chosen;
    its faulty cells are NaN.
    """

    source: str
    names: tuple[str, ...]
    values: Float[np.ndarray, "rows columns"]
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    def select(self, names: Sequence[str]) -> Float[np.ndarray, "rows chosen"]:
        """The named columns, in that order; raises DataError where one is missing or not numeric."""
        for name in names:
            if name not in self.names:
                raise DataError(f"{self.source} has no column {name!r}; it has {', '.join(self.names)}")
            if name in self.faults:
                raise DataError(f"{self.source}: {self.faults[name]}")
        return self.values[:, [self.names.index(name) for name in names]]


@dataclass(frozen=True)
class Columns:
    """Which columns are the inputs x and which the targets y."""

    inputs: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def d(self) -> int:
        return len(self.inputs)

    @property
    def d_out(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Scaling:
    """The affine map between a table's columns and a prompt's: scaled = (value - centre) / unit.

    A constant column has unit 0; it scales to 0.
    """

    names: tuple[str, ...]
    centre: Float[np.ndarray, " columns"]
    unit: Float[np.ndarray, " columns"]

    def __post_init__(self) -> None:
        for name, centre, unit in zip(self.names, self.centre, self.unit, strict=True):
            if not (math.isfinite(centre) and math.isfinite(unit)):
                raise DataError(f"the numbers of column {name!r} are too large to be scaled")

    def apply(self, values: Float[np.ndarray, "*batch columns"]) -> Float[np.ndarray, "*batch columns"]:
        """Values of the table as a prompt holds them."""
        return np.where(self.unit > 0, (values - self.centre) / np.where(self.unit > 0, self.unit, 1), 0.0)

    def undo(self, scaled: Float[np.ndarray, "*batch columns"]) -> Float[np.ndarray, "*batch columns"]:
        """Values of a prompt in the table's own units."""
        return self.centre + self.unit * scaled


@dataclass(frozen=True, eq=False)
class RealPrompts:
    """Prompts cut from a table.

    rows: the table's rows in each prompt, the query's last (0 is the first row below the header).
    x_scaling, y_scaling: the maps from the table's units, with their inverses.
    """

    prompt: Prompt
    rows: Int[Tensor, "B rows"]
    x_scaling: Scaling
    y_scaling: Scaling


def load_table(source: str | DataTable) -> DataTable:
    """The table called "diabetes" (bundled with scikit-learn), or the CSV file of that path.

    A DataTable is returned unchanged.
    A CSV file has a header row, one number per cell, and commas, semicolons or tabs between cells.
    Raises DataError.
    """
    if isinstance(source, DataTable):
        return source
    return BUNDLED[source]() if source in BUNDLED else _read_csv(source)


def _diabetes() -> DataTable:
    try:
        from sklearn.datasets import load_diabetes  # a slow import, not needed for a user's own data
    except ImportError:
        raise DataError("the diabetes data come with scikit-learn, which is not installed") from None
    bunch = load_diabetes()
    inputs = bunch.data[:, [bunch.feature_names.index(name) for name in _DIABETES]]
    return DataTable(
        "diabetes", (*_DIABETES, "target"), np.column_stack([inputs, bunch.target]).astype(float)
    )


BUNDLED: Mapping[str, Callable[[], DataTable]] = {"diabetes": _diabetes}
"""Tables known by a name: what reads each."""


def _read_csv(source: str) -> DataTable:
    try:
        text = Path(source).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"there is no file {source}; give a CSV file or {' or '.join(BUNDLED)}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"{source} cannot be read: {reason}") from None
    heading = next((line for line in text.splitlines() if line.strip()), "")
    if not heading:
        raise DataError(f"{source} is empty; a header and at least one row are needed")
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        # Messages refer to a row by the number of its last line in the file, as an editor shows it.
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}") from None
    names = tuple(name.strip() for name in lines[0][1])
    _check_header(source, names)
    if len(lines) == 1:
        raise DataError(f"{source} has a header but no rows")
    values = np.full((len(lines) - 1, len(names)), math.nan)
    faults: dict[str, str] = {}
    for row, (line, cells) in enumerate(lines[1:]):
        if len(cells) != len(names):
            raise DataError(f"{source}, line {line}: {len(cells)} cells where the header has {len(names)}")
        for column, (name, cell) in enumerate(zip(names, cells, strict=True)):
            number = _number(cell)
            if number is not None and math.isfinite(number):
                values[row, column] = number
                continue
            what = f"{cell.strip()!r} is not a finite number" if cell.strip() else "the cell is empty"
            faults.setdefault(name, f"line {line}, column {name!r}: {what}; fix it or choose other columns")
    return DataTable(source, names, values, faults)


def _check_header(source: str, names: tuple[str, ...]) -> None:
    if all(_number(name) is not None for name in names):
        raise DataError(f"{source} has no header; its first row must name the columns")
    if "" in names:
        raise DataError(f"{source}: column {names.index('') + 1} has no name in the header")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{source}: {times} columns are called {name!r}; names must differ")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def choose_columns(
    table: DataTable,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    d: int | None = None,
    d_out: int | None = None,
) -> Columns:
    """The named columns, or defaults where none are named.

    targets: by default the one column called target, or else the last one.  inputs: by default the first d
    other columns (of the diabetes data: those most correlated with the target), d being Problem's own default
    unless given.  d and d_out may be left None (or d_out 0) to be derived from the names; if given they
    must agree with them.  Raises DataError.
    """
    d_out = d_out or None
    if targets is None:
        chosen = ("target",) if "target" in table.names else table.names[-1:]
        if d_out is not None and d_out > 1:
            raise DataError(
                f"d_out = {d_out} needs {d_out} target columns, and by default there is only {chosen[0]!r}; "
                f"name {d_out} targets or leave d_out to be 1"
            )
        targets = chosen
    if inputs is None:
        others = [name for name in table.names if name not in targets]
        wanted = min(Problem().d, len(others)) if d is None else d
        if wanted > len(others) or not others:
            raise DataError(
                f"d = {wanted or 1} needs {wanted or 1} input columns, and {table.source} has {len(others)} "
                f"besides {', '.join(targets)}"
            )
        inputs = others[:wanted]
    for letter, role, names, size in (("d", "input", inputs, d), ("d_out", "target", targets, d_out)):
        if not names:
            raise DataError(f"at least one {role} column is needed")
        if size is not None and size != len(names):
            raise DataError(
                f"{letter} = {size} but {len(names)} {role} columns are named ({', '.join(names)}); "
                f"leave {letter} out or make them agree"
            )
    name, times = Counter((*inputs, *targets)).most_common(1)[0]
    if times > 1:
        raise DataError(f"column {name!r} is chosen {times} times; inputs and targets must all differ")
    table.select((*inputs, *targets))
    return Columns(tuple(inputs), tuple(targets))


def _check_rows(table: DataTable, n: int) -> None:
    if table.rows < n + 1:
        raise DataError(
            f"{table.source} has {table.rows} rows, and n = {n} examples and a query need {n + 1}"
        )


def _largest_row(values: Float[np.ndarray, "rows columns"]) -> float:
    return float(np.linalg.norm(values, axis=1).max())


def scale_to_ball(names: Sequence[str], values: Float[np.ndarray, "rows columns"], radius: float) -> Scaling:
    """The scaling that centres columns, equalises their spread and puts every row within 2-norm `radius`.

    Columns are z-scored, then all divided by one number: the largest row norm over the radius.
    """
    # In units of its largest entry no column overflows, and a constant column has an exact centre and spread.
    size = np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    centre = (values / size).mean(axis=0) * size
    spread = ((values - centre) / size).std(axis=0) * size
    z_scores = Scaling(tuple(names), centre, spread)
    return Scaling(tuple(names), centre, spread * (_largest_row(z_scores.apply(values)) / (radius * _MARGIN)))


def scale_to_range(
    names: Sequence[str], values: Float[np.ndarray, "rows columns"], low: float, high: float, radius: float
) -> Scaling:
    """The scaling that takes columns onto [low, high], then shrinks all rows to within 2-norm `radius`.

    Shrinking towards 0 stays in the range because low <= 0 <= high, as for the logistic loss's [0, 1].
    """
    unit = (values.max(axis=0) - values.min(axis=0)) / (high - low)
    centre = np.where(unit > 0, values.min(axis=0) - low * unit, values[0])
    onto = Scaling(tuple(names), centre, unit)
    largest = _largest_row(onto.apply(values))
    return onto if largest <= radius else Scaling(tuple(names), centre, unit * (largest / (radius * _MARGIN)))


def prompts_from_table(
    problem: Problem,
    table: DataTable,
    inputs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    count: int,
    generator: torch.Generator,
    weights: str = "zero",
    device: Device | None = None,
    dtype: torch.dtype = torch.float64,
) -> RealPrompts:
    """`count` prompts, each n examples and a query drawn without replacement from the table's rows.

    Columns are chosen as by `choose_columns` and must number problem.d and problem.d_out.  They are scaled
    over the whole table, so that every row (not only those drawn) obeys B_x and B_y: see `scale_to_ball`, and
    `scale_to_range` for targets of a loss with a `data_range`.  weights: "zero" or "random", as `start`
    takes them.  Raises DataError.
    """
    columns = choose_columns(table, inputs, targets, problem.d, problem.d_out)
    if count < 1:
        raise DataError(f"count = {count}: at least one prompt is needed")
    _check_rows(table, problem.n)
    x_values, y_values = table.select(columns.inputs), table.select(columns.targets)
    x_scaling = scale_to_ball(columns.inputs, x_values, problem.B_x)
    if problem.loss.data_range is None:
        y_scaling = scale_to_ball(columns.targets, y_values, problem.B_y)
    else:
        y_scaling = scale_to_range(columns.targets, y_values, *problem.loss.data_range, problem.B_y)
    rows = torch.stack(
        [
            torch.randperm(table.rows, generator=generator, device=generator.device)[: problem.n + 1]
            for _ in range(count)
        ]
    )
    x = torch.from_numpy(x_scaling.apply(x_values))[rows.cpu()]
    y = torch.from_numpy(y_scaling.apply(y_values))[rows.cpu()]
    w = start(problem, weights, count, generator, device, dtype)
    prompt = Prompt(x[:, :-1], y[:, :-1], x[:, -1], w).to(w.device, dtype)
    return RealPrompts(prompt.check(problem), rows.cpu(), x_scaling, y_scaling)


def names(text: str | None) -> list[str] | None:
    """The column names in a text, separated by commas; None where nothing is given.

    >>> names("age, income"), names(None)
    (['age', 'income'], None)
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def letters_from(
    table: DataTable, letters: Mapping[str, Any], inputs: str | None, targets: str | None
) -> Mapping[str, Any]:
    """The letters with d and d_out taken from the chosen columns, and L = 20 unless L is given.

    Raises DataError.
    """
    columns = choose_columns(table, names(inputs), names(targets), letters.get("d"), letters.get("d_out"))
    n = letters.get("n", Problem().n)
    if isinstance(n, int):  # otherwise the problem refuses it
        _check_rows(table, n)
    return {"L": 20, **letters, "d": columns.d, "d_out": columns.d_out}
