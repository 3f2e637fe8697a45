"""A saved counterexample is read back unchanged, and other files are refused in one sentence."""

import json
import math

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt
from icgd.verify.catalogue import find_theorem
from icgd.verify.relu_icgd import replay
from icgd.verify.search.counterexample import Counterexample

PROBLEM = Problem(N=1, K=1, d=1, n=2, L=1)
PROMPT = Prompt(
    *(torch.zeros(shape, dtype=torch.float64) for shape in ((1, 2, 1), (1, 2, 1), (1, 1), (1, 1)))
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.json"
    Counterexample(PROBLEM, "lean", "relu-icgd/lean/step-error", PROMPT, math.inf, 0.5).save(path)
    return path


def test_an_error_that_is_no_number_is_json_and_read_back(saved):
    def strictly(word):
        raise AssertionError(word)

    assert json.loads(saved.read_text(), parse_constant=strictly)["error"] == "inf"
    found = Counterexample.load(saved)
    assert (found.error, found.allowed, found.problem) == (math.inf, 0.5, PROBLEM)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("construction", ["lean"]),
        ("construction", "\x1b[31m"),
        ("claim", 3),
        ("error", "much"),
        ("allowed", None),
        ("problem", 3),
        ("prompt", []),
        ("prompt", {"x": 10**400, "y": 0, "query": 0, "w": 0}),
        ("prompt", {"x": [[0], [0, 1]], "y": 0, "query": 0, "w": 0}),
        ("claim", "\ud800"),
    ],
)
def test_what_is_no_counterexample_is_refused_in_one_line(saved, key, value):
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {key: value}))
    with pytest.raises(ProblemError) as caught:
        Counterexample.load(saved)
    assert str(caught.value).isprintable() and "replay" in str(caught.value)


def test_a_list_is_no_counterexample(saved):
    saved.write_text("[]")
    with pytest.raises(ProblemError, match="not a counterexample file"):
        Counterexample.load(saved)


@pytest.mark.parametrize("claim", ["relu-icgd/step-error", "relu-icgd/paper/step-error"])
def test_a_counterexample_of_an_earlier_version_names_the_claim_as_it_is_named_now(tmp_path, claim):
    path = tmp_path / "old.json"
    Counterexample(PROBLEM, "paper", claim, PROMPT, 1.0, 0.5).save(path)
    saved = Counterexample.load(path)
    assert saved.claim == "relu-icgd/paper/step-error"
    assert saved.replayed_from(path).startswith("icgd verify relu-icgd --replay ")
    assert replay(saved).claim in find_theorem("relu-icgd").claim_keys("paper")
