"""Where tables come from: a name of bundled data, a file, or memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from icgd.verify.data.file_bytes import read_file
from icgd.verify.data.layout import Layout
from icgd.verify.data.table import DataError, DataTable

_DIABETES = ("bmi", "s5", "bp", "s4", "s3", "s6", "s1", "age", "s2", "sex")
"""The columns of the diabetes data in order of decreasing correlation with its target."""


def load_table(source: str | DataTable, table: str = "") -> DataTable:
    """The table called "diabetes" (bundled with scikit-learn), or in the file of that path.

    A DataTable is returned unchanged.  table: how a text file is laid out, in the words of `Layout`.
    Raises DataError, or ProblemError for an impossible layout.
    """
    if isinstance(source, DataTable):
        return source
    layout = Layout.parse(table)
    if source in BUNDLED:
        if table.strip():
            raise DataError(f"{source} is bundled and needs no --table")
        return BUNDLED[source]()
    # Loading pyarrow takes a while and is needed for a user's own data alone.
    from icgd.verify.data.columnar import is_columnar, read_columnar
    from icgd.verify.data.delimited import read_delimited

    file = read_file(source, " or ".join(BUNDLED))
    return read_columnar(file, layout) if is_columnar(file) else read_delimited(file, layout)


def _diabetes() -> DataTable:
    try:
        from sklearn.datasets import load_diabetes  # a slow import, not needed for a user's own data
    except ImportError:
        raise DataError("the diabetes data come with scikit-learn, which is not installed") from None
    bunch = load_diabetes()
    inputs = bunch.data[:, [bunch.feature_names.index(name) for name in _DIABETES]]
    values = np.column_stack([inputs, bunch.target]).astype(float)
    return DataTable("diabetes", (*_DIABETES, "target"), values, read_as="bundled with scikit-learn")


BUNDLED: Mapping[str, Callable[[], DataTable]] = {"diabetes": _diabetes}
"""Tables known by a name: what reads each."""
