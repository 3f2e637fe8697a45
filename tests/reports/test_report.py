"""A report folder has the files of one run only, even if a run is killed while writing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icgd import cli
from icgd.reports import report
from icgd.reports.command.run_files import files_of_run
from icgd.reports.document.document import sha256
from icgd.reports.document.upgrade import load
from icgd.reports.latex.typeset import Typeset

ROOT = Path(__file__).parents[2]
BARE = {
    "command": "icgd",
    "seed": 0,
    "seconds": 0.1,
    "versions": {"icgd": "0"},
    "theorems": {},
    "findings": [],
}


def part(**more):
    return {
        "title": "T", "source": "icgd", "problem": {}, "bounds": {}, "verdicts": [], "seconds": 1.0, **more
    }  # fmt: skip


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A report, and a report.json that differs from it."""
    monkeypatch.setattr(report, "typeset", lambda tex: Typeset(None, "not typeset"))
    report.write_report(BARE | {"verdicts": []}, tmp_path / "out" / "report")
    (tmp_path / "out" / "report" / "mine.txt").write_text("mine")
    (tmp_path / "new.json").write_text(json.dumps(BARE | {"verdicts": [], "seed": 7}))
    return tmp_path


def again(folder):
    return ["report", "--from", str(folder / "new.json"), "--out", str(folder / "out")]


def _as_a_terminal_starts_it():
    """No signal is ignored: a shell's & ignores SIGINT, nohup SIGHUP, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
)
def test_a_killed_run_leaves_the_report_as_it_was(written, sent, code):
    before, programs = snapshot(written / "out"), written / "bin"
    programs.mkdir()
    os.mkfifo(written / "began")
    for name in ("latexmk", "pdflatex"):
        (programs / name).write_text(f"#!/bin/sh\necho $$ > '{written}/began'\nexec sleep 600\n")
        (programs / name).chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "icgd", *again(written)],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_a_terminal_starts_it,
    )
    engine = int((written / "began").read_text())  # waits until the engine runs
    process.send_signal(sent)
    _, said = process.communicate()
    assert process.returncode == code and said == ("icgd: interrupted\n" if code == 130 else "")
    left = {name: data for name, data in snapshot(written / "out").items() if name.startswith("report/")}
    assert left == before
    if sent == signal.SIGKILL:
        os.kill(engine, signal.SIGKILL)
        assert len(os.listdir(written / "out")) == 3  # what it had begun, and its lock
        assert cli.main(again(written)) == cli.KEPT
        assert json.loads((written / "out" / "report" / "report.json").read_text())["seed"] == 7
        assert (written / "out" / "report" / "mine.txt").read_text() == "mine"
    assert os.listdir(written / "out") == ["report"]


def test_a_report_brings_its_own_files_and_drops_those_of_the_run_before(written):
    folder = written / "out" / "report"
    report.write_report(
        BARE | {"verdicts": []}, folder, {"certificate-lean.json": "1", "counterexample-lean.json": "2"}
    )
    assert (folder / "certificate-lean.json").read_text() == "1"
    report.write_report(BARE | {"verdicts": []}, folder, {"certificate-paper.json": "3"})
    assert sorted(path.name for path in folder.glob("c*-*.json")) == ["certificate-paper.json"]
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_report_written_again_keeps_the_files_of_its_run_and_no_others(written):
    folder = written / "out" / "report"
    parts = {
        "a": part(hashes={"certificate": sha256("1"), "weights": "0"}),
        "b": part(counterexample=sha256("2")),
    }
    files = {"certificate-lean.json": "1", "counterexample-lean.json": "2"}
    report.write_report(BARE | {"verdicts": [], "theorems": parts}, folder, files)
    assert files_of_run({"theorems": parts}, folder) == files
    assert cli.main(["report", "--from", str(folder / "report.json"), "--out", str(written / "out")]) == 0
    assert {path.name: path.read_text() for path in folder.glob("c*-*.json")} == files
    (folder / "certificate-lean.json").write_text("of another run")
    assert cli.main(["report", "--from", str(folder / "report.json"), "--out", str(written / "out")]) == 0
    assert [path.name for path in folder.glob("c*-*.json")] == ["counterexample-lean.json"]


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(written, capsys):
    shutil.rmtree(written / "out" / "report")
    (written / "out" / "report").write_text("mine")
    assert cli.main(["audit", "--out", str(written / "out")]) == cli.BAD_INPUT
    assert capsys.readouterr().err == f"icgd: {written}/out/report: it is not a folder\n"
    assert (written / "out" / "report").read_text() == "mine"


def test_a_report_on_a_file_whose_name_is_no_text_is_read_back(written):
    folder = written / "out" / "report"
    report.write_report(BARE | {"verdicts": [], "command": "icgd --data caf\udce9\x1b.csv"}, folder)
    assert load(folder / "report.json")["command"] == "icgd --data caf\\udce9\x1b.csv"
    assert r"caf\udce9" in (folder / "report.html").read_text(encoding="utf-8")
