"""Terminal output: control characters have no effect, and a closed or full stream gives no traceback."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.markup import escape
from rich.table import Table

from icgd import cli
from icgd.reports.command.console import Terminal
from icgd.verify.data.table import DataError

HARM = "\x1b[31m\x9b2J\r\n\x07\u202e\udc9b :skull: [bold]"
ROOT = Path(__file__).parents[3]

FORKS = """
import gc, json, os, sys
from icgd import cli

def prepare(kind):
    if kind == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    elif kind == "unread":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    elif kind == "closed":
        os.close(1)
        sys.stdout = sys.__stdout__ = None
    elif kind == "deaf":
        os.close(2)
        sys.stderr = sys.__stderr__ = None

gc.freeze()  # else every child visits all modules as it ends
for number, (kind, arguments) in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if not child:
        os.dup2(os.open(f"{sys.argv[2]}/{number}", os.O_WRONLY | os.O_CREAT), 2)
        prepare(kind)
        sys.exit(cli.main(arguments))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.rename(f"{sys.argv[2]}/{number}", f"{sys.argv[2]}/{number}-{code}")
"""
BOUNDS = ["bounds", "preconditioned"]
CASES = [
    ("unread", BOUNDS),
    ("unread", [*BOUNDS, "--json", "-"]),
    ("unread", ["--help"]),
    ("full", BOUNDS),
    ("full", [*BOUNDS, "--json", "-"]),
    ("full", ["--help"]),
    ("closed", BOUNDS),
    ("closed", [*BOUNDS, "--json", "-"]),
    ("closed", [*BOUNDS, "--json", "/dev/full"]),
    ("deaf", ["bounds", "--eps", "nan"]),
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """How the command ends, by its case: its exit code, and what stands on the error stream after all."""
    folder = tmp_path_factory.mktemp("errors")
    words = [sys.executable, "-c", FORKS, json.dumps(CASES), str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found = {}
    for path in folder.iterdir():
        number, code = map(int, path.name.split("-"))
        found[CASES[number][0], *CASES[number][1]] = code, path.read_text()
    return found


def test_no_text_is_obeyed_wherever_it_stands():
    shown = io.StringIO()
    console = Terminal(file=shown, width=200)
    table = Table(escape(HARM), title=escape(HARM), caption=escape(HARM))
    table.add_row(escape(HARM))
    console.print(escape(HARM), table)
    console.print(HARM, markup=False, highlight=False, soft_wrap=True)
    text = shown.getvalue()
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count(r"\x1b[31m\x9b2J\r\n\x07\u202e\udc9b :skull: [bold]") == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ["bounds", "--activation", HARM],
        ["bounds", HARM],
        [HARM],
        ["bounds", f"--{HARM}"],
        ["audit", "--data", HARM],
        ["audit", "--start", HARM],
        ["check", HARM],
        ["verify", "--replay", HARM],
        ["report", "--from", HARM],
        ["findings", HARM],
        ["bounds", "--json", f"/dev/null/{HARM}"],
    ],
)
def test_no_argument_is_obeyed_in_the_line_that_refuses_it(arguments, capsys):
    assert cli.main(arguments) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("icgd: ") and said.endswith("\n") and said[:-1].isprintable()


def test_a_hostile_table_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    table = tmp_path / "a.csv"
    table.write_text('a,b,"\x1b[31m\x9b\u202e"\n1,2,3%\n', encoding="utf-8")
    assert cli.main(["audit", "--data", str(table)]) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert said[:-1].isprintable() and r"\x1b[31m" in said

    def harmed(*_, **__):
        raise DataError(HARM)

    monkeypatch.setattr("icgd.verify.data.descent_rows.load_table", harmed)
    assert cli.main(["audit", "--data", str(table)]) == cli.BAD_INPUT
    assert capsys.readouterr().err[:-1].isprintable()


def test_a_hostile_certificate_is_refused_without_being_obeyed(tmp_path, capsys):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"format": "\x1b[31m", "construction": "\x1b]0;\x07\n\u202e"}))
    assert cli.main(["check", str(path)]) in (cli.FAILED, cli.BAD_INPUT)
    captured = capsys.readouterr()
    assert all(line.isprintable() for line in (captured.out + captured.err).split("\n"))


def test_an_old_locale_is_no_obstacle():
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    script = r"""
from icgd import cli
from icgd.reports.command.console import Terminal
print(cli.main(["findings", "local-minimum"]), cli.main(["audit", "--data", "n\u00f6"]))
Terminal().print("\u00e9\u2264\U0001f600")
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | plain, capture_output=True)
    assert done.returncode == 0 and done.stdout.isascii() and done.stderr.isascii()
    assert b"435/784" in done.stdout and b"0 2\n" in done.stdout and done.stderr.count(b"\n") == 1


def test_a_pipe_that_nobody_reads_ends_the_command_without_a_word(ended):
    assert [ended[case] for case in ended if case[0] == "unread"] == [(cli.UNREAD, "")] * 3


def test_a_full_disk_is_one_line(ended):
    for code, said in (ended[case] for case in ended if case[0] == "full"):
        assert code == cli.BAD_INPUT and said == "icgd: the output: No space left on device\n"


def test_a_closed_standard_output_is_no_traceback(ended):
    assert ended["closed", *BOUNDS] == (cli.KEPT, "")
    expected = cli.BAD_INPUT, "icgd: the standard output: it is closed\n"
    assert ended["closed", *BOUNDS, "--json", "-"] == expected
    expected = cli.BAD_INPUT, "icgd: json = /dev/full: No space left on device\n"
    assert ended["closed", *BOUNDS, "--json", "/dev/full"] == expected


def test_nobody_to_be_told_of_an_error_is_no_traceback(ended):
    assert ended["deaf", "bounds", "--eps", "nan"] == (cli.BAD_INPUT, "")
