"""Tables in Parquet and Arrow files, whose columns have names and types."""

from __future__ import annotations

from typing import Any

import numpy as np

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import printable
from icgd.construct.machine.memory import available_bytes
from icgd.verify.data.cells import EXACT, ColumnCells, merged, read_cells, table_of_columns
from icgd.verify.data.file_bytes import FileBytes
from icgd.verify.data.layout import Layout
from icgd.verify.data.table import DataError, DataTable, reads_as_number

_PARQUET, _ARROW, _STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"


def is_columnar(file: FileBytes) -> bool:
    """Whether the file is Parquet or Arrow (Feather)."""
    return file.content.startswith((_PARQUET, _ARROW, _STREAM))


def read_columnar(file: FileBytes, layout: Layout) -> DataTable:
    """The table in a Parquet or Arrow file.  Raises DataError for a broken one."""
    import pyarrow as pa

    if layout.of_text:
        raise ProblemError("table", layout.of_text[0], f"it is about text files, and {file.source} is none")
    try:
        table, kind = _opened(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{file.source} is a broken Parquet or Arrow file: {why}") from None
    if not table.num_rows or not table.num_columns:
        raise DataError(f"{file.source} has no rows")
    columns = (table.column(k).combine_chunks() for k in range(table.num_columns))
    plain = (one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in columns)
    return table_of_columns(
        file.source,
        tuple(map(printable, table.column_names)),
        (_numbers(column, layout) for column in plain),
        layout,
        rows=table.num_rows,
        sha256=file.sha256,
        read_as=kind,
    )


def _opened(file: FileBytes) -> tuple[Any, str]:
    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet

    buffer = pa.BufferReader(file.content)
    if file.content.startswith(_PARQUET):
        parquet = pyarrow.parquet.ParquetFile(buffer)
        about = parquet.metadata
        size = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
        needed = 3 * size + 16 * about.num_rows * about.num_columns
        if needed > available_bytes():
            raise DataError(
                f"{file.source} would take about {bytes_text(needed)}; keep only the columns and rows needed"
            )
        return parquet.read(), "Parquet"
    if file.content.startswith(_ARROW):
        return pyarrow.ipc.open_file(buffer).read_all(), "Arrow"
    return pyarrow.ipc.open_stream(buffer).read_all(), "Arrow stream"


def _numbers(column: Any, layout: Layout) -> ColumnCells:
    """The numbers of a typed column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        text = pc.fill_null(pc.cast(column, pa.string()), "")
        return read_cells(text, layout, "")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        nothing = np.full(len(column), np.nan)
        why = f"a column of type {kind} has no numbers; choose another one"
        return ColumnCells(nothing, (0, why), None, (), words=True)
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False).copy()
    known = {word: float(word) for word in layout.na_values if reads_as_number(word)}
    met = frozenset(word for word, number in known.items() if (values == number).any())
    values[np.isin(values, list(known.values()))] = np.nan
    missing = np.isnan(values)
    gap = (int(missing.argmax()), "the value is missing") if missing.any() else None
    fault = (int(np.isinf(values).argmax()), "it is infinite") if np.isinf(values).any() else None
    large, said = np.abs(values) >= EXACT, list[str]()
    if large.any() and not pa.types.is_floating(kind):
        whole = pc.filter(column, pa.array(large)).to_pylist()
        said = merged([int(one) for one in whole], values[large])
    return ColumnCells(values, fault, gap, tuple(said), met=met)
