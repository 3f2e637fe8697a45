"""Tables: types of columns, missing values, numbers beyond int64, and the same bytes for the same rows."""

import pyarrow as pa
import pytest

from icgd.bounds.letters import ProblemError
from icgd.bounds.tabular import arrow_table, columns_of
from icgd.verify.sweeps.sweep_table import read_table, write_table

ROWS = [
    {"reason": "", "N": 1, "heads": 3, "wide": 2**80, "huge": 1, "x": 0.1, "text": 'a "b", c\nd'},
    {"N": 2, "heads": None, "wide": 5, "huge": 10**400, "x": 2, "later": 7, "reason": "no"},
]


def test_columns_have_one_type_each_and_read_back(tmp_path):
    table = arrow_table(ROWS, {"theorem": "demo"})
    assert columns_of(ROWS) == ["N", "heads", "wide", "huge", "x", "text", "later", "reason"]
    kinds = {field.name: field.type for field in table.schema}
    assert kinds["N"] == kinds["heads"] == pa.int64() and kinds["wide"] == kinds["x"] == pa.float64()
    assert table["wide"].to_pylist() == [2.0**80, 5.0] and table["huge"].to_pylist() == [1.0, float("inf")]
    assert table["heads"].to_pylist() == [3, None]
    paths = write_table(table, tmp_path)
    before = [path.read_bytes() for path in paths]
    write_table(arrow_table(ROWS, {"theorem": "demo"}), tmp_path)
    assert [path.read_bytes() for path in paths] == before
    assert read_table(paths[0]).equals(table)
    again = read_table(paths[1])
    for name in ("N", "heads", "wide", "x", "later"):
        assert again[name].to_pylist() == table[name].to_pylist()


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "no.parquet"
    for held in (b"PAR1 and nothing more", "größe,y\n1,2\n".encode("latin-1"), b""):
        path.write_bytes(held)
        with pytest.raises(ProblemError, match="it is no table in Parquet or CSV"):
            read_table(path)
    with pytest.raises(ProblemError, match="there is no such file"):
        read_table(tmp_path / "missing.csv")
