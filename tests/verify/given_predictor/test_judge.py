"""Planted predictors are named rightly; what cannot be told apart is said; a trained GPT-2 is measured."""

import math

import numpy as np
import pytest
import torch

import icgd
from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2 import GPT2
from icgd.verify.given_predictor.judge import NO_PROOF, judge_predictor
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import RegressionTask
from tests.planted_predictors import PLANTED, descent, ridge
from tests.trained_gpt2 import trained

QUICK = {"n": 12, "prompts": 96}


def test_planted_predictors_are_named():
    assert len(PLANTED) >= 10
    for predictor, reference, concluded, remarked in PLANTED:
        found = judge_predictor(predictor, d=3, **QUICK)
        case = (concluded, found.conclusion, found.remarks)
        assert found.nearest == reference and concluded in found.conclusion, case
        assert any(remarked in one for one in found.remarks) if remarked else found.remarks == (), case
        assert found.conclusion.startswith(NO_PROOF) and found.verdicts == ()
        assert found.left < 0.02 if reference else found.left > 0.1
        assert set(found.apart) == set(REFERENCES) == {*found.tied, *found.others}


def test_what_cannot_be_told_apart_is_said():
    """With one example the mean of the labels, the last label and a kernel regression are the same."""
    found = judge_predictor(lambda x, y, query: y[:, -1], n=1, prompts=64)
    assert set(found.tied) == {"mean of labels", "last label", "kernel regression"} and found.nearest is None
    assert "It cannot be told apart from" in found.conclusion and "overlap" in found.conclusion
    noisy = torch.Generator().manual_seed(3)
    offsets = torch.randn(4096, generator=noisy, dtype=torch.float64)

    def blurred(x, y, query):
        """Ridge with so much noise, a function of the query, that descent fits it as well."""
        cell = (query[:, 0] * 1e6).long().remainder(4096)
        return ridge(2.0)(x, y, query) + 0.5 * offsets[cell]

    found = judge_predictor(blurred, d=3, **QUICK)
    assert {"ridge", "descent"} <= set(found.tied) and found.nearest is None


def test_numbers_are_those_of_another_route():
    """Distances, errors and moves of the answers, again in numpy from the held-out prompts."""
    found = judge_predictor(descent(2, 0.2), d=2, n=6, prompts=64, noise=0.1, seed=5)
    for one in found.lengths:
        x, y, query, truth = (
            part.numpy() for part in (one.held_out.x, one.held_out.y, one.held_out.query, one.held_out.truth)
        )
        assert x.shape == (32, one.n, 2)
        answers = one.answers.numpy()
        again = []
        for a, b, q in zip(x, y, query, strict=True):
            w = 0.2 * a.T @ b / len(b)
            w = w - 0.2 * a.T @ (a @ w - b) / len(b)
            again.append(q @ w)
        assert np.allclose(answers, again, atol=1e-12)
        assert one.error.mean == pytest.approx(np.mean((answers - truth) ** 2))
        rows = {row.reference: row for row in one.rows}
        assert rows["mean of labels"].apart.mean == pytest.approx(np.mean((answers - y.mean(axis=1)) ** 2))
        assert rows["last label"].error.mean == pytest.approx(np.mean((truth - y[:, -1]) ** 2))
        penalty = rows["ridge"].parameters[0]
        fits = [
            q @ np.linalg.inv(a.T @ a + penalty * np.eye(2)) @ a.T @ b
            for a, b, q in zip(x, y, query, strict=True)
        ]
        assert rows["ridge"].apart.mean == pytest.approx(np.mean((answers - fits) ** 2))
        assert all(row.apart.low <= row.apart.mean <= row.apart.high for row in one.rows)
    mean = np.mean([row.apart.mean for one in found.lengths for row in one.rows if row.reference == "ridge"])
    assert found.apart["ridge"].mean == pytest.approx(mean)
    (plot,) = found.plots  # descent itself is at distance 0, which a logarithmic axis does not show
    (ridges,) = (curve for curve in plot.curves if curve.label == "ridge")
    assert np.mean(ridges.y) == pytest.approx(mean) and "descent" not in [one.label for one in plot.curves]
    same = {one.reference: one for one in found.sensitivities}["descent"]
    assert same.by_query.low > 0.999 and same.by_labels.low > 0.999


def test_out_of_distribution_a_linear_predictor_scales_and_one_that_clips_does_not():
    linear = judge_predictor(descent(10, 0.3), d=2, **QUICK)
    assert all(one.apart["descent"].mean < 1e-6 * one.error.mean for name, one in linear.shifted.items())
    assert linear.shifted["inputs"].error.mean > 10 * linear.lengths[-1].error.mean  # those steps diverge
    clipped = judge_predictor(lambda x, y, q: ridge(0.1)(x, y, q).clamp(-4, 4), d=2, **QUICK)
    assert clipped.shifted["weights"].apart["ridge"].mean > 20 * clipped.lengths[-1].rows[1].apart.mean

    def short(x, y, query):
        if y.shape[1] > 12:
            raise IndexError("no position 12")
        return y.mean(dim=1)

    assert "no position 12" in judge_predictor(short, d=2, **QUICK).shifted["longer"].refused


def test_the_front_door_takes_functions_and_modules():
    found = icgd.judge(ridge(0.5), d=2, **QUICK)
    assert found.nearest == "ridge" and repr(found) == "<predict: ridge; no remarks>"
    again = icgd.judge(ridge(0.5), RegressionTask(d=2, **QUICK))
    assert again.conclusion == found.conclusion
    assert icgd.judge(ridge(0.5), d=2, **QUICK, seed=1).conclusion != found.conclusion

    class Mean(torch.nn.Module):
        def forward(self, x, y, query):
            return y.mean(dim=1)

    assert icgd.judge(Mean(), d=2, **QUICK).nearest == "mean of labels"
    for letters, words in (
        ({"n": -1}, "n = -1"),
        ({"k": 2}, "k = 2: there is no such letter"),
        ({"prompts": 2}, "prompts = 2"),
        ({"noise": math.nan}, "noise = nan"),
    ):
        with pytest.raises(ProblemError, match=words):
            icgd.judge(ridge(0.5), **letters)
    with pytest.raises(ProblemError, match="function of"):
        icgd.judge(3)


def test_a_trained_gpt2_is_measured():
    """Trained in the layout of dtsip's code for some seconds: on the way from nothing to regression."""
    model = trained(d=2, n=4, steps=400, seed=1)
    found = icgd.judge(model.state_dict(), {"n_head": 4}, n=4)
    with torch.no_grad():
        for one in found.lengths:
            given = [part.float() for part in (one.held_out.x, one.held_out.y, one.held_out.query)]
            assert torch.allclose(model.predict(*given).double(), one.answers, atol=1e-4)
    longest = found.lengths[-1]
    errors = {row.reference: row.error for row in longest.rows}
    assert longest.error.high < min(errors[name].low for name in ("mean of labels", "last label", "constant"))
    assert set(found.tied) & {"ridge", "descent", "least squares"} and "mean of labels" in found.others
    cosines = {one.reference: one.by_query for one in found.sensitivities}
    assert cosines["ridge"].low > 0.7 and cosines["mean of labels"] is None
    assert found.gradients_by == "autograd" and found.shifted["longer"].refused == (
        "n = 8: there are 10 positions, enough for 4 examples and a query"
    )
    (verdict,) = found.verdicts
    assert (verdict.claim, verdict.status) == ("judge/context-update", "held")
    fresh = GPT2({name: 0.02 * one for name, one in model.state_dict().items()}, {"n_head": 4})
    assert icgd.judge(fresh, n=4, prompts=64).remarks == ("it ignores the examples",)
