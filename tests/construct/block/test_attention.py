"""Kinds of attention: their weights against numpy, unknown kinds, and added kinds."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.kernel import KERNELS, Kernel
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct import functional, looped, preconditioned, relu_icgd, softmax_icgd
from icgd.construct.block.attention import ATTENTIONS, Attention, attention, similarities
from icgd.construct.block.dense import DenseLayer
from icgd.verify.kernels.formula import values

SCORES = np.random.default_rng(0).standard_normal((2, 3, 4))
WILD = [Kernel("cosine", "cos(3*s)"), Kernel("tempered", "exp(s/2) + 1", normalised=True)]


@pytest.mark.parametrize("keys", [-1, -2])
@pytest.mark.parametrize("kernel", [*KERNELS.values(), *WILD], ids=lambda kernel: kernel.name)
def test_every_kernel_acts_on_scores_as_its_formula_says(kernel, keys):
    found = similarities(kernel, torch.from_numpy(SCORES), keys).numpy()
    expected = np.broadcast_to(values(kernel.formula, s=SCORES), SCORES.shape)
    expected = expected / expected.sum(axis=keys, keepdims=True) if kernel.normalised else expected
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_softmax_does_not_overflow():
    scores = torch.tensor([[1000.0, 999.0]], dtype=torch.float64)
    assert similarities(KERNELS["softmax"], scores)[0, 0].item() == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_kind_has_a_kernel_and_a_divisor(name):
    kind = attention(name)
    assert kind is ATTENTIONS[name] and kind.kernel in KERNELS and 1 <= kind.divisor(5) <= 5
    weights = kind.weights(torch.from_numpy(SCORES))
    assert weights.shape == SCORES.shape and weights.dtype == torch.float64


def test_a_kind_that_is_not_there_is_refused_by_name():
    block = relu_icgd.build(Problem(N=1, K=1, d=1, eps=1.0))
    layer = next(iter(block.literal()))
    for call in (lambda: attention("cosine"), lambda: DenseLayer(layer, block.stream.D, kind="cosine")):
        with pytest.raises(ProblemError, match=r"^attention = cosine: not one of relu, softmax, linear"):
            call()
    with pytest.raises(ValueError, match="the attention mine: cosine is not one of linear, exp"):
        ATTENTIONS.register(Attention("mine", "cosine"))
    with pytest.raises(ProblemError, match=r"^kernel = cosine: not one of linear, exp"):
        functional.similarity("cosine", torch.ones(1, 1, 1), torch.ones(1, 1, 1))


def test_a_registered_kind_is_run_by_the_literal_reading():
    block = relu_icgd.build(Problem(N=1, K=1, d=1, n=2, eps=1.0))
    layer = next(layer for layer in block.literal() if layer.heads)
    H = torch.randn(2, 3, block.stream.D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with KERNELS.temporarily(WILD[0]), ATTENTIONS.temporarily(Attention("mine", "cosine", "examples")):
        found = DenseLayer(layer, block.stream.D, kind="mine")(H)
    expected = H.numpy().copy()
    for head in layer.heads:
        Q, K, V = (part.dense().numpy() for part in (head.Q, head.K, head.V))
        scores = H.numpy() @ Q.T @ (H.numpy() @ K.T).transpose(0, 2, 1)
        expected += np.cos(3 * scores) @ (H.numpy() @ V.T) / 2
    W1, W2 = layer.W1.dense().numpy(), layer.W2.dense().numpy()
    expected += np.maximum(expected @ W1.T, 0) @ W2.T
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_files_name_their_kind(tmp_path):
    path = tmp_path / "weights.safetensors"
    small = Problem(N=1, K=1, d=1, n=2, eps=1.0)
    kinds = {}
    for theorem, problem in (
        (relu_icgd, small),
        (softmax_icgd, small),
        (looped, looped.LoopedProblem(d=1, n=2)),
        (preconditioned, preconditioned.PreconditionedProblem(d=1, n=2, L=1)),
    ):
        theorem.MODEL.save(theorem.build(problem), path)
        with safe_open(path, "numpy") as file:
            kinds[theorem] = file.metadata()["attention"]
    assert list(kinds.values()) == ["relu", "softmax", "linear", "linear"]
    functional.build(FunctionalProblem(d=1, n=2, L=1, kernel="quadratic+softmax")).save(path)
    with safe_open(path, "numpy") as file:
        found = {name: json.loads(file.metadata()[name]) for name in ("kernels", "formulas", "normalised")}
    assert found == {
        "kernels": ["quadratic", "softmax"],
        "formulas": {"quadratic": "(1 + s)**2", "softmax": "exp(s)"},
        "normalised": ["softmax"],
    }
