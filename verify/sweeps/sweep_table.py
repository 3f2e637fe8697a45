"""The table of a sweep: typed columns as an Arrow table, Parquet and CSV; equal rows give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file, write_atomically

_INT64 = 2**63


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column of any row, in the order of their first appearance; outcome and reason last."""
    names = dict.fromkeys(name for row in rows for name in row)
    last = [name for name in ("outcome", "reason") if name in names]
    return [name for name in names if name not in last] + last


def arrow_table(rows: Sequence[Mapping[str, Any]], about: Mapping[str, str] | None = None) -> Any:
    """A pyarrow.Table: int64 where all of a column are such numbers, else float64, or texts; null is missing.

    about: texts that the schema carries.  A whole number that float64 does not hold exactly is rounded to the
    nearest, or to inf.
    """
    import pyarrow as pa

    arrays = {}
    for name in columns_of(rows):
        values = [row.get(name) for row in rows]
        some = [value for value in values if value is not None]
        if any(isinstance(value, str) for value in some):
            kind, values = pa.string(), [None if value is None else str(value) for value in values]
        elif all(isinstance(value, int) and abs(value) < _INT64 for value in some):
            kind = pa.int64()
        else:
            kind, values = pa.float64(), [None if value is None else _nearest(value) for value in values]
        arrays[name] = pa.array(values, kind)
    return pa.table(arrays).replace_schema_metadata(dict(about or {}))


def _nearest(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def write_table(table: Any, folder: Path) -> tuple[Path, Path]:
    """Write table.parquet and table.csv below a folder, each as a whole."""
    import pyarrow.csv
    import pyarrow.parquet

    parquet, text = io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    pyarrow.csv.write_csv(table, text)
    paths = folder / "table.parquet", folder / "table.csv"
    for path, held in zip(paths, (parquet, text), strict=True):
        write_atomically(path, held.getvalue())
    return paths


def read_table(path: Path) -> Any:
    """The table of a Parquet or CSV file; raises ProblemError where it is neither."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    with regular_file(path, "table") as file:
        data = file.read()
    try:
        if data[:4] == b"PAR1":
            return pyarrow.parquet.read_table(io.BytesIO(data), use_threads=False)
        # its threads abort a process that ends soon after
        return pyarrow.csv.read_csv(io.BytesIO(data), pyarrow.csv.ReadOptions(use_threads=False))
    except (pa.ArrowException, OSError) as error:
        why = f"it is no table in Parquet or CSV ({' '.join(str(error).split())[:120]})"
        raise ProblemError("table", path, why) from None
