"""What is shown of a measured predictor, and its document: the same numbers, and that nothing is proved."""

import io
import json

import torch
from rich.console import Console

from icgd.construct.gpt2 import GPT2
from icgd.reports.command.predictor import measuring, predictor_document, show_predictor
from icgd.reports.document.judged import JudgedFile, judged_document
from icgd.verify.given_predictor.judge import NO_PROOF, judge_predictor
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import RegressionTask
from tests.numpy_gpt2 import random_state
from tests.planted_predictors import fading, ridge


def test_what_is_shown_and_documented_agrees():
    found = judge_predictor(fading, d=2, prompts=64)
    console = Console(file=io.StringIO(), width=160)
    show_predictor(console, found, "mine.py", 0.0)
    shown = console.file.getvalue()
    document = json.loads(json.dumps(predictor_document(found), allow_nan=False))
    assert document["proved"] is False and document["conclusion"].startswith(NO_PROOF)
    assert " ".join(document["conclusion"].split()) in " ".join(shown.split())
    assert document["remarks"][0] in " ".join(shown.split()) and "[ " not in shown
    assert list(document["distances"]) == list(REFERENCES)
    for one in document["lengths"]:
        assert [row["reference"] for row in one["references"]] == list(REFERENCES)
        for row in one["references"]:
            assert row["in_words"] in shown and f"{row['distance']['mean']:.3g}" in shown
    assert {*document["nearest"]} <= set(REFERENCES) and document["runner_up"] in (None, *REFERENCES)
    assert set(document["out_of_distribution"]) == {"inputs", "weights", "skewed", "longer"}
    assert set(document["moves"]) == {"order", "examples", "query", "labels", "earlier"}
    report = judged_document(JudgedFile("m.st", "gpt2", "0" * 64), found, command="icgd judge", seconds=1.0)
    assert report["conclusion"] == document["conclusion"]


def test_brackets_in_a_name_are_no_markup():
    named = ridge(1.0)
    named.__name__ = "[bold]f"
    console = Console(file=io.StringIO(), width=160)
    show_predictor(console, judge_predictor(named, d=1, n=2, prompts=32), "[red]", 0.0)
    assert console.file.getvalue().startswith("[red]: [bold]f")


def test_the_estimate_grows_with_the_work():
    model = GPT2({name: torch.tensor(one) for name, one in random_state().items()}, {"n_head": 2})
    small, large = (
        measuring(model, RegressionTask(d=2, n=8, prompts=count)).seconds for count in (64, 64_000)
    )
    assert large > 100 * (small - 3.5) and 3 < small < 5
