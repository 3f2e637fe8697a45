"""References against other routes (solvers, loops, differences), and fits of answers of known making."""

import numpy as np
import pytest
import torch

from icgd.verify.given_predictor.dependence import reference_gradients
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import SHIFTS, RegressionTask, draw
from icgd.verify.given_predictor.spectral_gain import best_scale
from icgd.verify.search.prompts import seeded


def by_hand(name, x, y, query, parameters):
    """The answer for one prompt, (n, d), (n,), (d,), in numpy."""
    if name == "ridge":
        w = np.linalg.inv(x.T @ x + parameters[0] * np.eye(x.shape[1])) @ x.T @ y
    elif name == "least squares":
        w = np.linalg.pinv(x, rcond=1e-12) @ y
    elif name == "descent":
        w = np.zeros(x.shape[1])
        for _ in range(parameters[0]):
            w = w - parameters[1] * x.T @ (x @ w - y) / len(y)
    elif name == "kernel regression":
        weights = [np.exp(-sum((a - query) ** 2) / (2 * parameters[0] ** 2)) for a in x]
        return sum(weight * b for weight, b in zip(weights, y, strict=True)) / sum(weights)
    else:
        return {"mean of labels": np.mean(y), "last label": y[-1]}.get(name, parameters)
    return query @ w


PLACES = [
    ("ridge", (0.37,)),
    ("least squares", ()),
    ("descent", (1, 0.3)),
    ("descent", (7, 0.21)),
    ("descent", (64, 0.1)),
    ("kernel regression", (0.8,)),
    ("mean of labels", ()),
    ("last label", ()),
]


def test_answers_are_those_of_other_routes():
    """For more examples than entries of x, as many, and fewer; and where descent diverges."""
    for d, n in ((1, 1), (2, 8), (4, 4), (6, 3)):
        prompts = draw(RegressionTask(d=d, n=n, noise=0.3, prompts=32), n, seeded(0))
        rows = [part.numpy() for part in (prompts.x, prompts.y, prompts.query)]
        for name, parameters in (*PLACES, ("descent", (5, 3.0))):
            found = REFERENCES[name].predict(prompts, parameters).numpy()
            wanted = np.array([by_hand(name, *row, parameters) for row in zip(*rows, strict=True)])
            assert np.allclose(found, wanted, rtol=1e-7, atol=1e-8), (name, parameters, d, n)


def test_gradients_are_those_of_differences():
    prompts = draw(RegressionTask(d=2, n=3, prompts=32), 3, seeded(1))
    h = 1e-6
    for name, parameters in (*PLACES, ("constant", (0.4,))):
        by_query, by_y = reference_gradients(name, prompts, parameters)
        for part, gradient in (("query", by_query), ("y", by_y)):
            at = getattr(prompts, part)
            for column in range(at.shape[1]):
                ends = []
                for sign in (1, -1):
                    moved = at.clone()
                    moved[:, column] += sign * h
                    whole = {"x": prompts.x, "y": prompts.y, "query": prompts.query, "truth": prompts.truth}
                    again = type(prompts)(**(whole | {part: moved}))
                    ends.append(REFERENCES[name].predict(again, parameters))
                slope = (ends[0] - ends[1]) / (2 * h)
                assert torch.allclose(slope, gradient[:, column], rtol=1e-5, atol=1e-6), (name, part)


def test_fits_find_the_parameters_that_made_the_answers():
    for d, n in ((2, 8), (3, 3)):
        prompts = draw(RegressionTask(d=d, n=n, prompts=48), n, seeded(2))
        for name, parameters in PLACES:
            found = REFERENCES[name].fit(prompts, REFERENCES[name].predict(prompts, parameters))
            assert found == pytest.approx(parameters, rel=1e-4), (name, d, n)
        assert REFERENCES["constant"].fit(prompts, torch.full((48,), 2.5, dtype=torch.float64)) == (2.5,)


def test_a_scale_is_found_where_the_cost_overflows_elsewhere():
    at, cost = best_scale(lambda z: (np.log(z) - 1) ** 2 if z < 50 else np.inf, 1e-3, 1e3)
    assert at == pytest.approx(np.e, rel=1e-5) and cost < 1e-10


def test_prompts_are_of_the_task_and_shifted_as_said():
    task = RegressionTask(d=3, n=5, prompts=4000)
    usual, more = (
        draw(task, 5, seeded(0)),
        {name: draw(task, 5, seeded(0), one) for name, one in SHIFTS.items()},
    )
    assert torch.allclose(usual.x.flatten(0, 1).T.cov(), torch.eye(3, dtype=torch.float64), atol=0.05)
    assert float((usual.truth / usual.query.norm(dim=1)).var()) == pytest.approx(1, abs=0.1)
    assert torch.equal(more["inputs"].x, 2 * usual.x) and torch.equal(more["weights"].y, 2 * usual.y)
    skewed = torch.linalg.eigvalsh(torch.einsum("bni,bnj->bij", more["skewed"].x, more["skewed"].x)).mean(
        dim=0
    )
    assert skewed[2] / skewed[0] > 50 and float(more["skewed"].x.square().sum(dim=2).mean()) == pytest.approx(
        3, abs=0.2
    )
    noisy = draw(RegressionTask(d=3, n=5, noise=2.0, prompts=4000), 5, seeded(0))
    assert float((noisy.y - usual.y).std()) == pytest.approx(2, abs=0.1) and torch.equal(
        noisy.truth, usual.truth
    )
    assert RegressionTask(n=40).lengths == (10, 20, 40) and RegressionTask(n=1).lengths == (1,)
    assert RegressionTask(d=20).lengths == (10, 20, 40) and RegressionTask().n == 8
