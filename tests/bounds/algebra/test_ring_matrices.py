"""Matrices over rings, against numpy on whole numbers."""

import numpy as np
import pytest

from icgd.bounds.algebra.ring_matrices import diagonal, matrix_product, matrix_sum, scaled, transposed


def test_operations_are_those_of_numpy():
    generator = np.random.default_rng(0)
    A, B, C = (generator.integers(-9, 9, shape) for shape in ((2, 3), (3, 4), (2, 3)))
    a, b, c = A.tolist(), B.tolist(), C.tolist()
    assert matrix_product(a, b) == (A @ B).tolist()
    assert matrix_sum(a, c) == (A + C).tolist()
    assert scaled(5, a) == (5 * A).tolist()
    assert transposed(a) == A.T.tolist()
    assert diagonal([3, -1, 4], 0) == np.diag([3, -1, 4]).tolist()


def test_sums_of_other_shapes_are_refused():
    with pytest.raises(ValueError):
        matrix_sum([[1, 2]], [[1]])
    with pytest.raises(ValueError):
        matrix_sum([[1], [2]], [[1]])
