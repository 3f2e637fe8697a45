"""The literal matrices under the published formulas, written in numpy on single columns."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.construct.block.dense import DenseLayer, DenseTransformer, dense_bytes
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.relu_icgd import build
from icgd.verify.search.prompts import random_prompts
from tests.rounding import gamma


def random_layer(rng, D, heads, hidden, diagonal):
    def sparse(rows, columns):
        full = rng.standard_normal((rows, columns)) * (rng.random((rows, columns)) < 0.4)
        entries = [(i, k, full[i, k]) for i in range(rows) for k in range(columns)]
        return Sparse((rows, columns), entries)

    made = tuple(Head(sparse(D, D), sparse(D, D), sparse(D, D)) for _ in range(heads))
    return LiteralLayer(made, sparse(hidden, D), sparse(D, hidden), diagonal)


def by_columns(layer, H, sign=lambda entries: entries):
    """One layer on H of shape (D, T), token by token, exactly as the formula is printed.

    sign: np.abs for the sizes of what is added up.
    """
    T, out = H.shape[1], sign(H).copy()
    H = sign(H)
    for head in layer.heads:
        Q, K, V = (sign(matrix.dense().numpy()) for matrix in (head.Q, head.K, head.V))
        for i in range(T):
            for j in [i] if layer.diagonal else range(T):
                weight = max(0.0, float((Q @ H[:, i]) @ (K @ H[:, j])))
                out[:, i] += (V @ H[:, j]) * weight / (1 if layer.diagonal else T)
    W1, W2 = (sign(matrix.dense().numpy()) for matrix in (layer.W1, layer.W2))
    for i in range(T):
        out[:, i] = out[:, i] + W2 @ np.maximum(W1 @ out[:, i], 0)
    return out


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_layer_is_the_formula(D, heads, hidden, T, diagonal, seed):
    rng = np.random.default_rng(seed)
    layer = random_layer(rng, D, heads, hidden, diagonal)
    H = rng.standard_normal((2, T, D))
    found = DenseLayer(layer, D)(torch.from_numpy(H)).numpy()
    expected, sizes = (
        np.stack([by_columns(layer, h.T, sign).T for h in H]) for sign in (np.positive, np.abs)
    )
    # Q h, K h, V h and their products; all tokens and heads; the MLP; and this once more.
    assert (np.abs(found - expected) <= 2 * float(gamma(5 * D + T * heads + hidden + 8)) * sizes).all()


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_a_whole_block_is_the_formula(construction):
    problem = Problem(N=2, K=2, d=1, d_out=2, n=3, eps=1.0, L=2)
    transformer = build(problem, construction)
    prompt = random_prompts(problem, 3, torch.Generator().manual_seed(0))
    H = transformer.stream.pack(transformer.stream.open(prompt))
    dense = DenseTransformer(transformer)
    once = []
    for h in H.numpy():
        columns = h.T
        for layer in transformer.literal():
            columns = by_columns(layer, columns)
        once.append(columns.T)
    np.testing.assert_allclose(dense.block(H).numpy(), np.stack(once), rtol=0, atol=1e-12)
    torch.testing.assert_close(dense(H), dense.block(dense.block(H)), rtol=0, atol=0)  # L = 2: looped


def test_memory_is_known_beforehand():
    transformer = build(Problem(N=2, K=2, d=1, n=3, eps=1.0))
    dense = DenseTransformer(transformer)
    assert dense_bytes(transformer) == sum(b.numel() * b.element_size() for b in dense.buffers())


def test_precision():
    transformer = build(Problem(N=1, K=1, d=1, n=3, eps=1.0))
    dense = DenseTransformer(transformer, torch.float32)
    assert {buffer.dtype for buffer in dense.buffers()} == {torch.float32}
    prompt = random_prompts(transformer.problem, 2, torch.Generator().manual_seed(0))
    H = transformer.stream.pack(transformer.stream.open(prompt))
    single = dense.block(H.float())
    torch.testing.assert_close(single.double(), DenseTransformer(transformer).block(H), rtol=0, atol=1e-5)
