"""Witnesses about the lemmas of 2411.16549, found again by autograd, numpy and linear programs."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from icgd.bounds.activation import ACTIVATIONS
from icgd.verify.ledger.evidence import lemmas


def _gradients(rows, x, y, r):
    """Autograd's gradient of half the squared loss in every weight matrix, float64."""
    V = [torch.tensor(matrix, dtype=torch.float64, requires_grad=True) for matrix in rows]
    p = torch.tensor(x, dtype=torch.float64)
    for matrix in V:
        p = r(matrix @ p)
    loss = ((p - torch.tensor(y, dtype=torch.float64)) ** 2).sum() / 2
    return torch.autograd.grad(loss, V)


def test_a_column_adds_up_all_rows():
    """s(1) of the witness by autograd: x = (1, 0) and r(t) = t, so it is twice the gradient's first entry."""
    gradient = _gradients([[[1.0, 0.0]], [[1.0], [1.0]]], [1.0, 0.0], [0.0, 0.0], lambda z: z)
    found = lemmas.columns()
    assert 2 * gradient[0][0, 0].item() == float(Fraction(found["s"])) == 4.0
    assert found["published"] < 4.0 <= found["repaired"]


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_the_repaired_factor_holds_for_any_rows_and_the_published_one_for_columns_only(K, d, seed):
    """|V^T s| <= max(K, d) B_v max |s| for rows of norm B_v, with equality where they agree."""
    drawn = np.random.default_rng(seed)
    rows = drawn.normal(size=(d, K))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    s = drawn.uniform(-1, 1, size=d)
    # Rounding: d products and sums of numbers up to 1.
    assert np.abs(rows.T @ s).max() <= max(K, d) * np.abs(s).max() + 4 * d * 2.0**-53
    aligned = np.eye(K)[[0] * d]
    assert (aligned.T @ np.ones(d)).max() == d


def test_an_argument_leaves_the_interval_of_lemma_2():
    """The forward pass in numpy; no argument leaves with one unit a layer."""
    found = lemmas.first_interval()
    p = np.array([[1.0], [1.0]]) @ np.array([1.0])
    z = (np.array([[0.6, 0.8]]) @ p).item()
    assert z == pytest.approx(float(Fraction(found["argument"])), abs=4e-16) and z > 1
    assert not lemmas.first_interval(extra="0")["shows"]


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_with_the_square_root_arguments_stay(K, seed):
    drawn = np.random.default_rng(seed)
    p = drawn.uniform(-1, 1, size=K)
    row = drawn.normal(size=K)
    row /= np.linalg.norm(row)
    assert abs(row @ p) <= math.sqrt(K) * (1 + (K + 2) * 2.0**-52)


def test_the_step_error_of_a_legal_sum_by_autograd():
    found = lemmas.step_error_beyond(slopes=[1, 3])
    rows = [[[1.0], [1.0]], [[0.6, 0.8]]]

    def bent(slope):
        relu = torch.nn.functional.relu
        return lambda z: z + slope * (relu(z - 1) - relu(-z - 1))

    for name, slope in (("first", 1), ("last", 3)):
        exact = _gradients(rows, [1.0], [0.0], lambda z: z)
        p = bent(slope)(torch.tensor([0.6 + 0.8], dtype=torch.float64))
        # The construction keeps r' = 1, so its gradient is that of the identity with p(2) replaced.
        error = p.item() - 1.4
        ones = torch.ones(1, 2, dtype=torch.float64)
        seen = [exact[0] + error * torch.tensor([[0.6], [0.8]], dtype=torch.float64), exact[1] + error * ones]
        apart = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(seen, exact, strict=True)))
        assert found[name] == pytest.approx(apart, rel=1e-12)


def test_softplus_leaves_the_interval_of_lemma_3():
    """A standard activation does, too: B_v = 2, x = 1, one unit a layer."""
    r = ACTIVATIONS["softplus"].r
    argument = 2 * r(2.0)
    assert argument > max(2 * max(1.0, r.derivative(4.0)), 1)
    assert not lemmas.slope_interval(B_v="1/100")["shows"]


def test_the_interval_of_lemma_4_is_right_for_large_rows():
    assert lemmas.loss_interval("1/2")["shows"] and not lemmas.loss_interval("1")["shows"]


@pytest.mark.parametrize("k, order", [(1, 2), (2, 3), (8, 6)])
def test_orders_of_smoothness(k, order):
    """ceil((k-1)/2) + 2 in floats: C^2 for r, C^3 for u of two numbers, C^6 for u at d = 4."""
    assert math.ceil((k - 1) / 2) + 2 == order
    assert lemmas.slope_arguments(d=4)["needed"] + 1 == math.ceil((8 - 1) / 2) + 2


def test_column_sums_of_the_loss_layer_by_numpy():
    found = lemmas.loss_layer_norm(hidden=[10, 50], R_3=3)
    rows = np.array([[(m + 1) / 51 / 2, (1 - (m + 1) / 51) / 2, -0.5 - 3, 3.0] for m in range(50)])
    assert found["found"] == pytest.approx(np.linalg.norm(rows, 1), rel=1e-12)
    assert not lemmas.loss_layer_norm(hidden=[1, 1])["shows"]


def test_the_rescaled_loss_layer_is_free_of_its_width():
    """The repair: rows times |c_m|, columns over it; then both norms balanced."""
    drawn = np.random.default_rng(0)
    for hidden in (10, 1000):
        c = drawn.uniform(-1, 1, size=hidden)
        c *= 2 / np.abs(c).sum()  # mass C_3 = 2
        a = drawn.uniform(-1, 1, size=(hidden, 3))
        a /= np.abs(a).sum(axis=1, keepdims=True)
        R = 3.0
        W1 = np.column_stack([a[:, 0], a[:, 1], a[:, 2] - R, np.full(hidden, R)]) * np.abs(c)[:, None]
        scale = math.sqrt(1 / np.linalg.norm(W1, 1))
        total = np.linalg.norm(W1 * scale, 1) + np.linalg.norm(np.sign(c)[None] / scale, 1)
        assert total <= 2 * math.sqrt((R + 1) * 2) * (1 + 1e-12)


@pytest.mark.parametrize("m", [8, 16])
def test_the_mass_of_fast_sines_by_a_linear_program(m):
    """The least variation of the slope of any piecewise-linear function within 1/(2m) of sin(m z)/m.

    On a grid of kinks the program finds the least; the bound in the evidence must lie below it.
    """
    knots = np.linspace(-1, 1, 161)
    h = knots[1] - knots[0]
    count = len(knots)
    target = np.sin(m * knots) / m
    # Variables: values f at the knots, and bounds v >= |change of slope| at the inner knots.
    bend = np.zeros((count - 2, count))
    for i in range(count - 2):
        bend[i, i : i + 3] = np.array([1, -2, 1]) / h
    eye = np.eye(count - 2)
    rows = np.block([[bend, -eye], [-bend, -eye]])
    bounds = [(t - 1 / (2 * m), t + 1 / (2 * m)) for t in target] + [(0, None)] * (count - 2)
    found = linprog(
        np.r_[np.zeros(count), np.ones(count - 2)], A_ub=rows, b_ub=np.zeros(2 * count - 4), bounds=bounds
    )
    claimed = lemmas.smoothness_order(speeds=[m, 10 * m])["slow_mass"]
    assert found.success and claimed <= found.fun
    assert found.fun <= 2 * m  # the variation of the slope of the sine itself is about 4 m/pi


def test_the_constant_half_is_nearer_than_the_worked_example():
    z = np.linspace(-10, 10, 2001)
    sigmoid = 1 / (1 + np.exp(-z))
    found = lemmas.worked_example()
    assert np.abs(sigmoid - 0.5).max() == pytest.approx(found["constant_error"], rel=1e-12)
    corners = np.arange(-10, 11)
    interpolated = np.interp(z, corners, 1 / (1 + np.exp(-corners)))
    assert np.abs(interpolated - sigmoid).max() < 0.02  # as described, far nearer than 0.625
    assert not lemmas.worked_example(promised="0.4")["shows"]


def test_the_output_error_of_lemma_2_in_numpy():
    """sqrt(K) eps_r sum (sqrt(K) L_r B_v)^l with K = 4, and a network that attains it."""
    found = lemmas.output_error(N=3, eps_r="1/50", L_r="1/2", B_v="2")
    V, p, q = np.full((4, 4), 1.0), np.ones(4), np.ones(4)
    for _ in range(3):
        p, q = 0.5 * V @ p, 0.5 * V @ q + 0.02
    claimed = 2 * 0.02 * sum((2 * 0.5 * 2.0) ** l for l in range(3))
    assert np.linalg.norm(p - q) == pytest.approx(claimed, rel=1e-12) == found["last"]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_one_head_without_a_relu_forms_the_products_in_numpy(K, outputs, seed):
    """EWML of Definition 6 as one matrix formula: (V H) gamma((Q H)^T (K H)), gamma keeping the diagonal."""
    drawn = np.random.default_rng(seed)
    tokens = 3
    V, s = drawn.integers(-9, 9, (tokens, outputs, K)), drawn.integers(-9, 9, (tokens, outputs))
    dr = drawn.integers(-9, 9, (tokens, K))
    made = np.stack([np.diag(V[:, :, k] @ s.T) * dr[:, k] for k in range(K)], axis=1)
    assert (made == dr * np.einsum("tik,ti->tk", V, s)).all()
    found = lemmas.product_layer(K=K, outputs=outputs)
    assert found["shows"] and found["norm"] == 1 + K and (found["heads"], found["with_relu"]) == (1, 2)
