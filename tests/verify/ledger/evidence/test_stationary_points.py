"""Kernel attention of arXiv 2312.06528, written down here from its definition, against the evidence."""

from math import cos, pi

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.algebra.best_steps import best_steps
from icgd.bounds.algebra.definiteness import RELU_WITNESS
from icgd.verify.ledger.entries import find_entry
from icgd.verify.ledger.evidence import functional, stationary_points
from icgd.verify.ledger.settled import settle


def softmax(scores):
    """Every column over the examples, the rows of all tokens but the query; the query's row is 0."""
    weights = np.exp(scores)
    weights[-1] = 0
    return weights / weights.sum(axis=0)


SIMILARITIES = {"linear": lambda s: s, "exp": np.exp, "softmax": softmax}


def run(X, y, layers, similarity):
    """The label row after layers (A, r, B, C): Z + V Z M h(B X, C X), V = diag(A, r), the query's label 0."""
    X, Y = X.copy(), np.append(y, 0.0)
    M = np.diag([*[1.0] * len(y), 0.0])
    for A, r, B, C in layers:
        h = M @ SIMILARITIES[similarity]((B @ X).T @ (C @ X))
        X, Y = X + A @ X @ h, Y + r * Y @ h
    return Y


def descent(r, d, count):
    """Proposition 1's layers, all of step r."""
    return [(np.zeros((d, d)), -r, np.eye(d), np.eye(d))] * count


@given(st.integers(1, 8))
def test_a_step_below_the_norm_diverges(layers):
    """x = 2: K = [4], step 1 < 4."""
    found = functional.step_condition(layers=layers)
    Y = run(np.array([[2.0, 1.0]]), np.array([1.0]), descent(1.0, 1, layers), "linear")
    assert abs(Y[0]) == int(found["left"]) == 3**layers
    assert not functional.step_condition(step="1/4", layers=layers)["shows"]


def test_the_loss_of_a_common_step_by_quadrature():
    """x and w normal, one example: the error is (1 - step x^2)^L w x', whose square integrates exactly."""
    found = functional.no_common_step()
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)  # exact up to degree 119
    losses = [np.sum(weights * (1 - nodes**2 / 10) ** (2 * L)) / np.sqrt(2 * pi) for L in range(20)]
    assert int(np.argmin(losses)) == found["best"] and min(losses) == pytest.approx(found["least"], rel=1e-9)
    assert losses[-1] > 1
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(2), rng.standard_normal()
    Y = run(x[None, :], w * x[:1], descent(0.1, 1, 5), "linear")
    assert w * x[1] + Y[1] == pytest.approx((1 - x[0] ** 2 / 10) ** 5 * w * x[1], rel=1e-12)


@given(st.integers(10, 320))
def test_falling_steps_serve_every_eigenvalue(odd):
    """prod |1 - lambda/l| over l <= L is |Gamma(L+1-lambda) / (Gamma(1-lambda) L!)|, about L^-lambda."""
    value, many = (2 * odd + 1) / 32, 4000
    left = functional.no_common_step(layers=20, eigenvalues=(value,), many=many)["left"]
    with mpmath.workdps(40):
        exact = abs(mpmath.gammaprod([many + 1 - mpmath.mpf(value)], [1 - mpmath.mpf(value), many + 1]))
    # Two roundings and a product each; 1 - lambda/l, at least 1/(32 l), magnifies those of l near lambda.
    assert left == pytest.approx(float(exact), rel=(3 * many + 2 * 32 * 20) * 2.0**-53, abs=1e-300)


@given(st.integers(0, 10**6))
def test_one_set_of_weights_runs_descent_on_every_prompt(seed):
    """f_{l+1} = f_l + r' sum (y_i - f_l(x_i)) K(., x_i) in coefficients, r' the same for all prompts."""
    assert functional.one_set_of_weights()["factor"] == 2
    rng = np.random.default_rng(seed)
    d, n, r, count = 2, 4, 0.05, 6
    X, y = rng.standard_normal((d, n + 1)) / 2, rng.standard_normal(n)
    K = np.exp(X.T @ X)
    coefficients = np.zeros(n)
    for _ in range(count):
        coefficients += r * (y - K[:n, :n] @ coefficients)
    Y = run(X, y, descent(r, d, count), "exp")
    assert -Y[n] == pytest.approx(coefficients @ K[:n, n], rel=1e-9, abs=1e-9)


def test_softmax_has_another_limit():
    found = functional.softmax_limit()
    X, y = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), np.array([1.0, 0.0])
    for name, step in (("softmax", 1.0), ("exp", 0.25)):
        assert -run(X, y, descent(step, 2, 200), name)[2] == pytest.approx(found[name], abs=1e-9)
    E = np.exp(X.T @ X)
    assert found["exp"] == pytest.approx(np.linalg.solve(E[:2, :2], y) @ E[:2, 2])


def test_labels_of_an_indefinite_similarity_know_the_query():
    points = np.array(RELU_WITNESS.points, dtype=float)
    K = np.maximum(points @ points.T, 0)

    def absolute(table):
        values, vectors = np.linalg.eigh(table)
        return vectors @ np.diag(np.abs(values)) @ vectors.T

    found = functional.not_a_process()
    whole, part = absolute(K), absolute(K[:3, :3])
    assert np.linalg.eigvalsh(K)[0] < 0
    assert found["variance"] == pytest.approx(whole[0, 0]) and found["alone"] == pytest.approx(part[0, 0])
    assert found["apart"] == pytest.approx(np.abs(whole[:3, :3] - part).max())
    assert not functional.not_a_process("exp")["shows"]


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_zero_network_is_stationary_in_queries_and_keys(name):
    """Central differences of the prediction at B = C = 0: of second order in the step, for every entry."""
    rng, d, n, h = np.random.default_rng(3), 2, 3, 1e-4
    X, y = rng.standard_normal((d, n + 1)), rng.standard_normal(n)
    values = [(rng.standard_normal((d, d)), rng.standard_normal()) for _ in range(2)]

    def predicted(bumps):
        layers = [(A, r, B, C) for (A, r), (B, C) in zip(values, bumps, strict=True)]
        return run(X, y, layers, name)[n]

    for l in range(2):
        for which in range(2):
            for i in range(d):
                for j in range(d):
                    ends = []
                    for sign in (1, -1):
                        bumps = [[np.zeros((d, d)), np.zeros((d, d))] for _ in range(2)]
                        bumps[l][which][i, j] = sign * h
                        ends.append(predicted(bumps))
                    assert ends[0] == pytest.approx(ends[1], abs=1e-12)
    assert stationary_points.zero_network()["nonzero"] == 0
    if name == "linear":
        assert predicted([[np.zeros((d, d))] * 2] * 2) == 0


def test_the_transformation_matters_at_the_best_steps():
    """The derivative in A_0 at A_0 = 0 is 4 a_0 a_1 E tr (1 - a_0 C)^2 (1 - a_1 C) C^2, sampled."""
    n, d = 10, 2
    a0, a1 = best_steps(n, d, 2).a
    x = np.random.default_rng(1).standard_normal((100_000, n, d))
    t = np.linalg.eigvalsh(np.einsum("sia,sib->sab", x, x) / n)
    values = 4 * a0 * a1 * np.sum((1 - a0 * t) ** 2 * (1 - a1 * t) * t**2, axis=1)
    slope = stationary_points.no_plain_descent(n, d)["slope"]
    assert abs(np.mean(values) - slope) < 6 * np.std(values) / len(values) ** 0.5 and slope < -0.5


def test_relu_attention_has_a_kink_at_zero():
    """The loss of one layer, r = c = 1, over angles in equal steps and labels through their covariance."""
    count, h = 4096, 1e-3
    inner = [cos(2 * pi * (k + 0.5) / count) for k in range(count)]

    def loss(b):
        total = 0.0
        for s in inner:
            h_12 = max(b * s, 0.0)
            total += 1 + 2 * max(s, 0.0) * h_12 + h_12**2
        return total / count

    found = stationary_points.relu_kink()
    right, left = (loss(h) - loss(0.0)) / h, (loss(0.0) - loss(-h)) / h
    assert right == pytest.approx(0.5, abs=h) and found["right"] == "1/2"
    assert left == pytest.approx(0.0, abs=h) and found["left"] == "0"


@pytest.mark.parametrize(
    "key, module, name, sabotage",
    [
        ("one-set-of-weights", functional, "descent_identity", lambda f: lambda: False),
        ("not-a-process", functional, "_absolute", lambda f: lambda table: [list(row) for row in table]),
        ("softmax-limit", functional, "_descended", lambda f: lambda h, *a: f(h[::-1], *a)),
        ("zero-network", stationary_points, "_at_zero", lambda f: lambda *a: [1, *f(*a)[1:]]),
        ("no-plain-descent", stationary_points, "_value", lambda f: lambda *a: 0 * f(*a)),
    ],
)
def test_sabotaged_evidence_is_no_finding(monkeypatch, key, module, name, sabotage):
    entry = find_entry(f"2312.06528/{key}")
    assert settle(entry).reproduces
    monkeypatch.setattr(module, name, sabotage(getattr(module, name)))
    assert not settle(entry).reproduces


@pytest.mark.parametrize(
    "key, given", [("step-condition", {"step": "1/4"}), ("no-common-step", {"layers": 7})]
)
def test_elsewhere_there_is_no_finding(key, given):
    entry = find_entry(f"2312.06528/{key}")
    assert settle(entry).reproduces
    found = getattr(functional, entry.evidence.partition(".")[2])(**{**entry.given, **given})
    assert not found["shows"]
