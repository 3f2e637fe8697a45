"""The studies of the other papers: their numbers by second routes, and that every result is well formed."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.verify.looped import draw_regressions
from icgd.verify.study import preconditioned_training
from icgd.verify.study.kernel_matching import NAME_OF_MATCHING
from icgd.verify.study.loops_against_examples import NAME_OF_LOOPS, loop_errors
from icgd.verify.study.preconditioned_training import NAME_OF_TRAINING, train_depth
from icgd.verify.study.studies import STUDIES, find_study
from icgd.verify.study.study import StudyFigure, StudyOptions


def test_every_result_is_well_formed_and_says_what_is_expected(monkeypatch):
    monkeypatch.setattr(preconditioned_training, "TRAINED_DEPTHS", (1, 2))
    told = {}
    for name in (NAME_OF_TRAINING, NAME_OF_MATCHING, NAME_OF_LOOPS):
        study = STUDIES[name]
        found = study.run(StudyOptions(seed=3))
        assert found.study == study.name == name and found.scale in study.scales
        assert {len(row) for row in found.rows} == {len(found.columns)}
        assert found.as_csv().count("\n") == len(found.rows) + 1
        for figure in json.loads(json.dumps([asdict(one) for one in found.figures])):
            assert StudyFigure.from_dict(figure).key == figure["key"]
        assert study.estimate(StudyOptions()).seconds < 60
        told[name] = " ".join(found.said)
    assert "2 layers: 3 of 3 starts end at the predicted matrices" in told[NAME_OF_TRAINING]
    assert told[NAME_OF_MATCHING].startswith("held: in the limit no attention beats the data's own kernel")
    assert "the number of examples sets the rate" in told[NAME_OF_LOOPS]
    with pytest.raises(ProblemError, match="the studies are icl-networks"):
        find_study("nothing")


def test_errors_of_loops_are_those_of_descent_on_the_weights():
    problem = replace(LoopedProblem(), d=3, n=7, T=4)
    found = loop_errors(problem, 5, torch.Generator().manual_seed(2)).numpy()
    drawn = draw_regressions(problem, 5, torch.Generator().manual_seed(2))
    for row in range(5):
        X, y, w = drawn.x[row].numpy(), drawn.y[row].numpy(), np.zeros(3)
        best = np.linalg.solve(X.T @ X, X.T @ y)
        for T in range(5):
            assert abs(found[T, row] - np.linalg.norm(w - best) / np.linalg.norm(best)) < 1e-10
            w = w - problem.rate * X.T @ (X @ w - y) / 7


def test_one_trained_layer_has_the_loss_of_the_best_matrix():
    """By Wishart moments it is d - 2 a d + a^2 (d + (d^2 + d)/n) at A = a S^-1, w ~ N(0, S^-1)."""
    problem = PreconditionedProblem(L=1)
    n, d = problem.n, problem.d
    a = 1 / (1 + (d + 1) / n)
    predicted, (run,) = train_depth(problem, 1, torch.Generator().manual_seed(0))
    wanted = d - 2 * a * d + a * a * (d + (d * d + d) / n)
    assert predicted == pytest.approx(wanted, rel=1e-12) and run.loss == pytest.approx(wanted, rel=1e-9)
    assert run.distances[-1] < 1e-6
