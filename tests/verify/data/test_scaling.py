"""Scalings: every row within its radius exactly, one row reaching it, and all of it undone again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from icgd.verify.data.scaling import _MARGIN, scale_to_ball, scale_to_range
from tests.rounding import gamma

finite = st.floats(-1e200, 1e200, allow_subnormal=False)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(1, 3)), elements=finite)
radii = st.sampled_from([1e-3, 0.7, 1.0, 40.0])


@given(matrices, radii)
@settings(max_examples=150, deadline=None)
def test_every_row_obeys_the_ball_exactly_and_one_row_reaches_it(values, radius):
    scaling = scale_to_ball(["c"] * values.shape[1], values, radius)
    scaled = scaling.apply(values)
    largest = np.linalg.norm(scaled, axis=1).max()
    assert np.isfinite(scaled).all() and largest <= radius
    assert np.linalg.norm(scaled.astype(np.float32), axis=1).max() <= np.float32(radius)
    constant = values.max(0) == values.min(0)
    assert not scaled[:, constant].any()
    if not constant.all():
        # The norm is rounded, and everything that is divided by it.
        assert largest >= radius * _MARGIN * (1 - float(gamma(3 * (values.shape[1] + 4))))
    assert_undone(scaling, values)


def assert_undone(scaling, values):
    """A difference, a quotient, a product and a sum of numbers of the column's size; tiny units underflow."""
    largest = np.abs(values).max(axis=0) + np.abs(scaling.centre)
    off = np.abs(scaling.undo(scaling.apply(values)) - values)
    assert (off <= float(gamma(6)) * largest + np.finfo(float).tiny).all()


def test_the_ball_scaling_is_a_z_score_over_one_number():
    values = np.random.default_rng(1).normal([5, -300], [0.01, 70], size=(50, 2))
    scaled = scale_to_ball(["a", "b"], values, radius=2.0).apply(values)
    z = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(scaled, 2 * z / np.linalg.norm(z, axis=1).max(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)


@given(matrices, radii)
@settings(max_examples=150, deadline=None)
def test_logistic_targets_fill_the_range_and_obey_the_ball(values, radius):
    scaling = scale_to_range(["c"] * values.shape[1], values, 0.0, 1.0, radius)
    scaled = scaling.apply(values)
    assert np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1
    assert np.linalg.norm(scaled, axis=1).max() <= radius
    assert_undone(scaling, values)


def test_labels_stay_labels_and_shrink_only_where_they_must():
    labels = np.array([[0.0], [1.0], [1.0]])
    assert scale_to_range(["y"], labels, 0.0, 1.0, 1.0).apply(labels).tolist() == [[0.0], [1.0], [1.0]]
    two = np.array([[2.0, 5.0], [4.0, 9.0]])
    np.testing.assert_allclose(
        scale_to_range(["y", "z"], two, 0.0, 1.0, 1.0).apply(two), [[0, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-5
    )
