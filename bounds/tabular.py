"""Tables as people take them further: pandas and polars make frames of them by way of Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from icgd.bounds.html_table import html_table
from icgd.bounds.letters import ProblemError

_INT64 = 2**63


class Tabular:
    """What has rows: pandas, polars and pyarrow take it, and notebooks show it.

    A subclass provides `table_rows`, and may provide `table_about`.
    """

    __slots__ = ()

    @property
    def table_rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows as dictionaries; a column that a row does not have is missing there."""
        raise NotImplementedError

    @property
    def table_about(self) -> Mapping[str, str]:
        """Texts that the schema of the Arrow table carries."""
        return MappingProxyType({})

    @property
    def arrow(self) -> Any:
        """A pyarrow.Table, from which `polars.from_arrow` makes a frame."""
        return arrow_table(self.table_rows, self.table_about)

    @property
    def frame(self) -> Any:
        """A pandas.DataFrame; raises ProblemError where pandas is not installed."""
        try:
            return self.arrow.to_pandas()
        except ImportError:
            why = "pandas is not installed; .arrow is a pyarrow.Table, which polars takes, too"
            raise ProblemError("frame", "pandas", why) from None

    def _repr_html_(self) -> str:
        rows = self.table_rows
        names = [name for name in columns_of(rows) if any(row.get(name) not in (None, "") for row in rows)]
        return html_table(names, ([row.get(name) for name in names] for row in rows))


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
