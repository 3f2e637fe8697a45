"""The looped block against descent and against its own formula, and the saved file."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import LoopedProblem
from icgd.construct import looped
from icgd.construct.looped import LoopedTransformer, build
from icgd.construct.machine import memory
from icgd.construct.regression_tokens import stream
from tests.rounding import gamma


def prompt(seed, batch=3, n=6, d=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((batch, n, d), (batch, n), (batch, d))
    return [torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.01, 0.5), st.integers(0, 8))
def test_loops_are_gradient_steps_by_autograd(seed, eta, loops):
    x, y, query = prompt(seed)
    w = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(loops):
        loss = ((torch.einsum("bnd,bd->bn", x, w) - y) ** 2).sum() / (2 * 6)
        w = (w - eta * torch.autograd.grad(loss, w)[0]).detach().requires_grad_()
    transformer = LoopedTransformer(eta, 2)
    labels = transformer.labels(x, y, query, loops)
    residual = y - torch.einsum("bnd,bd->bn", x, w.detach())
    # Every loop adds products of three: over n examples and d inputs twice, times eta/n, to what was there.
    tokens, sizes = (
        torch.cat([x, query[:, None]], dim=1).abs(),
        torch.cat([y, torch.zeros(3, 1)], dim=1).abs(),
    )
    for _ in range(loops):
        sizes = sizes + eta / 6 * torch.einsum("bi,bid,bjd->bj", sizes[:, :-1], x.abs(), tokens)
    room = 2 * float(gamma(loops * (6 + 2 * 2 + 5) + 4)) * sizes
    assert ((labels[-1, :, :-1] - residual).abs() <= room[:, :-1]).all()
    found = transformer.predict(x, y, query, loops)
    assert found.shape == (loops + 1, 3)
    assert ((found[-1] - (query * w.detach()).sum(-1)).abs() <= room[:, -1]).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 4), st.booleans())
def test_any_weights_run_as_the_formula(seed, zeros, one_row):
    transformer = LoopedTransformer(0.1, 2)
    generator = torch.Generator().manual_seed(seed)
    for part in (transformer.P, transformer.Q):
        part.copy_(torch.randn(3, 3, generator=generator, dtype=torch.float64) / 2)
        part[torch.rand(3, 3, generator=generator) < zeros / 4] = 0
    if one_row:
        transformer.P[:2] = 0
    H = stream(*prompt(seed))
    Z, M = H.mT.numpy(), np.diag([1.0] * 6 + [0.0])
    P, Q = transformer.P.numpy(), transformer.Q.numpy()
    once, sizes = (
        (z + p @ z @ M @ (z.transpose(0, 2, 1) @ q @ z) / 6).transpose(0, 2, 1)
        for z, p, q in ((Z, P, Q), (abs(Z), abs(P), abs(Q)))
    )
    room = (
        2 * float(gamma(3 * 3 + 6 + 4)) * sizes
    )  # by P, Q and the inputs, over the examples; 1/n and the sum
    for found in (transformer(H), transformer.literal(H)):
        assert (abs(found.numpy() - once) <= room).all()
    labels = transformer.labels(*prompt(seed), 1)[1]
    assert (abs(labels.numpy() - once[..., -1]) <= room[..., -1]).all()
    before = H.clone()
    transformer(H, 2)
    assert torch.equal(H, before)  # the stream given is left as it was


def test_groups_of_prompts_do_not_change_the_result(monkeypatch):
    x, y, query = prompt(0, batch=7)
    transformer = LoopedTransformer(0.1, 2)
    whole = transformer.labels(x, y, query, 4)
    monkeypatch.setattr(looped, "_CHUNK", 50)
    torch.testing.assert_close(transformer.labels(x, y, query, 4), whole, rtol=0, atol=1e-14)
    torch.testing.assert_close(transformer(stream(x, y, query), 4)[..., -1], whole[-1], rtol=0, atol=1e-14)


def test_precision_follows_the_inputs():
    x, y, query = prompt(0, dtype=torch.float32)
    assert build(LoopedProblem(d=2, n=6)).predict(x, y, query, 3).dtype == torch.float32


def test_written_matrices_run_in_numpy(tmp_path):
    transformer, (x, y, query) = LoopedTransformer(0.2, 2), prompt(1)
    transformer.save(tmp_path / "weights.safetensors")
    weights = load_file(tmp_path / "weights.safetensors")
    P, Q = weights["layer.00.P"].numpy(), weights["layer.00.Q"].numpy()
    Z, M = stream(x, y, query).mT.numpy(), np.diag([1.0] * 6 + [0.0])
    for _ in range(5):
        Z = Z + P @ Z @ M @ Z.transpose(0, 2, 1) @ Q @ Z / 6
    np.testing.assert_allclose(-Z[:, -1, -1], transformer.predict(x, y, query, 5)[-1].numpy(), atol=1e-12)
    assert transformer.parameters_count == 18


def test_memory_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 100)
    with pytest.raises(ProblemError, match="size"):
        LoopedTransformer(0.1, 2).labels(*prompt(0), 3)


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, q: (x[..., :1], y, q), r"^x = shape \(3, 6, 1\): shape \(any, any, 2\) is needed"),
        (lambda x, y, q: (x, y[:1], q), r"^y = .*so \(3, 6\) is needed"),
        (lambda x, y, q: (x, y[:, :1], q), r"^y = .*so \(3, 6\) is needed"),
        (lambda x, y, q: (x, y, q[:1]), r"^query = .*so \(3, 2\) is needed"),
        (lambda x, y, q: (x, y, q[:, :1]), r"^query = .*so \(3, 2\) is needed"),
        (lambda x, y, q: (x, y, q.to("meta")), "^query = on meta: x is on cpu"),
        (lambda x, y, q: (x, y.float(), q), "^y = torch.float32: x is torch.float64"),
        (lambda x, y, q: (x[:0], y[:0], q[:0]), "one prompt and one example at least"),
    ],
)
def test_prompts_that_misfit_are_refused_in_one_sentence(change, words):
    transformer, parts = LoopedTransformer(0.1, 2), change(*prompt(0))
    for call in (transformer.labels, transformer.predict):
        with pytest.raises(ProblemError, match=words):
            call(*parts, 3)


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize("shape", [(3, 6, 2), (3, 6, 4), (6, 3), (3, 1, 3)])
def test_streams_that_misfit_are_refused(shape):
    transformer, H = LoopedTransformer(0.1, 2), torch.zeros(shape, dtype=torch.float64)
    for call in (transformer, transformer.literal):
        with pytest.raises(ProblemError, match=r"^tokens = shape .*: shape \(any, any, 3\) is needed"):
            call(H)
    with pytest.raises(ProblemError, match=r"^loops = -1: a whole number from 0"):
        transformer.labels(*prompt(0), -1)


def test_the_file_says_for_which_letters_it_is(tmp_path):
    problem = LoopedProblem(d=2, n=40, T=7)
    build(problem).save(tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "numpy") as file:
        assert LoopedProblem.parse(json.loads(file.metadata()["problem"])) == problem
