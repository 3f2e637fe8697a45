"""Exact descent on given data, and how it contracts, against numpy."""

from fractions import Fraction

import numpy as np
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.verify.linear_attention.contraction import contraction, exact_descent, least_squares
from tests.rounding import gamma, of_eigenvalues

seeds = st.integers(0, 2**32 - 1)


def exact(seed, n=7, d=3):
    generator = np.random.default_rng(seed)
    X, w = generator.standard_normal((n, d)), generator.standard_normal((d, 1))
    return X, X @ w, exact_matrix(X.tolist()), exact_matrix((X @ w).tolist())


def floats(matrix):
    return np.array([[int(value.p) / int(value.q) for value in row] for row in matrix.tolist()])


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_exact_descent_is_that_of_numpy_and_contracts(seed):
    X, Y, x, y = exact(seed)
    gram, sizes = X.T @ X / len(X), abs(X).T @ abs(X) / len(X)
    spectrum = np.linalg.eigvalsh(gram)
    rate = 1 / spectrum[-1]
    w, added = np.zeros((3, 1)), np.zeros((3, 1))
    for _ in range(6):
        w = w - rate * X.T @ (X @ w - Y) / len(X)
        added = added + rate * abs(X).T @ (abs(X) @ added + abs(Y)) / len(X)
    step = to_flint(float(rate))
    path = exact_descent(x, y, step, 6)
    # Every step sums over inputs and examples, and multiplies by the rate and 1/n.
    assert (abs(floats(path[-1]) - w) <= float(gamma(6 * (3 + 7 + 5))) * added).all()
    query = exact_matrix([[1.0, 2.0, -1.0]])
    answer = (query * path[-1])[0, 0]
    found = contraction(x, path[-1], least_squares(x, y), step, 6, query, answer)
    off = Fraction(of_eigenvalues(gram) + float(gamma(len(X) + 1)) * np.linalg.norm(sizes))
    low, high = Fraction(float(spectrum[0])), Fraction(float(spectrum[-1]))
    least, most = (to_flint((high - e) / (low + e)) for e in (off, -off))
    assert found.holds and found.kappa > least and (off >= low or found.kappa < most)
    # With a step of 1/lambda_max the factor is 1 - 1/kappa, but for the rounding of the step.
    assert abs(found.factor - to_flint(1 - low / high)) < to_flint(2 * off / high + gamma(2))
    off = contraction(x, path[-1] * 5 + path[0], least_squares(x, y), step, 60, query, answer)
    assert not off.holds
    far = contraction(x, path[-1], least_squares(x, y), step, 6, query, answer + 100)
    assert not far.holds


def test_singular_data_has_no_condition_number():
    x, y = exact_matrix([[1.0, 2.0]]), exact_matrix([[1.0]])
    assert least_squares(x, y) is None
    w = exact_descent(x, y, fmpq(1, 10), 3)[-1]
    found = contraction(x, w, None, fmpq(1, 10), 3, exact_matrix([[1.0, 1.0]]), fmpq(0))
    assert found.measured is None and not found.holds and not found.kappa.is_finite()
