"""Reading a table starts no threads of Arrow that would abort a process which ends at once."""

import subprocess
import sys

import pyarrow as pa

from icgd.verify.sweeps.sweep_table import write_table

COUNTED = """
import sys
from pathlib import Path

import psutil
import pyarrow.parquet

from icgd.verify.sweeps.sweep_table import read_table

before = psutil.Process().num_threads()
assert read_table(Path(sys.argv[1])).num_rows == 2
print(psutil.Process().num_threads() - before)
"""


def test_a_parquet_file_is_read_without_threads(tmp_path):
    path, _ = write_table(pa.table({"a": [1, 2]}), tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", COUNTED, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "0\n"
