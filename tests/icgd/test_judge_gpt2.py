"""`icgd judge` on GPT-2 files, and every command and piece of Python of docs/judging_predictors.md."""

import json
import re
import shlex
from pathlib import Path

import torch
from safetensors.torch import save_file

import icgd
from icgd import cli
from icgd.verify.given_predictor.judge import FAR, NO_PROOF
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import RegressionTask
from tests.closed_schemas import as_documented
from tests.numpy_gpt2 import random_state

PAGE = (Path(__file__).parents[2] / "docs" / "judging_predictors.md").read_text(encoding="utf-8")


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_and_the_python_of_the_page_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
    said = capsys.readouterr().out
    assert said.startswith(NO_PROOF) and "nearest to ridge regression with lambda = 0.5" in said
    lines = re.findall(r"^    icgd (.*?) +# (.*)$", PAGE, flags=re.MULTILINE)
    assert len(lines) == 5
    for line, comment in lines:
        code, out, err = run(capsys, *shlex.split(line))
        told = re.search(r"exit code (\d)", comment)
        assert code == (int(told[1]) if told else cli.KEPT), (line, out, err)
        if code == cli.KEPT:
            assert NO_PROOF in " ".join(out.split()) and "judge/context-update" in out
    assert icgd.judge("gpt2.safetensors", heads=2, prompts=64).verdicts[0].status == "held"


def test_the_page_says_what_is_so():
    rows = re.findall(r"^\| ([a-z ]+) \| [^|]*\\?\|", PAGE, flags=re.MULTILINE)
    assert [row for row in rows if row != "reference"] == list(REFERENCES)
    assert f"`prompts` ({RegressionTask().prompts} of each length)" in PAGE and FAR == 0.1


def test_the_json_of_a_judged_gpt2(capsys, tmp_path):
    path = tmp_path / "m.safetensors"
    state = {name: torch.tensor(one).float() for name, one in random_state().items()}
    save_file(state | {"_backbone.h.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.bool)}, path)
    command = ["judge", str(path), "--heads", "2", "--samples", "64", "--n", "4", "--json", "-"]
    code, out, _ = run(capsys, *command)
    found = as_documented("judge", out)
    assert code == cli.KEPT and found["proved"] is False and found["conclusion"].startswith(NO_PROOF)
    assert {"schema", "weights", "verdicts", "seed", "versions", "seconds"} <= set(found)
    assert found["problem"] == {"d": 2, "n": 4, "noise": 0.0, "prompts": 64}
    assert found["called_with"] == "torch float64" and len(found["weights"]["sha256"]) == 64
    again = json.loads(run(capsys, *command)[1])
    assert {**again, "seconds": 0} == {**found, "seconds": 0}


BAD = [
    ([], "tensors do not show the number of heads"),
    (["--heads", "3"], "n_head = 3: the width 8 is no multiple of it"),
    (["--heads", "2", "--eta", "0.1"], "eta = 0.1: it is no letter of a file of kind gpt2"),
    (["--heads", "2", "--stream", "x=0:2"], "it has no meaning for a file of kind gpt2"),
    (["--heads", "2", "--d", "3"], "d = 3: the model reads inputs of size 2"),
    (["--heads", "2", "--samples", "3"], "prompts = 3: a whole number from 32"),
    (["--heads", "2", "--config", "missing.json"], "there is no such file"),
    (["--kind", "block", "--heads", "2"], "heads = 2: it has no meaning for a file of kind block"),
]


def test_bad_options_get_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({name: torch.tensor(one) for name, one in random_state().items()}, "m.safetensors")
    for options, words in BAD:
        code, out, err = run(capsys, "judge", "m.safetensors", *options)
        assert (code, out) == (cli.BAD_INPUT, ""), options
        assert err.startswith("icgd: ") and err.count("\n") == 1 and words in err, (options, err)
    state = {name: torch.tensor(one) for name, one in random_state().items()}
    state["_backbone.h.1.mlp.c_fc.bias"][3] = torch.nan
    save_file(state, "m.safetensors")
    code, _, err = run(capsys, "judge", "m.safetensors", "--heads", "2")
    assert code == cli.BAD_INPUT and "_backbone.h.1.mlp.c_fc.bias[3] = nan" in err
