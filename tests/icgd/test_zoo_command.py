"""`icgd zoo` and every command of docs/zoo.md."""

import re
import shlex
from pathlib import Path

from icgd import cli
from icgd.verify.zoo.built_model import model_places
from icgd.verify.zoo.models import ZOO
from icgd.verify.zoo.sizes import zoo_sizes
from tests.closed_schemas import as_documented

PAGE = (Path(__file__).parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    for line in re.findall(r"^    icgd (.*?)(?: +# .*)?$", PAGE, flags=re.MULTILINE):
        code = cli.main(shlex.split(line))
        captured = capsys.readouterr()
        assert code == cli.KEPT, (line, captured)
        told.append(captured.out)
    listed, one, built, checked = told
    assert all(name in listed for name in ZOO)
    assert "│ 3     │ 2 heads  │ V2 s2 one" in one and "wrote" not in one
    assert checked.startswith("accepted") and "is its program, entry by entry" in checked.replace("\n", " ")
    files = re.findall(r"^wrote (.*)$", built, flags=re.MULTILINE)
    assert sorted(Path(file).relative_to("softmax-1").as_posix() for file in files) == sorted(
        path.relative_to(tmp_path / "softmax-1").as_posix()
        for path in (tmp_path / "softmax-1").rglob("*.*")
        if path.is_file()
    )
    folder = Path("softmax-1")
    assert set(map(Path, files)) == {folder / "README.md", *model_places(ZOO["softmax-1"], folder)}
    assert {Path(file).name for file in files} >= {"certificate.json", "forward.py", "lens_model.py"}


def test_the_json_of_the_zoo(capsys, tmp_path):
    assert cli.main(["zoo", "--json", "-"]) == cli.KEPT
    found = as_documented("zoo", capsys.readouterr().out)["models"]
    assert [one["name"] for one in found] == list(ZOO)
    assert [one["error"] for one in found] == [size.error for size in zoo_sizes().values()]
    assert cli.main(["zoo", "looped", "--out", str(tmp_path / "made"), "--json", "-"]) == cli.KEPT
    found = as_documented("zoo", capsys.readouterr().out)
    assert found["letters"] == {"d": 2, "n": 8} and found["exact"] == "looped/steps" and found["layers"] == 1
    assert [(slot["name"], slot["start"], slot["stop"]) for slot in found["slots"]] == [
        ("x", 0, 2),
        ("y", 2, 3),
    ]
    assert all(Path(file).is_file() for file in found["files"])


def test_what_the_zoo_refuses(capsys, tmp_path):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "transformer_lens").write_text("kept", encoding="utf-8")
    code = str(tmp_path / "made" / "transformer_lens" / "lens_model.py")
    for words, said in (
        (["gpt2"], "model = gpt2: the zoo has softmax-1"),
        (["--out", str(tmp_path / "made")], "name the model that is to be built there"),
        (["looped", "--out", str(tmp_path / "file")], str(tmp_path / "file")),
        (["looped", "--out", str(taken)], str(taken)),
        (["looped", "--out", str(tmp_path / "made"), "--json", code], "written there by the command itself"),
    ):
        assert cli.main(["zoo", *words]) == cli.BAD_INPUT
        captured = capsys.readouterr()
        assert said in captured.err and len(captured.err.splitlines()) == 1 and not captured.out
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept" and not (tmp_path / "made").exists()
    assert [one.name for one in taken.iterdir()] == ["transformer_lens"]
