"""`icgd judge` on linear attention, and every command and piece of Python of docs/judging_linear.md."""

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest
import torch

import icgd
from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import claims
from icgd.construct.preconditioned import build
from tests.closed_schemas import as_documented
from tests.rounding import gamma

PAGE = (Path(__file__).parents[2] / "docs" / "judging_linear.md").read_text(encoding="utf-8")
QUICK = ["--samples", "100", "--effort", "0.02"]


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_and_the_python_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runs = {(seed,): [torch.randn(1, 1, 2, 2, 2) for _ in range(2)] for seed in range(2)}
    torch.save({"hist_dict": runs}, "trained.pth")  # as the notebooks of arXiv 2306.00297 save it
    lines = re.findall(r"^    icgd (.*?) +# (.*)$", PAGE, flags=re.MULTILINE)
    assert len(lines) == 9
    for line, comment in lines:
        quick = QUICK if line.startswith("judge") and "--replay" not in line else []
        code, out, err = run(capsys, *shlex.split(line), *quick)
        told = re.search(r"exit code (\d)", comment)
        assert code == (int(told[1]) if told else cli.KEPT), (line, out, err)
        assert "the mask is missing" not in comment or "judge/reference" in out
        assert code != cli.BAD_INPUT or err.count("\n") == 1
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(block, {})
    assert "It is 3 steps of preconditioned gradient descent, exactly" in capsys.readouterr().out


def test_the_json_has_every_number_and_the_replay_fails_again(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = build(icgd.PreconditionedProblem(d=2, n=4, L=2))
    with torch.no_grad():
        model.P[0, 0, 1] = 0.25
    model.save(tmp_path / "plus.safetensors")
    code, out, _ = run(capsys, "judge", "plus.safetensors", *QUICK, "--json", "-")
    found = as_documented("judge", out)
    assert code == cli.FAILED and found["descent"] is None
    as_documented("counterexample", (tmp_path / "out/counterexample-judge-descent.json").read_text("utf-8"))
    assert found["names"] == ["it is a step of GD++: the inputs are transformed, too, in layer 0"]
    assert found["radii"] == {"n": 4, "B_x": 1.0, "B_y": 1.0}
    for near in found["nearest"].values():
        assert 0 < near["sampled"] <= near["attacked"] <= near["certified"]
    assert len(found["regression_weights"]) == 3
    loss = found["expected_loss"]
    assert abs(float(Fraction(loss["exact"])) - loss["sampled"]) < loss["half_width"] and loss["gradient"] > 0
    replay = found["verdicts"][0]["replay"]
    code, out, _ = run(capsys, *shlex.split(replay)[1:])
    assert code == cli.FAILED and re.search(r"judge/descent.*failed", out)


def test_what_does_not_belong_to_linear_attention_is_refused_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(icgd.PreconditionedProblem(L=1)).save(tmp_path / "pq.safetensors")
    for options, words in (
        (["--stream", "x=0:2"], "stream = x=0:2: it has no meaning for a file of kind linear"),
        (["--eta", "0.1"], "eta = 0.1: it is no letter of a file of kind linear"),
        (["--mask", "maybe"], "mask = maybe: it is yes or no"),
        (["--divide-by", "2"], "divide-by = 2: a layer divides by n, n+1, 1"),
        (["--prediction", "x"], "prediction = x: it is y or -y"),
        (["--d", "3"], "d = 3: the matrices are for d = 2"),
        (["--T", "0"], "T = 0"),
        (["--S", "1,2,3"], "S = 1,2,3"),
        (["--tolerance", "-1"], "tolerance = -1"),
        (["--against", "missing.safetensors"], "against = missing.safetensors: there is no such file"),
        (["--replay", "missing.json"], "replay = missing.json: there is no such file"),
        (["--kind", "block"], "stream = pq.safetensors: its metadata name no slots"),
        (["--kind", "linear", "--device", "abacus"], "cpu, cuda"),
    ):
        code, out, err = run(capsys, "judge", "pq.safetensors", *options)
        assert (code, out) == (cli.BAD_INPUT, ""), (options, out)
        assert err.startswith("icgd: ") and err.count("\n") == 1 and words in err, err


def test_what_was_built_for_the_sphere_is_judged_there(capsys, tmp_path):
    problem = icgd.PreconditionedProblem(d=2, n=4, L=1, prior="identity", covariates="sphere")
    build(problem).save(tmp_path / "pq.safetensors")
    found = icgd.judge(tmp_path / "pq.safetensors", samples=50, effort=0.0)
    claimed = claims(problem)[0].value
    assert abs(float(found.loss.value) - claimed) <= gamma(200) and found.loss.gradient <= gamma(200)
    mean, half = found.loss.sampled
    assert abs(mean - claimed) <= half < 0.1 * claimed
    words = [str(tmp_path / "pq.safetensors"), "--samples", "50", "--effort", "0", "--out", str(tmp_path)]
    assert cli.main(["judge", *words]) == cli.KEPT
    assert "expected loss on inputs on the sphere" in capsys.readouterr().out.replace("\n", " ")
    elsewhere = icgd.judge(tmp_path / "pq.safetensors", covariates="normal", samples=50, effort=0.0)
    assert elsewhere.loss.gradient > 0.1  # not the best layer for normal inputs
    with pytest.raises(ProblemError, match="covariates = ball: it is normal or sphere"):
        icgd.judge(tmp_path / "pq.safetensors", covariates="ball")
