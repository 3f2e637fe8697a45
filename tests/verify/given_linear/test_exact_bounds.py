"""Bounds on forms over two balls are above every point of them, and near the largest."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.rationals import exact_matrix
from icgd.verify.given_linear.exact_bounds import (
    floats,
    is_above,
    largest_eigenvalue,
    largest_response,
    spectral_norm,
    two_ball_bound,
)

SEEDS = st.integers(0, 2**32 - 1)


def forms(rng, count, d):
    drawn = rng.normal(size=(count, d + 1, d + 1)) * 10.0 ** rng.integers(-6, 3)
    kept = rng.integers(0, 2, size=(1, d + 1, d + 1))
    return (drawn * kept + (drawn * kept).swapaxes(1, 2)) / 2


def best_point(forms, rng):
    """The largest norm2((z^T S_e z)_e) that an ascent reaches: |x| <= 1, |y| <= 1."""
    found = 0.0
    d = forms.shape[1] - 1
    for _ in range(30):
        z = rng.normal(size=d + 1)
        for _ in range(60):
            z[:d] /= max(1.0, np.linalg.norm(z[:d]))
            z[d] = np.clip(z[d], -1, 1)
            values = np.einsum("b,ebc,c->e", z, forms, z)
            found = max(found, np.linalg.norm(values))
            weight = values / max(np.linalg.norm(values), 1e-300)
            slope = np.einsum("e,ebc,c->b", weight, forms, z)
            z = z + slope / max(np.linalg.norm(slope), 1e-300)
    return found


@settings(max_examples=5)
@given(SEEDS, st.integers(1, 3))
def test_a_response_is_bounded_from_above_and_nearly_reached(seed, d):
    rng = np.random.default_rng(seed)
    drawn = forms(rng, d, d)
    bound = largest_response([exact_matrix(form.tolist()) for form in drawn])
    reached = best_point(drawn, rng)
    assert reached <= bound * (1 + 1e-12)
    assert bound <= 1.1 * reached + 1e-300
    for form in drawn:
        one = best_point(form[None], rng)
        both = max(two_ball_bound(exact_matrix(part.tolist())) for part in (form, -form))
        assert one <= both * (1 + 1e-12) and both <= 1.05 * one + 1e-300


def test_eigenvalues_and_norms_are_above_those_of_numpy_and_close():
    rng = np.random.default_rng(2)
    for size in (1, 2, 5):
        matrix = rng.normal(size=(size, size))
        exact, symmetric = exact_matrix(matrix.tolist()), matrix + matrix.T
        top = max(np.linalg.eigvalsh(symmetric)[-1], 0.0)
        assert top <= largest_eigenvalue(exact_matrix(symmetric.tolist())) <= top + 1e-9
        norm = np.linalg.norm(matrix, 2)
        assert norm * (1 - 1e-12) <= spectral_norm(exact) <= norm * (1 + 1e-6)
    for matrix, kept in (([[2.0, 1.0], [1.0, 2.0]], True), ([[2.0, 3.0], [3.0, 2.0]], False)):
        assert is_above([3.5, 3.5], exact_matrix(matrix)) is kept
    assert largest_response([exact_matrix([[0.0, 0.0], [0.0, 0.0]])]) == 0.0
    cross = [exact_matrix([[0, 0, 3], [0, 0, 0], [3, 0, 0]]), exact_matrix([[0, 0, 0], [0, 0, 4], [0, 4, 0]])]
    assert abs(largest_response(cross) - 8) < 1e-6  # 2 norm2 diag(3, 4)


def test_what_floats_lose_is_not_lost():
    tiny = exact_matrix([[0.0, 1e-200], [1e-200, 0.0]])
    square = tiny * tiny
    assert floats(square).max() == 0.0  # 1e-400
    for form, least in ((tiny, 1e-200), (square, 5e-324)):
        for bound in (
            largest_eigenvalue(form),
            two_ball_bound(form),
            largest_response([form]),
            spectral_norm(form),
        ):
            assert least <= bound <= 1e-150
