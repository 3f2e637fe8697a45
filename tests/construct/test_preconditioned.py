"""Linear attention against the layer's formula, and its saved file read with numpy alone."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.construct.preconditioned import (
    LinearAttention,
    build,
    family,
    one_layer,
    rounded_tensor,
    sparse,
    tokens,
)
from tests.rounding import gamma


def prompts(batch, n, d, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw = [
        torch.randn(*s, generator=generator, dtype=dtype) for s in ((batch, n, d), (batch, n), (batch, d))
    ]
    return tuple(draw)


def literal(P, Q, Z, masked):
    n = Z.shape[1] - 1
    M = np.diag([1.0] * n + [0.0 if masked else 1.0])
    for p, q in zip(P, Q, strict=True):
        Z = Z + p @ Z @ M @ (Z.T @ q @ Z) / n
    return Z


@settings(max_examples=30, deadline=None)
@given(*[st.integers(1, 4)] * 3, st.booleans(), st.integers(0, 10**6))
def test_the_model_is_the_formula(d, n, L, masked, seed):
    generator = torch.Generator().manual_seed(seed)
    P, Q = 0.3 * torch.randn(2, L, d + 1, d + 1, generator=generator, dtype=torch.float64)
    x, y, query = prompts(3, n, d, seed)
    predicted = LinearAttention(P, Q, masked)(x, y, query).detach().numpy()
    roundings = 0
    for _ in range(L):  # three factors Z, by P, Q and over tokens, and 1/n and the sum
        roundings = 3 * roundings + 3 * (d + 1) + (n + 1) + 3
    for b, Z in enumerate(tokens(x, y, query).numpy()):
        wanted = -literal(P.numpy(), Q.numpy(), Z, masked)[-1, -1]
        sizes = literal(abs(P).numpy(), abs(Q).numpy(), abs(Z), masked)[-1, -1]
        assert abs(predicted[b] - wanted) <= 2 * float(gamma(roundings)) * sizes


def test_dtype_follows_the_inputs_and_the_weights():
    model = build(PreconditionedProblem())
    assert model(*prompts(2, 10, 2, 0)).dtype == torch.float64
    assert model.float()(*prompts(2, 10, 2, 0, torch.float32)).dtype == torch.float32


def test_the_file_predicts_in_numpy_alone(tmp_path):
    problem = PreconditionedProblem(L=2)
    model = build(problem)
    model.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        P, Q, metadata = file.get_tensor("P"), file.get_tensor("Q"), file.metadata()
    assert "Z^T Q Z" in metadata["layer"] and P.shape == Q.shape == (2, 3, 3)
    x, y, query = prompts(1, problem.n, problem.d, 5)
    wanted = -literal(P, Q, tokens(x, y, query)[0].numpy(), True)[-1, -1]
    assert model(x, y, query).item() == pytest.approx(wanted, abs=1e-13)


def test_matrices_have_the_blocks_of_the_theorems():
    problem = PreconditionedProblem()
    made = family(problem, (0.5, 0.25), (2.0,))
    P, Q = sparse(made.A, made.B)
    assert torch.equal(P[0], torch.diag(torch.tensor([2.0, 2.0, 1.0]).double())) and not P[1, :2].any()
    S = rounded_tensor(problem.covariance)
    assert torch.allclose(-Q[0, :2, :2] @ S, 0.5 * torch.eye(2).double(), atol=1e-14)
    assert not Q[:, -1].any() and not Q[:, :, -1].any()
    assert len(one_layer(problem).P) == 1


@pytest.mark.usefixtures("any_shapes")
def test_shapes_that_are_not_layers_are_refused():
    with pytest.raises(ProblemError, match="are \\(L, d\\+1, d\\+1\\)"):
        LinearAttention(torch.eye(3), torch.eye(3))


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, q: (x[..., :1], y, q[:, :1]), r"^x = .*: shape \(any, any, 2\) is needed"),
        (lambda x, y, q: (x, y[:1], q), r"^y = .*so \(3, 7\) is needed"),
        (lambda x, y, q: (x, y[:, :1], q), r"^y = .*so \(3, 7\) is needed"),
        (lambda x, y, q: (x, y, q[:1]), r"^query = .*so \(3, 2\) is needed"),
        (lambda x, y, q: (x, y.to("meta"), q), "^y = on meta: x is on cpu"),
        (lambda *parts: [part.to("meta") for part in parts], "^tokens = on meta: the model is on cpu"),
        (lambda x, y, q: (x[:, :0], y[:, :0], q), "one prompt and one example at least"),
    ],
)
def test_prompts_that_misfit_are_refused_in_one_sentence(change, words):
    with pytest.raises(ProblemError, match=words):
        build(PreconditionedProblem())(*change(*prompts(3, 7, 2, 0)))


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize("shape", [(3, 2, 6), (3, 6, 3), (3, 6), (3, 3, 1)])
def test_tokens_that_misfit_are_refused(shape):
    with pytest.raises(ProblemError, match=r"^tokens = shape .*: shape \(any, 3, any\) is needed"):
        build(PreconditionedProblem()).states(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("make", [build, one_layer])
def test_the_file_says_for_which_letters_it_is(make, tmp_path):
    problem = PreconditionedProblem(d=3, n=7, L=2, S="2,1,1/2")
    make(problem).save(tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "np") as file:
        assert PreconditionedProblem.parse(json.loads(file.metadata()["problem"])) == problem


@pytest.mark.parametrize("S", ["2,1/2", "2,1/2;1/2,1", "2,0;0,1/2"])
def test_what_is_built_and_said_for_each_prior(S, tmp_path):
    """Theorem 1's minimiser by numpy from the covariance in the file, and Theorem 3's first factor S^-1."""
    for prior in ("identity", "inverse"):
        problem = PreconditionedProblem(d=2, n=6, L=1, S=S, prior=prior)
        build(problem).save(tmp_path / "one.safetensors")
        with safe_open(tmp_path / "one.safetensors", "numpy") as file:
            Q, metadata = file.get_tensor("Q")[0], file.metadata()
        C = np.array(json.loads(metadata["S"]))
        if ";" in S:
            given = np.array([[float(Fraction(v)) for v in row.split(",")] for row in S.split(";")])
            assert np.abs(C - given).max() < 1e-15
        expected = np.linalg.inv(7 / 6 * C + np.trace(C) / 6 * np.eye(2))
        if prior == "inverse":
            expected = 6 / (6 + 2 + 1) * np.linalg.inv(C)
        assert Q[:2, :2] == pytest.approx(-expected, rel=1e-12, abs=1e-14)
        assert ("Theorem 1" in metadata["w"]) == (prior == "identity")
        assert metadata["prediction"].startswith("-Z[d, n]")
