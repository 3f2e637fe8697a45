"""Attention against functional descent, structured against literal matrices, and the saved file."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.kernel import KERNELS
from icgd.bounds.letters import ProblemError
from icgd.construct import functional
from icgd.construct.functional import FunctionalTransformer, build
from icgd.construct.machine import memory
from icgd.construct.regression_tokens import stream
from icgd.verify.kernels.formula import values
from tests.rounding import gamma

kernels = st.lists(st.sampled_from([*KERNELS]), min_size=1, max_size=4)


def prompt(seed, batch=3, n=5, d=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((batch, n, d), (batch, n), (batch, d))
    return [torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype) / 2 for size in sizes]


def similar(name, inner, keys):
    """The kernel of scores: the four of the paper by hand, others by numpy from their formulas."""
    by_hand = {"linear": inner, "exp": np.exp(inner), "relu": np.maximum(inner, 0), "softmax": np.exp(inner)}
    value = by_hand.get(name, values(KERNELS[name].formula, s=inner))
    examples = np.take(value, range(value.shape[keys] - 1), axis=keys)  # the query's key comes last
    return value / examples.sum(axis=keys, keepdims=True) if KERNELS[name].normalised else value


def K(name, u, points):
    return similar(name, points @ u, 0)


def sizes_of(name, inner, sizes, keys):
    """The kernel where all that its scores add up has one sign; of a normalised one, the kernel itself."""
    return similar(name, inner if KERNELS[name].normalised else sizes, keys)


def in_kernel(sizes, roundings, tokens):
    """Roundings of a kernel value, relative to its size, if scores of these sizes meet so many.

    s k'(s) is at most (2 + s) k(s) for s >= 0, for every kernel; a normalised one is a quotient of two.
    """
    return 2 * math.ceil(2 + float(sizes.max())) * roundings + 8 + tokens


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), kernels, st.lists(st.floats(0.001, 0.2), min_size=1, max_size=6))
def test_layers_are_steps_of_functional_descent(seed, names, rates):
    """One prompt, functions as Python callables: f + r sum_i (y_i - f(x_i)) K(., x_i)."""
    x, y, query = prompt(seed, batch=1)
    points = torch.cat([x[0], query]).numpy()
    K_all = [sum(K(name, u, points) for name in names) for u in points]
    f = np.zeros(len(points))
    expected = [f]
    for rate in rates:
        f = f + rate * np.array([np.dot(row[:-1], y[0].numpy() - f[:-1]) for row in K_all])
        expected.append(f)
    transformer = FunctionalTransformer(names, rates, 2)
    found = transformer.labels(x, y, query)[:, 0].numpy()
    labels = np.append(y[0].numpy(), 0.0)
    inner, sizes, tokens = points @ points.T, abs(points) @ abs(points).T, len(points)
    absolute = sum(sizes_of(name, inner, sizes, 0) for name in names)[:-1]
    row, off = abs(labels), []
    each = (
        in_kernel(sizes, 2, tokens) + tokens + len(names) + 3
    )  # a step: its kernels, their sum and that of labels
    for step in range(len(rates) + 1):
        off.append(2 * float(gamma(step * each)) * row)
        row = row + max(rates) * row[:-1] @ absolute
    assert (abs(found - (labels - np.array(expected))) <= np.array(off)).all()
    assert (abs(transformer(stream(x, y, query))[0, :, -1].numpy() - found[-1]) <= off[-1]).all()
    np.testing.assert_array_equal(transformer.predict(x, y, query)[:, 0].numpy(), -found[:, -1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), kernels)
def test_other_weights_run_as_the_formula(seed, names):
    transformer = FunctionalTransformer(names, [0.1, 0.2], 2)
    generator = torch.Generator().manual_seed(seed)
    for part in (transformer.V, transformer.B, transformer.C):
        part.copy_(torch.randn(part.shape, generator=generator, dtype=torch.float64) / 3)
    x, y, query = prompt(seed)
    H = stream(x, y, query)
    Z = H.mT.numpy()
    M = np.diag([1.0] * 5 + [0.0])
    sizes, roundings = abs(Z), 0
    for V, B, C in zip(transformer.V.numpy(), transformer.B.numpy(), transformer.C.numpy(), strict=True):
        added, adds, most = 0, 0, 0
        for name, v, b, c in zip(names, V, B, C, strict=True):
            inner = (b @ Z[:, :2]).transpose(0, 2, 1) @ (c @ Z[:, :2])
            scores = (abs(b) @ sizes[:, :2]).transpose(0, 2, 1) @ (abs(c) @ sizes[:, :2])
            added = added + v @ Z @ M @ similar(name, inner, 1)
            adds = adds + abs(v) @ sizes @ M @ sizes_of(name, inner, scores, 1)
            most = max(most, in_kernel(scores, 2 * roundings + 6, 6))
        Z, sizes = Z + added, sizes + adds
        roundings += most + 3 + 6 + len(names) + 1  # by V, over tokens and heads, and to what was there
    room = 2 * float(gamma(roundings)) * sizes
    assert (abs(transformer(H).mT.numpy() - Z) <= room).all()
    assert (abs(transformer.labels(x, y, query)[-1].numpy() - Z[:, -1]) <= room[:, -1]).all()


@pytest.mark.parametrize("normaliser", ["examples", "tokens"])
def test_width_and_normaliser_in_both_readings_and_in_the_file(normaliser, tmp_path):
    """One step by hand: y - r sum_i y_i K(x_i, .), exp of <x, x'> / 0.25 over its sum, and relu of it."""
    problem = FunctionalProblem(d=2, n=5, L=1, r=0.1, kernel="softmax+relu", sigma=0.5, normaliser=normaliser)
    x, y, query = prompt(6, batch=1)
    points = torch.cat([x[0], query]).numpy()
    inner = points @ points.T / 0.25
    sums = np.exp(inner[: 6 if normaliser == "tokens" else 5]).sum(axis=0)
    K = np.exp(inner) / sums + np.maximum(inner, 0)
    expected = np.append(y[0].numpy(), 0) - 0.1 * y[0].numpy() @ K[:5]
    transformer = build(problem)
    structured, literal = transformer.labels(x, y, query)[1, 0], transformer(stream(x, y, query))[0, :, -1]
    for found in (structured, literal):
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14 * abs(inner).max() ** 2)
    transformer.save(tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("layer.00.Q")[0], np.diag([4.0, 4.0, 0.0]))
        assert "sigma" in file.metadata()["problem"] and normaliser[:-1] in file.metadata()["normaliser"]


def test_groups_of_prompts_do_not_change_the_result(monkeypatch):
    x, y, query = prompt(0, batch=7)
    transformer = FunctionalTransformer(("exp", "linear"), [0.05] * 3, 2)
    whole = transformer.labels(x, y, query)
    monkeypatch.setattr(functional, "_CHUNK", 60)
    torch.testing.assert_close(transformer.labels(x, y, query), whole, rtol=0, atol=1e-14)


def test_precision_follows_the_inputs():
    x, y, query = prompt(0, dtype=torch.float32)
    transformer = build(FunctionalProblem(d=2, n=5, L=3))
    assert transformer.labels(x, y, query).dtype == torch.float32
    assert transformer(stream(x, y, query)).dtype == torch.float32


def test_written_matrices_run_in_numpy(tmp_path):
    x, y, query = prompt(4)
    transformer = FunctionalTransformer(("exp", "relu"), [0.1, 0.05], 2)
    transformer.save(tmp_path / "weights.safetensors")
    Z, M = stream(x, y, query).mT.numpy(), np.diag([1.0] * 5 + [0.0])
    with safe_open(tmp_path / "weights.safetensors", "numpy") as file:
        assert file.metadata()["kernels"] == '["exp", "relu"]'
        for layer in range(2):
            P, Q = (file.get_tensor(f"layer.{layer:02d}.{name}") for name in "PQ")
            inner = [Z.transpose(0, 2, 1) @ q @ Z for q in Q]
            Z = Z + P[0] @ Z @ M @ np.exp(inner[0]) + P[1] @ Z @ M @ np.maximum(inner[1], 0)
    np.testing.assert_allclose(Z[:, -1], transformer.labels(x, y, query)[-1].numpy(), atol=1e-12)


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(ProblemError, match="kernel"):
        FunctionalTransformer(("cosine",), [0.1], 2)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    transformer = FunctionalTransformer(("exp",), [0.1], 2)
    x, y, query = prompt(0)
    for call in (lambda: transformer.labels(x, y, query), lambda: transformer(stream(x, y, query))):
        with pytest.raises(ProblemError, match="size"):
            call()


def misfits():
    """What is no batch of prompts in d = 2, and the words that name it."""
    x, y, query = prompt(0)
    return {
        "d": ((x[..., :1], y, query[:, :1]), r"^x = shape \(3, 5, 1\): shape \(any, any, 2\) is needed"),
        "d of the query": ((x, y, query[:, :1]), r"^query = .*so \(3, 2\) is needed"),
        "one query for all": ((x, y, query[:1]), r"^query = .*so \(3, 2\) is needed"),
        "one y for all": ((x, y[:1], query), r"^y = shape \(1, 5\): x has shape \(3, 5, 2\), so \(3, 5\)"),
        "n": ((x, y[:, :4], query), r"^y = .*so \(3, 5\) is needed"),
        "columns": ((x, y[..., None], query), r"^y = shape \(3, 5, 1\)"),
        "no batch": ((x[0], y[0], query[0]), r"^x = shape \(5, 2\): shape \(any, any, 2\)"),
        "no prompt": ((x[:0], y[:0], query[:0]), "one prompt and one example at least"),
        "no example": ((x[:, :0], y[:, :0], query), "one prompt and one example at least"),
        "device": ((x, y.to("meta"), query), "^y = on meta: x is on cpu, and one device is needed"),
        "precision": ((x, y, query.float()), "^query = torch.float32: x is torch.float64"),
        "whole numbers": ((x.long(), y.long(), query.long()), "^x = torch.int64: floating-point"),
    }


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize("which", misfits())
@pytest.mark.parametrize("kernel", KERNELS)
def test_prompts_that_misfit_are_refused_in_one_sentence(which, kernel):
    parts, words = misfits()[which]
    transformer = FunctionalTransformer((kernel,), [0.1], 2)
    for call in (transformer.labels, transformer.predict):
        with pytest.raises(ProblemError, match=words):
            call(*parts)


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize("shape", [(3, 6, 2), (3, 6, 4), (6, 3), (3, 1, 3), (0, 6, 3)])
def test_streams_that_misfit_are_refused(shape):
    with pytest.raises(ProblemError, match=r"^tokens = shape .*: shape \(any, any, 3\) is needed"):
        FunctionalTransformer(("exp",), [0.1], 2)(torch.zeros(shape, dtype=torch.float64))


def test_the_file_says_for_which_letters_it_is(tmp_path):
    problem = FunctionalProblem(d=2, n=5, L=3)
    build(problem).save(tmp_path / "posed.safetensors")
    FunctionalTransformer(("exp",), [0.1], 2).save(tmp_path / "free.safetensors")
    with safe_open(tmp_path / "posed.safetensors", "numpy") as file:
        assert FunctionalProblem.parse(json.loads(file.metadata()["problem"])) == problem
    with safe_open(tmp_path / "free.safetensors", "numpy") as file:
        assert "problem" not in file.metadata()
