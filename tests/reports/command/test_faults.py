"""An error that nobody foresaw: code 70, and a file to report; one in a user's own theorem is the user's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import icgd.__main__
from icgd import cli
from icgd.construct import relu_icgd
from icgd.reports.command import faults
from icgd.verify import catalogue
from icgd.verify.catalogue import theorems

ROOT = Path(__file__).parents[3]


@pytest.fixture
def told(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(faults.tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(list(arguments))
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


def raises(error):
    def function(*_, **__):
        raise error

    return function


def test_a_fault_of_ours_has_a_code_and_a_file_to_report(told, monkeypatch):
    monkeypatch.setattr(relu_icgd, "assemble", raises(KeyError("a\x1b[31m\nb")))
    code, said = told("build", "--N", "1", "--eps", "0.5")
    assert code == cli.FAULT == 70 and said.count("\n") == 1 and said.isascii() and "\x1b" not in said
    assert "internal error, KeyError" in said and "please report it" in said
    text = Path(re.search(r"the file (\S+\.txt)", said)[1]).read_text(encoding="utf-8")
    assert re.search(r"^icgd \d", text, flags=re.MULTILINE) and "icgd build --N 1 --eps 0.5" in text
    assert "Traceback" in text and "python 3" in text and "system " in text


def test_where_no_file_can_be_written_the_traceback_is_printed(told, monkeypatch):
    monkeypatch.setattr(relu_icgd, "assemble", raises(KeyError("a\x1b[31m\nb")))
    monkeypatch.setattr(faults.tempfile, "tempdir", "/nowhere")
    code, said = told("build", "--N", "1", "--eps", "0.5")
    assert code == 70 and "Traceback" in said and "\x1b" not in said and "the lines above" in said


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_want_of_memory_is_no_fault(told, monkeypatch, error):
    monkeypatch.setattr(relu_icgd, "assemble", raises(error))
    code, said = told("build", "--N", "1", "--eps", "0.5")
    assert code == cli.BAD_INPUT and "memory of this machine ran out" in said


def test_an_error_of_somebodys_own_theorem_is_named_with_its_line(told, tmp_path, monkeypatch):
    source = (ROOT / "docs" / "one_step.py").read_text(encoding="utf-8")
    broken = re.sub(r"^(def judge\(.*:\n)", r"\1    1 / 0\n", source, flags=re.MULTILINE)
    monkeypatch.setattr(catalogue, "_known", dict(theorems()))
    monkeypatch.setattr(catalogue, "_files", {})
    broken = broken.replace("one-step", "broken-step")
    (tmp_path / "broken.py").write_text(broken, encoding="utf-8")
    line = broken.splitlines().index("    1 / 0") + 1
    code, said = told("verify", "./broken.py")
    assert code == cli.BAD_INPUT and f"broken.py, line {line}: ZeroDivisionError: division by zero" in said
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)", encoding="utf-8")
    code, said = told("verify", "leaves.py")
    assert code == cli.BAD_INPUT and "it raises SystemExit" in said


def test_an_installation_that_cannot_be_loaded_is_no_failed_claim(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "icgd.cli", None)
    monkeypatch.setattr(sys, "argv", ["icgd", "audit"])
    assert icgd.__main__.main() == cli.FAULT and "install it again" in capsys.readouterr().err


def test_the_version_in_a_closed_pipe_ends_without_a_traceback():
    unread, output = os.pipe()
    os.close(unread)
    ended = subprocess.run([sys.executable, "-m", "icgd", "--version"], stdout=output, stderr=subprocess.PIPE)
    os.close(output)
    assert (ended.returncode, ended.stderr) == (cli.UNREAD, b"")
