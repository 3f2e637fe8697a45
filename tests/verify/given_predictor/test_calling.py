"""Predictors get the arrays that they take; answers that make no sense are refused in a sentence."""

import numpy as np
import pytest
import torch
from torch import nn

from icgd.bounds.letters import ProblemError
from icgd.verify.given_predictor.calling import Called
from icgd.verify.given_predictor.regression_task import RegressionTask, draw
from icgd.verify.search.prompts import seeded
from tests.planted_predictors import descent, in_float32, ridge, ridge_in_numpy

PROMPTS = draw(RegressionTask(d=2, n=4, prompts=64), 4, seeded(0))


class Module(nn.Module):
    def __init__(self, *, noise=0.0, norm=False):
        super().__init__()
        self.linear, self.noise = nn.Linear(8, 1), nn.Dropout(noise)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()

    def forward(self, x, y, query):
        read = torch.cat([(x * y[..., None]).sum(dim=1), query, x[:, 0], x[:, 1]], dim=1)
        return self.linear(self.noise(self.norm(read)))[:, 0]


def with_numpy_inside(x, y, query):
    return np.asarray(x).sum(axis=(1, 2)) * np.asarray(query)[:, 0]


def test_the_arrays_that_a_predictor_takes_are_found():
    table = [
        (ridge(0.5), "torch float64"),
        (in_float32(ridge(0.5)), "torch float64"),
        (Module().eval(), "torch float32"),
        (Module().double().eval(), "torch float64"),
        (lambda x, y, query: Module().eval()(x, y, query) * 0, "torch float32"),
        (ridge_in_numpy, "numpy"),
        (lambda x, y, query: (x.astype(float) * query[:, None, :]).sum(axis=(1, 2)), "numpy"),
        (with_numpy_inside, "numpy"),
        (lambda x, y, query: x.sum(dim=(1, 2)).tolist(), "torch float64"),
    ]
    for predictor, arrays in table:
        called = Called(predictor, PROMPTS)
        assert called.arrays == arrays and called(PROMPTS).dtype == torch.float64
    assert Called(ridge_in_numpy, PROMPTS, "numpy").arrays == "numpy"
    assert torch.allclose(
        Called(ridge_in_numpy, PROMPTS)(PROMPTS), Called(ridge(0.3), PROMPTS)(PROMPTS), rtol=1e-10
    )


def spoils_its_input(x, y, query):
    y.zero_()
    return query[:, 0]


def half_finite(x, y, query):
    return torch.where(query[:, 0] > 0, torch.nan, 1.0)


BAD = [
    (lambda x, y, query: y, "answers = shape (32, 4): (32,) is needed"),
    (lambda x, y, query: y[:, :1], "answers = shape (32, 1)"),
    (lambda x, y, query: y.mean(), "answers = shape ()"),
    (lambda x, y, query: None, "answers = NoneType: an array of real numbers is needed"),
    (lambda x, y, query: ["a"] * len(y), "an array of real numbers is needed"),
    (lambda x, y, query: y[:, 0] * 1j, "an array of real numbers is needed"),
    (lambda x, y, query: y[:, 0] > 0, "answers = Tensor: an array of real numbers is needed"),
    (lambda x, y, query: y[:, 0] * 1e200, "finite numbers up to 1e+100 are needed"),
    (half_finite, "nan: finite numbers up to 1e+100 are needed"),
    (lambda x: x, "it cannot be called; with torch float64: TypeError"),
    (lambda x, y, query: y[:, 7], "IndexError"),
    (Module(noise=0.5), "it answers the same prompts differently when asked twice"),
    (Module(norm=True), "on 1 prompts of 4 examples it raised ValueError: Expected more than 1 value"),
    (lambda x, y, query: query[:, 0] - query[:, 0].mean(), "depends on which others are in the batch"),
]


def test_answers_without_sense_are_refused():
    for predictor, words in BAD:
        with pytest.raises(ProblemError) as refused:
            Called(predictor, PROMPTS)
        assert words in str(refused.value), (words, str(refused.value))
    with pytest.raises(ProblemError, match="the known ones are torch float64, torch float32, numpy"):
        Called(ridge(0.5), PROMPTS, "jax")
    before = PROMPTS.y.clone()
    Called(spoils_its_input, PROMPTS)
    assert torch.equal(PROMPTS.y, before)


def detached(x, y, query):
    """Autograd sees the query alone."""
    return descent(2, 0.3)(x, y.detach(), query)


def test_gradients_are_right_however_they_are_found():
    wanted = Called(descent(2, 0.3), PROMPTS).gradients(PROMPTS, range(4))
    assert wanted[2] == "autograd"
    as_numpy = lambda x, y, query: descent(2, 0.3)(*map(torch.tensor, (x, y, query))).numpy()  # noqa: E731
    for predictor, arrays, accuracy in (
        (in_float32(descent(2, 0.3)), "torch float64", 1e-5),
        (detached, "torch float64", 1e-7),
        (as_numpy, "numpy", 1e-7),
    ):
        found = Called(predictor, PROMPTS, arrays).gradients(PROMPTS, range(4))
        assert found[2] == ("autograd" if accuracy == 1e-5 else "central differences")
        for one, other in zip(found[:2], wanted[:2], strict=True):
            assert torch.allclose(one, other, rtol=accuracy, atol=accuracy)
