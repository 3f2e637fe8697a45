"""`icgd export`: every command and piece of Python of docs/exports.md, and what it refuses."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from icgd import cli
from icgd.bounds.looped import LoopedProblem
from icgd.construct import looped
from tests.closed_schemas import as_documented

PAGE = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    icgd (.*?)(?: +# .*)?$", PAGE, flags=re.MULTILINE)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def command(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        code, out, err = command(capsys, *shlex.split(line))
        assert code == cli.KEPT, (line, out, err)
    monkeypatch.chdir(tmp_path / "plain")
    monkeypatch.syspath_prepend(tmp_path / "plain")
    monkeypatch.delitem(sys.modules, "forward", raising=False)
    scope = {}
    exec(PYTHON[0], scope)
    assert scope["w_after"].shape == scope["w"].shape
    assert (scope["w_after"] - scope["w"]).abs().max() > 1e-4
    monkeypatch.chdir(tmp_path)
    exec(PYTHON[1], scope)
    assert scope["after"].shape == (1, 9, 32)


@pytest.fixture
def loop(tmp_path):
    looped.build(LoopedProblem(d=2, n=3)).save(tmp_path / "loop.safetensors")
    return tmp_path / "loop.safetensors"


def test_the_json_of_an_export(capsys, tmp_path, loop, monkeypatch):
    arguments = [str(loop), "--to", "torch", "--out", str(tmp_path / "made")]
    code, out, _ = command(capsys, "export", *arguments, "--json", "-")
    found = as_documented("export", out)
    assert code == cli.KEPT and found["format"] == "torch" and found["kind"] == "linear"
    assert [Path(one).name for one in found["files"]] == ["model.safetensors", "forward.py"]
    monkeypatch.chdir(tmp_path / "made")
    assert command(capsys, "export", str(loop), "--to", "torch", "--out", ".")[0] == cli.KEPT


@pytest.mark.parametrize(
    ("of", "to", "out", "said"),
    [
        ("loop", "tensorflow", "made", "to = tensorflow: the formats are torch"),
        ("loop", "torch", "file", "it is a file, and this format is a folder"),
        ("loop", "torch", "/", "out = /: this is where all files of the machine are"),
        ("none", "torch", "made", "there is no such file"),
        ("loop", "onnx", ".onnx", "the name of such a file ends in .onnx, such as step.onnx"),
        ("other", "torch", "made", "it holds bias; what `icgd build` writes is needed"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(of, to, out, said, capsys, tmp_path, loop):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    save_file({"bias": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "model.safetensors").write_bytes(loop.read_bytes())
    path = tmp_path / f"{of}.safetensors"
    code, printed, err = command(capsys, "export", str(path), "--to", to, "--out", str(tmp_path / out))
    assert code == cli.BAD_INPUT and said in err and len(err.splitlines()) == 1 and not printed
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept" and not (tmp_path / "made").exists()


def test_weights_are_never_written_over(capsys, tmp_path, loop):
    held, kept = tmp_path / "model.safetensors", loop.read_bytes()
    held.write_bytes(kept)
    (tmp_path / "same").symlink_to(tmp_path)
    (tmp_path / "linked").mkdir()
    os.link(held, tmp_path / "linked" / "model.safetensors")
    for to, out in [(to, out) for to in ("torch", "transformer-lens") for out in ("", "same", "linked")]:
        code, printed, err = command(capsys, "export", str(held), "--to", to, "--out", str(tmp_path / out))
        assert code == cli.BAD_INPUT and "over themselves; name another place" in err and not printed
    made = ["--out", str(tmp_path / "made"), "--json", str(tmp_path / "made" / "forward.py")]
    code, _, err = command(capsys, "export", str(held), "--to", "torch", *made)
    assert code == cli.BAD_INPUT and "a file of this name is written there by the command itself" in err
    code, _, err = command(capsys, "export", str(held), "--to", "torch", "--out", "/proc/made")
    assert (
        code == cli.BAD_INPUT
        and "out = /proc/made: it cannot be written: no file can be made in /proc" in err
    )
    assert held.read_bytes() == kept == (tmp_path / "linked" / "model.safetensors").read_bytes()
    names = {one.name for one in tmp_path.rglob("*")}
    assert names == {"loop.safetensors", "model.safetensors", "same", "linked"}
