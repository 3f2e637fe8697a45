"""Descent on a network by a second route, and answers that are known to be one of the references."""

import numpy as np
import pytest
import torch

from icgd.verify.study import discrepancy
from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.discrepancy import (
    NETWORK_DESCENT,
    discrepancies,
    nearest_of_all,
    network_descent,
)
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask

TASK = NetworkTask(N=2, d=3, width=4)


def drawn(count=40, examples=6):
    return TASK.prompts(count, examples, 1.0, torch.Generator().manual_seed(1), dtype=torch.float64)


def descended(x, y, query, W, v, steps, size):
    """Descent on v . relu(W x) in numpy, by the chain rule."""
    for _ in range(steps):
        z = x @ W.T
        error = (np.maximum(z, 0) @ v - y) / len(x)
        slope_v = error @ np.maximum(z, 0)
        slope_W = ((error[:, None] * v) * (z > 0)).T @ x
        W, v = W - size * slope_W, v - size * slope_v
    return np.maximum(query @ W.T, 0) @ v


def test_descent_on_a_network_is_the_chain_rule():
    prompts = drawn(5)
    x, y, query = prompts.x[:, :-1], prompts.y[:, :-1], prompts.x[:, -1]
    found = network_descent(TASK, x, y, query, seed=7, steps=(1, 3), sizes=(0.01, 0.05, 1e200))
    W, v = (one[0].numpy() for one in TASK.networks(1, torch.Generator().manual_seed(7), dtype=torch.float64))
    assert {(1, 0.01), (3, 0.01), (1, 0.05), (3, 0.05)} <= found.keys() and (3, 1e200) not in found
    for (steps, size), answers in found.items():
        if size < 1:
            wanted = [
                descended(*(one[row].numpy() for one in (x, y, query)), W, v[0], steps, size)
                for row in range(5)
            ]
            assert np.abs(answers.numpy() - wanted).max() < 1e-12


def test_answers_that_are_a_reference_are_nearest_to_it(monkeypatch):
    monkeypatch.setattr(discrepancy, "DESCENT_STEPS", (1, 20))
    prompts = drawn()
    x, y = prompts.x[:, :5], prompts.y[:, :5]
    descent = network_descent(TASK, x, y, prompts.x[:, 5], seed=0)[20, 0.01]
    kernel = baseline_predictions(NetworkPrompts(prompts.x[:, :6], prompts.y[:, :6], TASK), (5,), ("kernel",))
    told = {
        ("a", 0): torch.zeros(40),
        ("a", 1): descent,
        ("a", 2): kernel["kernel"][:, 0],
        ("b", 2): y.mean(dim=1),
    }
    found = discrepancies(prompts, 5, told)
    assert ("a", 0) not in {(one.model, one.step) for one in found}  # all its answers are the same
    for place, reference in ((("a", 1), NETWORK_DESCENT), (("a", 2), "kernel of the network")):
        best = nearest_of_all([one for one in found if (one.model, one.step) == place])
        assert best.reference == reference and best.share.high < 1e-20
    rest = y.mean(dim=1)[20:], descent[20:]  # the half of the prompts that fits nothing
    away = next(one for one in found if (one.step, one.reference) == (1, "mean of labels"))
    assert away.share.mean == pytest.approx(float((rest[0] - rest[1]).square().mean() / rest[1].var()))
    words = next(one.words for one in found if (one.step, one.reference) == (1, NETWORK_DESCENT))
    assert words == "20 steps of descent of size 0.01 on a 2-layer network"
    mean = {one.reference: one.share for one in found if one.model == "b"}
    assert mean["mean of labels"].high < 1e-20 and mean[NETWORK_DESCENT].low > 1e-3


def test_the_first_half_of_the_prompts_fits_and_the_other_measures(monkeypatch):
    """Answers of two kinds: parameters are those of the first, distances those of the second."""
    monkeypatch.setattr(discrepancy, "DESCENT_STEPS", (1, 20))
    prompts = drawn()
    x, y = prompts.x[:, :5], prompts.y[:, :5]
    descended = network_descent(TASK, x, y, prompts.x[:, 5], seed=0)
    told = torch.cat([descended[20, 0.01][:20], descended[1, 0.3][20:]])
    constant = torch.cat([torch.full((20,), 0.5, dtype=y.dtype), y.mean(dim=1)[20:]])
    found = {
        (one.model, one.reference): one
        for one in discrepancies(prompts, 5, {("a", 0): told, ("b", 0): constant})
    }
    near = found["a", NETWORK_DESCENT]
    assert near.words == "20 steps of descent of size 0.01 on a 2-layer network"
    rest = descended[20, 0.01][20:] - descended[1, 0.3][20:]
    assert near.share.mean == pytest.approx(float(rest.square().mean() / told[20:].var()))
    assert found["b", "constant"].words == "the constant 0.5"
    assert found["b", "mean of labels"].share.high < 1e-20
