"""`icgd study` and every command of docs/studies.md, on the smallest models; what it refuses."""

import csv
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from icgd.cli import main
from icgd.verify.study import discrepancy, icl_networks, network_judging
from icgd.verify.study.network_scales import SCALES
from icgd.verify.study.study import StudyOptions
from tests.closed_schemas import as_documented
from tests.verify.study.test_train_cells import SMALLEST

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    icgd (.*?)(?: +# (.*))?$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def smallest(monkeypatch):
    monkeypatch.setitem(SCALES, "tiny", SMALLEST)
    monkeypatch.setattr(network_judging, "SLOW", ("network, best epoch", "network, last epoch"))
    monkeypatch.setattr(discrepancy, "DESCENT_STEPS", (1, 5))


def test_a_study_from_its_first_step_to_its_files(smallest, tmp_path, capsys):
    """Stopped at once, it goes on; run again, it computes nothing twice and says the same."""
    command = ["study", "icl-networks", "--out", str(tmp_path), "--json", str(tmp_path / "x.json")]
    assert main([*command, "--minutes", "1e-9"]) == 0
    assert "not finished: run the same command again" in capsys.readouterr().err
    as_documented("study", (tmp_path / "x.json").read_text(encoding="utf-8"))
    folder = tmp_path / "icl-networks-tiny"
    whole = icl_networks.estimated_networks(StudyOptions(out=tmp_path)).stages
    with pytest.MonkeyPatch.context() as later:  # time ends when the second piece would begin
        clock = iter((0.0, 1e9))
        later.setattr(icl_networks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        assert main([*command, "--minutes", "1000"]) == 0
    assert "stopped while judging" in capsys.readouterr().err and len([*folder.glob("judged/*.json")]) == 1
    left = icl_networks.estimated_networks(StudyOptions(out=tmp_path)).stages
    assert whole[0].seconds > left[0].seconds == 0 and sum(one.seconds for one in whole[1:]) > sum(
        one.seconds for one in left[1:]
    )
    assert main(command) == 0
    assert icl_networks.estimated_networks(StudyOptions(out=tmp_path)).seconds == 0
    document = as_documented("study", (folder / "result.json").read_text(encoding="utf-8"))
    assert document["finished"] and document["settings"]["steps"] == [12]
    with (folder / "result.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {row["kind"] for row in rows}
    assert kinds == {"trained", "trivial", "regression", "network", "published"}
    trained = [row for row in rows if row["kind"] == "trained" and row["examples"] == "4"]
    assert len(trained) == 2 * (4 + 6)
    slow = {row["condition"] for row in rows if row["predictor"] == "network, last epoch"}
    assert slow == {"share 1.0"}
    for row in trained:
        assert float(row["pooled low"]) <= float(row["pooled"]) <= float(row["pooled high"])
    titles = [one["title"] for one in document["tables"]]
    assert titles[0] == "pooled R^2 at 3 examples, inputs as in training"
    assert any(row[0] == "relu transformer, published" for row in document["tables"][0]["rows"])
    models = {row[0] for row in document["tables"][-1]["rows"]}
    assert models == {"softmax-3", "relu-3", "softmax-4", "relu-4"}
    dots = [one for figure in document["figures"] for one in figure["curves"] if one["published"]]
    assert dots and all(not one["low"] for one in dots)
    told = capsys.readouterr()
    assert "nearest to" in told.out
    few = [one for one in document["said"] if "On the first 4 of 6 prompts, at 1 and 3 examples" in one]
    assert len(few) == 1 and '"network, last epoch"' in few[0]
    lines = {one["label"] for figure in document["figures"] for one in figure["curves"]}
    assert {"ridge", "network, best epoch, 4 prompts"} <= lines and "network, best epoch" not in lines
    prompts = {row[0]: row[1] for row in document["tables"][0]["rows"]}
    listed = {f"{name}, 4 prompts" if few == "4" else name for name, few in prompts.items()}
    assert listed == {one["label"] for one in document["figures"][0]["curves"]}
    assert (prompts["ridge"], prompts["network, last epoch"]) == ("6", "4")
    results = [(folder / name).read_bytes() for name in ("result.json", "result.csv")]
    kept = [*folder.glob("*.npz"), *folder.glob("judged/*.json")]
    written = {path: path.stat().st_mtime_ns for path in kept}
    assert len(kept) > 50 and main([*command, "--as-trained"]) == 0
    assert written == {path: path.stat().st_mtime_ns for path in kept}
    assert results == [(folder / name).read_bytes() for name in ("result.json", "result.csv")]


@pytest.mark.slow
def test_the_commands_of_the_page_run(smallest, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 9
    for line, said in COMMANDS:
        assert main(shlex.split(line)) == (2 if "exit code 2" in said else 0), line
    told = capsys.readouterr()
    assert "the scales of icl-networks are tiny, small, paper" in told.err
    assert "Nothing is proved: a predictor" in told.out


def test_what_a_study_refuses(smallest, tmp_path, capsys):
    where = ["--out", str(tmp_path)]
    for words, said in (
        (["nothing"], "the studies are icl-networks"),
        (["icl-networks", "--scale", "huge"], "the scales of icl-networks are tiny, small, paper"),
        (["icl-networks", "--with", "depth=3"], "what can be changed in icl-networks is blocks, tokens"),
        (["kernel-matching", "--with", "blocks=3"], "what can be changed in kernel-matching is nothing"),
        (["icl-networks", "--with", "blocks"], "words such as blocks=4 are needed"),
        (["icl-networks", "--with", "blocks=many"], "with blocks = many: a number is needed"),
        (["icl-networks", "--with", "biases=3"], "with biases = 3: yes or no is needed"),
        (["icl-networks", "--with", "tokens=words"], "tokens = words: the known ones are interleaved, joint"),
        (["icl-networks", "--minutes", "0"], "a positive number of minutes is needed"),
        (["icl-networks", "--seed", "-1"], "a whole number from 0"),
        (["icl-networks", "--as-trained"], "there is no such file"),
        (["icl-networks", "--scale", "paper"], "at most a day is allowed"),
        (["icl-networks", "--device", "cuda"] if not torch.cuda.is_available() else ["x"], "cuda"),
    ):
        assert main(["study", *words, *where]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error or words == ["x"], error
    if sys.platform == "linux":
        assert main(["study", "kernel-matching", "--out", "/proc/x"]) == 2
        said = capsys.readouterr()
        assert "it cannot be written" in said.err and not said.out  # before any work
    assert main(["study"]) == 0
    assert "icl-networks" in capsys.readouterr().out
