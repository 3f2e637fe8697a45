"""What affine forms enclose stays enclosed, in every operation and by exact arithmetic."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.algebra.ring_matrices import matrix_product, matrix_sum, transposed
from icgd.verify.given_linear.affine_forms import Affine
from icgd.verify.given_linear.moment_search import _tightened


def drawn(rng, e):
    """A form, and a matrix of rationals in it: c + sum_k g_k e_k + part of r."""
    c, g, r = rng.normal(size=(1, 2, 2)), rng.normal(size=(1, 2, 2, 2)), np.abs(rng.normal(size=(1, 2, 2)))
    if rng.integers(0, 2):
        g, r = 1e-9 * g, 0 * r
    share = rng.choice([-1.0, 0.5, 1.0])
    point = [
        [
            Fraction(c[0, i, j])
            + sum(Fraction(g[0, k, i, j]) * e[k] for k in range(2))
            + Fraction(r[0, i, j] * share)
            for j in range(2)
        ]
        for i in range(2)
    ]
    return Affine(c, g, r), point


def holds(form, point, e):
    return all(
        abs(
            point[i][j]
            - Fraction(form.c[0, i, j])
            - sum(Fraction(form.g[0, k, i, j]) * e[k] for k in range(2))
        )
        <= Fraction(form.r[0, i, j])
        for i in range(form.c.shape[1])
        for j in range(form.c.shape[2])
    )


@given(
    st.integers(0, 2**32 - 1), st.lists(st.sampled_from([-1, 0, 1, Fraction(1, 3)]), min_size=2, max_size=2)
)
def test_an_operation_encloses_what_it_does_to_every_point(seed, e):
    rng = np.random.default_rng(seed)
    (left, x), (right, y) = drawn(rng, e), drawn(rng, e)
    minus = [[-value for value in row] for row in y]
    assert holds(left + right, matrix_sum(x, y), e)
    assert holds(left - right, matrix_sum(x, minus), e)
    assert holds(left @ right, matrix_product(x, y), e)
    assert holds(left.T @ right, matrix_product(transposed(x), y), e)
    tensor = rng.normal(size=(2, 2, 2, 2))
    mapped = [
        [sum(Fraction(tensor[a, b, i, j]) * x[i][j] for i in range(2) for j in range(2)) for b in range(2)]
        for a in range(2)
    ]
    assert holds(left.mapped(tensor), mapped, e)
    thirds = [[Fraction(1, 3), Fraction(2, 3)], [Fraction(1, 7), Fraction(5, 7)]]
    assert holds(Affine.once(np.array(thirds, dtype=float), left), thirds, e)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_tightening_loses_no_second_moments(seed, d):
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(d + 1) for j in range(i, d + 1)]
    tokens = rng.normal(size=(int(rng.integers(1, 4)), d + 1))
    tokens[:, :d] /= np.maximum(1.0, np.linalg.norm(tokens[:, :d], axis=1, keepdims=True))
    tokens[:, d] = np.clip(tokens[:, d], -1, 1)
    G = tokens.T @ tokens / len(tokens)
    entries = np.array([G[pair] for pair in pairs])
    width = 10.0 ** rng.uniform(-8, 0, size=(2, len(pairs)))
    low, high = entries - width[0], entries + width[1]
    low, high, kept = _tightened(low[None], high[None], pairs, d)
    assert list(kept) == [0]
    assert (low[0] <= entries + 1e-15).all() and (entries <= high[0] + 1e-15).all()
