"""Corollary 1.1 and Lemma 14 of 2411.16549 once more, in floats and on networks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icgd.verify.ledger.evidence import trajectories


def _descend(slope, eta, errors, project):
    w, path = 0.0, [0.0]
    for error in errors:
        w = project(w - eta * slope(w) + error)
        path.append(w)
    return path


def _slope(x, y):
    """The derivative of (x w - y)^2 / 2, a network of one weight with r(t) = t, by autograd."""

    def value(w):
        weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad((weight * x - y) ** 2 / 2, weight)
        return gradient.item()

    return value


def _gradient(activation, w, y):
    """Autograd's gradient of half the squared loss of a two-layer network with one unit a layer at x = 1."""
    weights = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    p = activation(weights[1] * activation(weights[0]))
    (found,) = torch.autograd.grad((p - y) ** 2 / 2, weights)
    return found.numpy()


def test_one_step_breaks_the_corollary_with_n():
    moved = -3.0 * _gradient(lambda z: z, [0.0, 0.0], 0.0) + [0.03, 0.0]
    lam = max(
        np.linalg.eigvalsh(
            torch.autograd.functional.hessian(
                lambda w: (w[0] * w[1]) ** 2 / 2, torch.tensor([a, b], dtype=torch.float64)
            ).numpy()
        )[-1]
        for a in (-1.0, 0.3, 1.0)
        for b in (-1.0, -0.2, 1.0)
    )
    found = trajectories.examples_for_step()
    assert lam == pytest.approx(found["L_f"]) and np.linalg.norm(moved) == pytest.approx(0.03)
    assert np.linalg.norm(moved) > (1 + 1 * lam) / lam * 0.01
    assert found["shows"] and not trajectories.examples_for_step(eta="4/3")["shows"]  # equality


def test_four_steps_break_the_constant_of_the_loss():
    """The network (v (u + 1))^2 / 2 by autograd, and the loss's steepest point by a grid."""
    w = np.zeros(2)
    for l in range(4):
        w = np.clip(w - 3.0 * _gradient(lambda z: z + 1, w, 1.0) + [0.0, 0.003 * (-1) ** l], -0.1, 0.1)
    grid = np.linspace(-0.1, 0.1, 21)
    steep = max(np.linalg.norm(_gradient(lambda z: z + 1, [a, b], 1.0)) for a in grid for b in grid)
    found = trajectories.constant_of_the_loss()
    assert np.linalg.norm(w) >= found["moved"] * (1 - 1e-12) and found["moved"] == pytest.approx(abs(w[1]))
    for growth, name in ((1.0, "printed"), (3.0, "claimed")):
        assert 0.001 / steep * (1 + growth * steep) ** 4 <= found[name] * (1 + 1e-9) < found["moved"]
    assert not trajectories.constant_of_the_loss(steps=1)["shows"]


def test_without_a_projection_exact_descent_leaves():
    free = -0.5 * _gradient(lambda z: z + 1, [0.0, 0.0], 3.0)
    kept = np.clip(free, -0.1, 0.1)
    found = trajectories.unprojected()
    assert np.linalg.norm(free - kept) == pytest.approx(0.9) and found["apart"] == "9/10"
    assert np.linalg.norm(free - kept) > found["claimed"]
    assert not trajectories.unprojected(eta="1/20")["shows"]


def test_long_steps_break_lemma_14():
    def project(w):
        return float(np.clip(w, -1, 1))

    path = _descend(lambda w: 2 * w, 2.0, [2e-4] + [0.0] * 39, project)
    mapped = [((w - project(w - 4 * w)) / 2) ** 2 for w in path[1:40]]
    assert min(mapped) > 10 * 1e-8 and np.mean(mapped) > 0.5
    assert not trajectories.step_hypothesis(a="1")["shows"]


@given(st.integers(0, 2**32 - 1))
def test_lemma_14_with_the_inverse_holds_in_several_variables(seed):
    """A random convex quadratic in a box: the mean squared mapping within 8 drop/(eta L) + 10 eps^2."""
    drawn = np.random.default_rng(seed)
    d, steps = int(drawn.integers(1, 5)), int(drawn.integers(1, 15))
    A = drawn.normal(size=(d, d))
    H, b = A @ A.T, drawn.normal(size=d)
    side, eps = drawn.uniform(0.1, 2), drawn.uniform(0.01, 2)
    eta = drawn.uniform(0.1, 1) / max(np.linalg.eigvalsh(H)[-1], 1e-9)

    def f(w):
        return w @ H @ w / 2 - b @ w

    w, least, total = np.zeros(d), 0.0, 0.0
    for _ in range(steps):
        plain = np.clip(w - eta * (H @ w - b), -side, side)
        total += np.sum(((w - plain) / eta) ** 2)
        error = drawn.normal(size=d)
        w = np.clip(w - eta * (H @ w - b) + eta * eps * error / np.linalg.norm(error), -side, side)
        least = min(least, f(w))
    # f(0) - least over the path is no more than f(0) - inf f, so this is the sharper claim.
    assert total / steps <= (8 * -least / (eta * steps) + 10 * eps**2) * (1 + 1e-9)
