"""Sparse literal matrices against numpy's full ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from tests.rounding import gamma

values = st.floats(-1e3, 1e3, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-3)


@st.composite
def matrices(draw, rows=None, columns=None):
    shape = (rows or draw(st.integers(1, 7)), columns or draw(st.integers(1, 7)))
    places = st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1), values)
    entries = draw(st.lists(places, max_size=20))
    full = np.zeros(shape)
    for i, k, value in entries:
        full[i, k] += value
    return Sparse(shape, iter(entries)), full


@settings(deadline=None, max_examples=200)
@given(matrices())
def test_against_numpy(both):
    sparse, full = both
    assert sparse.shape == full.shape
    assert np.array_equal(sparse.dense().numpy(), full)
    assert abs(sparse.norm() - np.linalg.norm(full, 2)) <= of_norm(full)


def of_norm(full):
    """How far the operator norm by the Gram matrix may be from that by numpy's singular values.

    The Gram matrix rounds by gamma_n of the squared Frobenius norm, at most n times the square of the
    operator norm, and its eigenvalues by 10 n roundings; a root halves that.  Singular values take no more.
    """
    n = max(full.shape)
    return float(gamma(n * n + 20 * n)) * np.linalg.norm(full)


@pytest.mark.parametrize("shape", [(1, 1), (40, 3), (3, 40), (30, 30)])
def test_norm_of_full_matrices(shape):
    full = np.random.default_rng(sum(shape)).standard_normal(shape)
    sparse = Sparse(shape, [(i, k, full[i, k]) for i in range(shape[0]) for k in range(shape[1])])
    assert sparse.norm() == pytest.approx(np.linalg.svd(full)[1][0], rel=1e-13)


def test_equal_places_add_up_and_zeros_do_not_count():
    sparse = Sparse((2, 2), [(0, 1, 1.0), (0, 1, 2.0), (1, 0, 5.0), (1, 0, -5.0), (1, 1, 0.0)])
    assert sparse.dense().tolist() == [[0.0, 3.0], [0.0, 0.0]]
    assert sparse.nonzeros == 1 and sparse.norm() == 3.0


def test_an_empty_matrix():
    for shape in ((3, 2), (0, 4), (4, 0)):
        empty = Sparse(shape, [])
        assert (empty.shape, empty.nonzeros, empty.norm()) == (shape, 0, 0.0)
        assert tuple(empty.dense().shape) == shape


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(*[matrices(4, 4)] * 3), max_size=3), matrices(3, 4), matrices(4, 3))
def test_norm_and_parameters_of_a_layer(heads, first, second):
    layer = LiteralLayer(
        tuple(Head(*(sparse for sparse, _ in head)) for head in heads), first[0], second[0], diagonal=False
    )

    def norm(full):
        return np.linalg.norm(full, 2)

    reach = max((norm(full) for head in heads for _, full in head[:2]), default=0.0)
    values = sum(norm(head[2][1]) for head in heads)
    expected = reach + values + norm(first[1]) + norm(second[1])
    full = [matrix for head in heads for _, matrix in head] + [first[1], second[1]]
    sums = float(gamma(5)) * sum(np.linalg.norm(matrix) for matrix in full)
    assert abs(layer.norm() - expected) <= sum(map(of_norm, full)) + sums
    assert layer.parameters() == sum(np.count_nonzero(matrix) for matrix in full)
    assert layer.hidden == 3 and layer.sublayers == bool(heads) + 1
    assert LiteralLayer((), Sparse((0, 4), []), Sparse((4, 0), []), False).sublayers == 0
