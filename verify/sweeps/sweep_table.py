"""The files of a sweep's table, Parquet and CSV; equal rows give equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file, write_atomically


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
            found = pyarrow.parquet.ParquetFile(io.BytesIO(data), pre_buffer=False).read(use_threads=False)
        else:  # no threads: they abort a process that ends soon after
            found = pyarrow.csv.read_csv(io.BytesIO(data), pyarrow.csv.ReadOptions(use_threads=False))
        list(found.column_names)  # pyarrow decodes them only when they are asked for
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = f"it is no table in Parquet or CSV ({' '.join(str(error).split())[:120]})"
        raise ProblemError("table", path, why) from None
    return found
