"""The command line: the keys of its JSON, its exit codes, and a one-line message for every bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from icgd import cli
from icgd.construct.machine import memory
from icgd.reports import report
from icgd.reports.latex.typeset import Typeset
from icgd.verify.catalogue import theorems
from tests.closed_schemas import as_documented

QUICK = ["--samples", "500", "--effort", "0.02"]


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_audit_of_real_data_prints_every_key_of_the_contract(capsys):
    code, out, _ = run(
        capsys, "audit", "relu-icgd", "--data", "diabetes", "--json", "-", *QUICK, "--no-report"
    )
    found = as_documented("audit", out)
    assert code == cli.KEPT
    assert {"problem", "construction", "census", "bounds", "step_error"} <= set(found)
    assert {"verdicts", "versions", "seed", "seconds"} <= set(found)
    counts = {"layers", "sublayers", "heads", "width", "mlp_width", "parameters", "norm"}
    assert counts <= set(found["census"])
    error = found["step_error"]
    assert (
        0 < error["sampled"] <= error["attacked"] <= error["certified"] == error["bound"] <= error["allowed"]
    )
    assert all({"expression", "value"} <= set(bound) for bound in found["bounds"].values())
    assert all({"claim", "verdict", "evidence"} <= set(verdict) for verdict in found["verdicts"])
    assert found["problem"]["L"] == 20 == len(found["trajectory"]["errors"])
    assert found["trajectory"]["source"] == "diabetes"
    losses = found["trajectory"]["loss"], found["trajectory"]["exact_loss"]
    assert losses[0][0] == losses[1][0] and losses[0][-1] < losses[0][0] and losses[1][-1] < losses[1][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--construction", "paper", "--N", "2"],
        ["--construction", "exact", "--activation", "relu"],
        ["--loss", "logistic", "--output", "linear", "--d_out", "1", "--start", "zero"],
        ["--activation", "t/(1+exp(-t))", "--loss", "huber", "--eps", "0.2"],
    ],
)
def test_audits_keep_their_claims(capsys, options):
    code, out, _ = run(capsys, "audit", *options, "--json", "-", *QUICK, "--no-report")
    error = json.loads(out)["step_error"]
    assert code == cli.KEPT
    bound = error["bound_off_margin"] if "exact" in options else error["certified"]
    assert error["sampled"] <= error["attacked"] <= bound <= error["allowed"]


def test_tables_for_a_person(capsys):
    code, out, _ = run(capsys, "audit", "--N", "1", *QUICK, "--no-report", "-v")
    assert code == cli.KEPT
    assert all(
        word in out for word in ("sampled", "attacked", "certified", "allowed", "relu-icgd/lean/step-error")
    )
    assert "fewest" in out and "exact loss" in out


def test_bounds_and_build(capsys, tmp_path):
    code, out, _ = run(capsys, "bounds", "relu-icgd", "--N", "2", "--json", "-")
    found = json.loads(out)
    assert code == 0 and found["bounds"]["relu-icgd/heads"]["value"] > 1e6
    assert found["plan"]["units"] >= found["plan"]["fewest_units"] - 100 and found["grids"] == []
    code, out, _ = run(capsys, "bounds", "relu-icgd", "--N", "2", "--construction", "paper", "--json", "-")
    (table,) = json.loads(out)["grids"]
    assert code == 0 and ["R_1", 1, 2] in [row[:3] for row in table["rows"]]
    target = tmp_path / "folder" / "model.safetensors"
    code, out, _ = run(capsys, "build", "relu-icgd", "--N", "2", "--out", str(target))
    assert code == 0 and target.stat().st_size > 1000 and "mlp width" in out
    assert [path.name for path in target.parent.iterdir()] == ["model.safetensors"]


BAD = [
    (["audit", "--eps", "nan"], "eps = nan"),
    (["audit", "--eps", "-1"], "eps = -1.0"),
    (["audit", "--eta", "inf"], "eta = inf"),
    (["audit", "--eta", "0"], "eta = 0.0"),
    (["audit", "--B_x", "-2"], "B_x = -2.0"),
    (["audit", "--N", "0"], "N = 0"),
    (["audit", "--K", "0"], "K = 0"),
    (["audit", "--n", "-3"], "n = -3"),
    (["audit", "--N", "two"], "N = two: a whole number is needed"),
    (["audit", "--activation", "swosh"], "neither one of tanh"),
    (["audit", "--activation", "relu"], "--construction exact"),
    (["audit", "--activation", "Abs(t)"], "kink"),
    (["audit", "--activation", "1/t"], "no finite enclosure"),
    (["audit", "--activation", "sqrt(t)"], "no finite enclosure"),
    (["audit", "--loss", "hinge"], "neither one of squared"),
    (["audit", "--output", "odd"], "activated or linear"),
    (["audit", "--construction", "huge"], "lean or paper or exact"),
    (["audit", "--construction", "exact"], "--activation relu"),
    (["audit", "nonsense"], "the theorems are relu-icgd"),
    (["audit", "--device", "cuda:99"], "CUDA"),
    (["audit", "--device", "abacus"], "cpu, cuda"),
    (["audit", "--samples", "0"], "samples = 0"),
    (["audit", "--effort", "nan"], "effort = nan"),
    (["audit", "--start", "middle"], "zero or random"),
    (["audit", "--inputs", "a"], "--data, which is missing"),
    (["audit", "--data", "missing.csv"], "missing.csv"),
    (["audit", "--data", "diabetes", "--inputs", "bmi,none"], "no column 'none'"),
    (["audit", "--data", "diabetes", "--n", "442"], "442 rows"),
    (["audit", "--K", "1000000"], "TiB"),
    (["build", "--K", "300", "--d", "300", "--out", "x.safetensors"], "would take"),
    (["bounds", "--eps", "1e-11"], "raise eps"),
    (["verify", "--replay", "missing.json"], "replay"),
    (["frobnicate"], "frobnicate"),
    (["audit", "--frobnicate", "1"], "--frobnicate"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_gets_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    if "--eps 1e-11" in " ".join(arguments):
        monkeypatch.setattr(memory, "available_bytes", lambda: 10**15)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (cli.BAD_INPUT, "")
    assert err.startswith("icgd: ") and err.count("\n") == 1 and words in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cell", "words"), [("", "is empty"), ("many", "is not a number"), ("inf", "line 3")]
)
def test_a_bad_cell_is_named(capsys, tmp_path, cell, words):
    table = tmp_path / "table.csv"
    table.write_text(f"a,b\n1,2\n{cell},3\n")
    code, _, err = run(capsys, "audit", "--data", str(table), "--inputs", "a", "--targets", "b", "--n", "1")
    assert code == 2 and "'a'" in err and words in err


def test_a_csv_of_ones_own(capsys, tmp_path):
    table = tmp_path / "table.csv"
    rows = "\n".join(f"{i},{i * i % 7},{i % 3},x" for i in range(40))
    table.write_text("age,income,spending,name\n" + rows)
    chosen = ["--inputs", "age,income", "--targets", "spending", "--L", "3", "--json", "-"]
    code, out, _ = run(capsys, "audit", "--data", str(table), *chosen, *QUICK, "--no-report")
    found = json.loads(out)
    assert code == 0 and (found["problem"]["d"], found["problem"]["d_out"]) == (2, 1)
    assert len(found["trajectory"]["loss"]) == 4


def test_ctrl_c_leaves_no_partial_file(capsys, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("icgd.construct.block.weights.safetensors.torch.save", interrupted)
    code, _, err = run(capsys, "build", "--N", "1", "--out", str(tmp_path / "model.safetensors"))
    assert code == cli.INTERRUPTED and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_only_commands_that_exist(capsys):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    lines = re.findall(r"^    icgd ([a-z]+) (.*?)(?:  +#.*)?$", text, flags=re.MULTILINE)
    assert len(lines) >= 4
    for command, options in lines:
        _, out, _ = run(capsys, command, "--help")
        assert all(option in out for option in re.findall(r"--\w+", options))


def test_importing_bounds_brings_no_torch():
    script = "import sys, icgd.bounds.step_error.plan, icgd.bounds.relu_icgd; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("theorem", ["looped", "preconditioned", "functional"])
def test_the_other_theorems_by_the_same_commands(theorem, capsys):
    code = cli.main(["verify", theorem, "--json", "-"])
    found = as_documented("verify", capsys.readouterr().out)
    assert code == cli.KEPT and found["theorem"] == theorem
    for key in ("problem", "census", "bounds", "verdicts", "versions", "seed", "seconds"):
        assert key in found
    assert {v["verdict"] for v in found["verdicts"]} >= {"proved", "held"}


def test_a_letter_of_another_theorem_is_refused_in_one_line(capsys):
    assert cli.main(["verify", "looped", "--kernel", "relu"]) == cli.BAD_INPUT
    assert cli.main(["build", "convergence"]) == cli.BAD_INPUT
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "kernel = relu" in lines[0] and "theorem = convergence" in lines[1]


@pytest.mark.parametrize("theorem", theorems())
def test_bounds_of_every_theorem(theorem, capsys):
    assert cli.main(["bounds", theorem, "--json", "-"]) == cli.KEPT
    found = as_documented("bounds", capsys.readouterr().out)
    assert all(key.startswith(f"{theorem}/") for key in found["bounds"])
    assert all({"expression", "value", "statement", "latex"} <= set(b) for b in found["bounds"].values())


@pytest.mark.parametrize("theorem", [name for name, one in theorems().items() if one.model])
def test_build_of_every_theorem_counts_and_saves(theorem, capsys, tmp_path):
    path = tmp_path / "model.safetensors"
    assert cli.main(["build", theorem, "--out", str(path), "--json", "-"]) == cli.KEPT
    found = as_documented("build", capsys.readouterr().out)
    with safe_open(path, "np") as file:
        entries = sum(np.count_nonzero(file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
    assert 0 < entries <= found["census"]["parameters"]


def test_a_finding_is_computed_again_by_its_key(capsys):
    code, out, _ = run(capsys, "findings", "2306.00297/local-minimum", "--json", "-")
    (found,) = as_documented("findings", out)["findings"]
    assert code == cli.KEPT and found["reproduces"] and found["numbers"]["loss"] == "85/98"
    assert found["replay"] == "icgd findings 2306.00297/local-minimum"
    code, out, _ = run(capsys, "findings", "local-minimum")
    assert code == cli.KEPT and "bearing:" in out and "435/784" in out


@pytest.mark.slow
def test_a_report_is_written_and_written_again_from_its_json(capsys, tmp_path, monkeypatch):
    small = ["--N", "1", "--K", "2", "--d", "1", "--eps", "0.5", "--samples", "100", "--effort", "0"]
    code, out, _ = run(capsys, "report", *small, "--out", str(tmp_path / "a"), "--json", "-")
    assert code == cli.KEPT
    written = tmp_path / "a" / "report"
    assert as_documented("report", out) == json.loads((written / "report.json").read_text())
    assert r"\icgdHeads" in (written / "icgd-numbers.tex").read_text()
    assert "</html>" in (written / "report.html").read_text()
    # The same sources were typeset a moment ago.
    monkeypatch.setattr(report, "typeset", lambda tex: Typeset(None, "not typeset again"))
    again = ["report", "--from", str(written / "report.json"), "--out", str(tmp_path / "b")]
    assert cli.main(again) == cli.KEPT
    for name in ("report.html", "report.tex", "icgd-numbers.tex"):
        assert (tmp_path / "b" / "report" / name).read_text() == (written / name).read_text()
    (tmp_path / "odd.json").write_text("[1]")
    assert cli.main(["report", "--from", str(tmp_path / "odd.json")]) == cli.BAD_INPUT
