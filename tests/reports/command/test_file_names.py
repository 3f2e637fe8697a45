"""No command writes onto a file that it reads or writes itself: one sentence, before any work."""

import inspect
from pathlib import Path
from typing import get_args

from typer.core import TyperGroup
from typer.main import get_command

from icgd import cli
from icgd.commands import COMMANDS
from icgd.findings_command import FINDING
from icgd.judging import JUDGING
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.options import FILES
from icgd.study_command import STUDYING
from icgd.sweep_command import SWEEPING

LOST = "which would be lost; name another"
OWN = "written there by the command itself; name another"
REFUSED = (
    ("build looped --out a.st --json ./a.st", LOST),
    ("plot t.csv --x a --y b --json t.csv", LOST),
    ("plot t.csv --x a --y b --out p.svg --json p.svg", LOST),
    ("judge t.csv --json t.csv", LOST),
    ("judge t.csv --against u.csv --json out/../u.csv", LOST),
    ("check t.csv --weights u.csv --json u.csv", LOST),
    ("verify looped --data t.csv --json t.csv", LOST),
    ("verify --replay t.csv --json t.csv", LOST),
    ("report --from t.csv --json t.csv", LOST),
    ("findings looped --sarif a.json --json a.json", LOST),
    ("findings --letter 2410.11268 --out a.md --json a.md", LOST),
    ("sweep looped --grid T=2 --json out/sweep/table.csv", OWN),
    ("judge t.csv --json out/certificate-judge.json", OWN),
    ("judge t.csv --report --json out/report/report.json", OWN),
    ("audit looped --json out/report/report.json", OWN),
    ("audit looped --no-report --out o --json o/counterexample-lean.json", OWN),
    ("study icl-networks --json out/study/icl-networks-tiny/result.json", OWN),
)


def test_an_output_onto_a_file_of_the_same_command_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "u.csv"):
        Path(name).write_text("a,b\n1,2\n", encoding="utf-8")
    for line, words in REFUSED:
        assert cli.main(line.split()) == cli.BAD_INPUT, line
        told = capsys.readouterr()
        assert told.out == "" and words in told.err and told.err.splitlines()[-1] == told.err.strip(), line
    assert {path.name for path in tmp_path.rglob("*.*")} == {"t.csv", "u.csv"}
    assert Path("t.csv").read_text(encoding="utf-8") == "a,b\n1,2\n"


def test_a_name_a_device_and_a_file_of_ones_own_are_no_such_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for json_to in ("looped", "looped", "/dev/null", "table.csv"):
        assert cli.main(["bounds", "looped", "--json", json_to]) == cli.KEPT
    assert {path.name for path in tmp_path.iterdir()} == {"looped", "table.csv"}
    refuse_own_name("elsewhere/table.csv", Path("out"), ("table.*",))
    refuse_own_name("out/tables.csv", Path("out"), ("table.*",))
    capsys.readouterr()


def test_every_path_of_a_command_is_known_as_one():
    """What an annotation calls a Path is in FILES, under the name by which it is typed."""
    app = get_command(cli._app(None))
    assert isinstance(app, TyperGroup)
    found = set()
    for name, command in (COMMANDS | FINDING | JUDGING | STUDYING | SWEEPING).items():
        typed = {one.name: one.opts[0] for one in app.commands[name].params}
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            kind = (get_args(parameter.annotation) or (parameter.annotation,))[0]
            if Path in (kind, *get_args(kind)):
                found.add(typed[parameter.name])
    assert {"table", "weights", "--weights", "--out", "--from"} <= found <= FILES


def test_a_folder_that_cannot_be_written_is_named_as_it_was_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", encoding="utf-8")
    why = f"{tmp_path / 'file'} is a file, and a folder is needed; name another place"
    for line in ("audit looped --no-report", "sweep looped --grid T=2", "judge x.st", "study icl-networks"):
        assert cli.main([*line.split(), "--out", "file/below"]) == cli.BAD_INPUT, line
        assert capsys.readouterr().err == f"icgd: out = file/below: it cannot be written: {why}\n", line
