"""The first page of help is that of the whole application, and needs none of its libraries."""

import subprocess
import sys

import icgd.__main__
from icgd import cli

SCRIPT = """
import sys
from icgd.__main__ import main
for words in ([], ["--help"]):
    sys.argv = ["icgd", *words]
    assert main() == 0
print([name for name in ("torch", "sympy", "numpy", "icgd.cli") if name in sys.modules])
"""


def test_the_first_page_names_every_command_as_its_docstring_does(capsys, monkeypatch):
    pages = []
    for words, run in ((["--help"], icgd.__main__.main), ([], icgd.__main__.main), ([], cli.main)):
        monkeypatch.setattr(sys, "argv", ["icgd", *words])
        assert run() == cli.KEPT
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1] == pages[2] and "  judge  " in pages[0]


def test_the_first_page_is_printed_without_the_libraries():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]" and lines.count("Usage: icgd [OPTIONS] COMMAND [ARGS]...") == 2
