"""Entries that some floor does not support: one sentence says so, and no claim fails."""

import json

import pytest
import sympy
import torch

from icgd import cli
from icgd.bounds.activation import ACTIVATIONS, Activation
from icgd.bounds.functions import formula, series
from icgd.bounds.loss import LOSSES, Loss
from icgd.construct.block import elementwise

SMALL = ["--N", "2", "--K", "1", "--d", "1", "--n", "2", "--eps", "0.5", "--L", "2"]
QUICK = [*SMALL, "--samples", "100", "--effort", "0.01", "--no-report"]


@pytest.fixture
def asinh(monkeypatch):
    """A further function of formulas, on every floor that is asked for; the checker never hears of it."""

    def known(*floors):
        monkeypatch.setitem(formula.FUNCTIONS, "asinh", sympy.asinh)
        if "balls" in floors:
            monkeypatch.setitem(series._FUNCTIONS, "asinh", lambda x: (x + (1 + x * x).sqrt()).log())
        if "torch" in floors:
            monkeypatch.setitem(elementwise.ON_TENSORS, "arcsinh", torch.asinh)
            monkeypatch.setattr(elementwise, "READABLE", {*elementwise.READABLE, "asinh"})

    return known


def audited(capsys, tmp_path, *options):
    """The exit code, the verdict on the step error, all verdicts, and what was said about errors."""
    code = cli.main(["audit", "relu-icgd", *QUICK, "--out", str(tmp_path), "--json", "-", *options])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    if code == cli.BAD_INPUT:
        return code, None, (), captured.err
    verdicts = {one["claim"].rpartition("/")[2]: one for one in json.loads(captured.out)["verdicts"]}
    return code, verdicts["step-error"], [one["verdict"] for one in verdicts.values()], captured.err


@pytest.mark.slow
def test_an_activation_that_the_checker_cannot_read_is_held(asinh, capsys, tmp_path):
    asinh("balls", "torch")
    with ACTIVATIONS.temporarily(Activation("made-up", "asinh(t)")):
        code, step, statuses, _ = audited(capsys, tmp_path, "--activation", "made-up")
    assert code == cli.KEPT and step["verdict"] == "held" and "failed" not in statuses
    why = "because the checker does not accept that asinh(t) is a formula that the checker can read"
    assert f"not proved, {why} (activation made-up, loss squared)" in step["evidence"]
    assert "\n" not in step["evidence"]


@pytest.mark.slow
def test_a_loss_with_a_kink_that_the_checker_does_not_know_is_held(capsys, tmp_path):
    wide = "Min(Abs(p - y), 1)*(Abs(p - y) - Min(Abs(p - y), 1)/2)"
    with LOSSES.temporarily(Loss("made-up", wide)):
        code, step, statuses, _ = audited(capsys, tmp_path, "--loss", "made-up")
    assert code == cli.KEPT and step["verdict"] == "held" and "failed" not in statuses
    why = (
        "the checker does not accept that the slope of the loss has no kink, though Abs stands in its formula"
    )
    assert f"not proved, because {why} (activation tanh, loss made-up)" in step["evidence"]


def test_an_activation_without_balls_is_not_registered(asinh):
    asinh("torch")
    with pytest.raises(
        ValueError, match=r"^the activation made-up = asinh\(t\) cannot be bounded: .*for asinh"
    ):
        ACTIVATIONS.register(Activation("made-up", "asinh(t)"))
    assert "made-up" not in ACTIVATIONS


def test_an_activation_that_torch_cannot_run_is_bad_input(asinh, capsys, tmp_path):
    asinh("balls")
    with ACTIVATIONS.temporarily(Activation("made-up", "asinh(t)/2")):
        code, _, _, said = audited(capsys, tmp_path, "--activation", "made-up")
    assert code == cli.BAD_INPUT and "construct/ has no asinh for tensors" in said


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--activation", "made-up", "activation = made-up: neither one of tanh, sigmoid"),
        ("--loss", "made-up", "loss = made-up: neither one of squared, logistic"),
        ("--activation", "asinh(t)", "unknown function 'asinh'"),
    ],
)
def test_what_is_in_no_table_is_bad_input(option, value, words, capsys, tmp_path):
    code, _, _, said = audited(capsys, tmp_path, option, value)
    assert code == cli.BAD_INPUT and words in " ".join(said.split())


def test_a_kernel_that_is_in_no_table_is_bad_input(capsys):
    assert cli.main(["bounds", "functional", "--kernel", "exp+made-up"]) == cli.BAD_INPUT
    said = " ".join(capsys.readouterr().err.split())
    assert "kernel = exp+made-up: up to 8 of linear, exp" in said and "Traceback" not in said
