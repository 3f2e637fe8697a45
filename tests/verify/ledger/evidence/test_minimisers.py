"""Who minimises: the evidence against losses written down here from the definition of a layer."""

from fractions import Fraction
from itertools import product
from math import prod

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from icgd.bounds.algebra.best_steps import best_steps
from icgd.verify.ledger.entries import find_entry
from icgd.verify.ledger.evidence import minimisers
from icgd.verify.ledger.evidence.preconditioned import transposed
from icgd.verify.ledger.settled import settle

REALS = st.floats(-3, 3)


def prompt(rng, d, n):
    """Z_0 = [X; y], the query's label 0, and the label that is asked for."""
    X, w = rng.standard_normal((d, n + 1)), rng.standard_normal(d)
    return np.vstack([X, np.append(w @ X[:, :n], 0.0)]), w


def predict(Z, P, Q, act=lambda scores: scores):
    """Minus the last entry of Z + (1/n) P Z M act(Z^T Q Z)."""
    n = Z.shape[1] - 1
    M = np.diag([*[1.0] * n, 0.0])
    return -(Z + P @ Z @ M @ act(Z.T @ Q @ Z) / n)[-1, -1]


def layer(p, q):
    """P with last row p and Q with first columns q; the other entries play no part."""
    size = len(p)
    P, Q = np.zeros((size, size)), np.zeros((size, size))
    P[-1], Q[:, :-1] = p, q
    return P, Q


def one_layer(point, values, n):
    """E(error^2) over x ~ N(0, diag(values)), w ~ N(0, I): from E C_ij C_kl by Isserlis' theorem."""
    d, S = len(values), np.diag(values)
    p, q = point[: d + 1], point[d + 1 :].reshape(d + 1, d)
    u, v = p[:d], p[d]
    square = S @ S * (1 + 1 / n) + np.trace(S) * S / n  # E C^2
    total = 0.0
    for j in range(d):
        a, c = q[:d, j], q[d, j]
        H = (np.outer(u, a) + np.outer(a, u)) / 2 + v * c * np.eye(d)
        g, e = c * u + v * a, np.eye(d)[j]
        even = np.trace(S @ H) ** 2 + 2 / n * np.trace(S @ H @ S @ H) + 2 * (v * c) ** 2 * np.trace(square)
        total += values[j] * (even + g @ square @ g + 2 * (S @ g) @ e + 1)
    return total


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 10**6))
def test_a_skew_matrix_is_not_seen(d, n, seed):
    """Lemma 2's f_j at any X and at X + K: equal on every prompt, so no minimum of f_j is unique."""
    rng = np.random.default_rng(seed)
    X, K = rng.standard_normal((2, d + 1, d + 1))
    Z, _ = prompt(rng, d, n)
    G = Z[:, :n] @ Z[:, :n].T / n
    # Two sums of (d+1)^2 rounded products each, and the additions in X + K - K^T before them.
    size = np.sum(np.abs(G) * (np.abs(X) + np.abs(K) + np.abs(K.T)))
    rounding = 2 * ((d + 1) ** 2 + 3) * 2.0**-53 * size
    assert abs(np.sum(G * (X + K - K.T)) - np.sum(G * X)) <= rounding


def test_only_skew_matrices_are_not_seen():
    """On symmetric [[M, v], [v^T, c]] the form is E(tr C(M + cI))^2 + 2 c^2 E tr C^2 + 4 v.E[C^2]v > 0."""
    for d, n in product((1, 2), (1, 10)):
        _, table = minimisers._second_moments(d, n)
        form = np.array([[int(x.p) / int(x.q) for x in row] for row in table])
        rng = np.random.default_rng(d + n)
        square = (1 + (1 + d) / n) * np.eye(d)  # E C^2 at S = I
        for _ in range(20):
            M, v, c = rng.standard_normal((d, d)), rng.standard_normal(d), rng.standard_normal()
            H = (M + M.T) / 2 + c * np.eye(d)
            X = np.block([[(M + M.T) / 2, v[:, None]], [v[None, :], np.full((1, 1), c)]]).ravel()
            by_hand = (
                np.trace(H) ** 2 + 2 / n * np.sum(H * H) + 2 * c**2 * np.trace(square) + 4 * v @ square @ v
            )
            assert X @ form @ X == pytest.approx(by_hand, rel=1e-12) and by_hand > 0
        assert minimisers.not_unique(d, n)["free"] == d * (d + 1) // 2


@pytest.mark.parametrize("values", [(2.0,), (2.0, 0.5)])
def test_descent_ends_in_the_families_that_are_found(values):
    """Every end of value least is the published matrix up to scaling, or at d = 1 the swapped one."""
    d, n = len(values), 10
    N = [(n + 1) / n * value + sum(values) / n for value in values]
    least = sum(value - value**2 / k for value, k in zip(values, N, strict=True))
    rng, seen = np.random.default_rng(0), set()
    for _ in range(30):
        end = minimize(one_layer, rng.standard_normal((d + 1) ** 2), args=(values, n), options={"gtol": 1e-9})
        if end.fun > least + 1e-9:
            continue
        p, q = end.x[: d + 1], end.x[d + 1 :].reshape(d + 1, d)
        products = np.einsum("a,bj->abj", p, q)
        published, swapped = np.zeros_like(products), np.zeros_like(products)
        for j in range(d):
            published[d, j, j] = -1 / N[j]
        swapped[0, d, 0] = -1 / N[0]
        near = [bool(np.abs(products - one).max() < 1e-3) for one in (published, swapped)]
        assert any(near)
        seen.add(near.index(True))
    assert len(seen) == minimisers.only_minimiser((d,), n)[f"families_d{d}"]


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=3))
def test_the_loss_of_the_family_grows_with_the_steps(a):
    """d = 1, n c ~ chi^2_n: E prod (1 - a_l c)^2 >= the moments' lowest eigenvalue times |coefficients|^2."""
    n, L = 4, len(a)
    moments = [prod((n + 2 * i) / n for i in range(k)) for k in range(2 * L + 1)]
    q = np.poly1d([1.0])
    for step in a:
        q = q * np.poly1d([-step, 1.0])
    c = q.coefficients[::-1]
    c = np.append(c, np.zeros(L + 1 - len(c)))
    hankel = np.array([[moments[j + k] for k in range(L + 1)] for j in range(L + 1)])
    loss, lowest = c @ hankel @ c, np.linalg.eigvalsh(hankel)[0]
    assert lowest > 0 and loss >= lowest * (c @ c) * (1 - 1e-9)
    steps = sum(step**2 for step in a)
    assert steps == pytest.approx(c[1] ** 2 - 2 * (c[2] if L > 1 else 0), rel=1e-9, abs=1e-9)
    assert loss >= float(best_steps(n, 1, L).loss) * (1 - 1e-9)


def test_the_gradient_vanishes_where_the_loss_is_least():
    n, moments = 10, [1.0]
    for k in range(4):
        moments.append(moments[-1] * (10 + 2 * k) / 10)

    def loss(a):
        q = (np.poly1d([-a[0], 1.0]) * np.poly1d([-a[1], 1.0])) ** 2
        return sum(c * m for c, m in zip(q.coefficients[::-1], moments, strict=True))

    a = np.array(best_steps(n, 1, 2).a)
    slope = [(loss(a + h) - loss(a - h)) / 2e-5 for h in 1e-5 * np.eye(2)]
    assert np.abs(slope).max() < 1e-8 and loss(a) == pytest.approx(float(best_steps(n, 1, 2).loss), rel=1e-12)


@given(st.integers(1, 4), st.integers(1, 40))
def test_the_best_layer_shrinks_under_both_priors(d, n):
    """S = I: E|I - a C|^2 is least at E tr C / E tr C^2, as tr C^2 = d (n + d + 1) / n in expectation."""
    assert minimisers.trade_off(n, d)["a"] == str(Fraction(d) / (Fraction(d * (n + d + 1), n)))


@pytest.mark.parametrize("d, n, b", [(1, 2, 1.0), (2, 3, 1.0), (2, 3, -0.5)])
def test_relu_attention_has_the_stated_loss(d, n, b):
    """Sampled from the definition of the layer: at Theorem 5's matrix, beside it, for either sign of b_1."""
    rng, count = np.random.default_rng(5), 20_000
    scale = float(Fraction(minimisers.relu_attention(d, n)["scale"]))
    square = (d + 2) / (2 * n) + (n - 1) / (4 * n)
    for factor in (1.0, 0.5):
        B = factor * scale * np.eye(d)
        P, Q = layer([0.0] * d + [b], np.vstack([B / b, np.zeros(d)]))
        errors = []
        for _ in range(count):
            Z, w = prompt(rng, d, n)
            errors.append((predict(Z, P, Q, lambda t: np.maximum(t, 0)) - w @ Z[:d, n]) ** 2)
        wanted = square * np.sum(B * B) + np.trace(B) + d
        assert abs(np.mean(errors) - wanted) < 6 * np.std(errors) / count**0.5
    assert float(Fraction(minimisers.relu_attention(d, n)["loss"])) == pytest.approx(d - d / (4 * square))
    linear = -n / (n + d + 1)  # Theorem 1's scale is not the minimiser here
    assert square * d * linear**2 + d * linear + d > d - d / (4 * square)


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_relu_lets_only_positive_numbers_in(b, t):
    assert minimisers.negative_scale(b, t)["shows"] == (b < 0 and t != 0)


def expected_over_samples(A, B, n):
    """E |(I - B C)(I - A C)|^2 with every x_i written out and E x^(2k) = 1 3 5 ... (2k - 1)."""
    x = sympy.Matrix(2, n, sympy.symbols(f"x:{2 * n}"))
    C = x * x.T / n
    T = (sympy.eye(2) - B * C) * (sympy.eye(2) - A * C)
    polynomial = sympy.Poly((T.T * T).trace(), *x)
    return sum(
        value * prod(odd for power in powers for odd in range(1, power, 2))
        for powers, value in polynomial.terms()
        if not any(power % 2 for power in powers)
    )


def test_two_layers_are_written_out_rightly():
    loss, symbols = minimisers._diagonal_loss(2)
    for point in ((1, 2, -1, 3), (sympy.Rational(1, 2), 0, 1, sympy.Rational(-3, 2))):
        A, B = sympy.diag(*point[:2]), sympy.diag(*point[2:])
        assert loss.subs(dict(zip(symbols, point, strict=True))) == expected_over_samples(A, B, 2)


def test_a_higher_claim_about_two_layers_is_refused():
    least = best_steps(3, 2, 2).loss
    assert minimisers._no_better(3, least) and not minimisers._no_better(3, least * Fraction(1001, 1000))


def test_symmetric_matrices_do_no_better_than_multiples_of_the_identity():
    """n = 1: the loss over all symmetric A, B as a polynomial in them, minimised from many starts."""
    names = sympy.symbols("a b c p q r")
    A, B = (
        sympy.Matrix([[names[0], names[1]], [names[1], names[2]]]),
        sympy.Matrix([[names[3], names[4]], [names[4], names[5]]]),
    )
    x = sympy.Matrix(sympy.symbols("x y"))
    T = (sympy.eye(2) - B * x * x.T) * (sympy.eye(2) - A * x * x.T)
    polynomial = sympy.Poly((T.T * T).trace().expand(), *x)
    loss = sum(
        value * prod(odd for power in powers for odd in range(1, power, 2))
        for powers, value in polynomial.terms()
        if not any(power % 2 for power in powers)
    )
    value = sympy.lambdify(names, loss)
    slope = sympy.lambdify(names, [sympy.diff(loss, name) for name in names])
    rng, least = np.random.default_rng(1), float(best_steps(1, 2, 2).loss)
    ends = [
        minimize(lambda z: value(*z), rng.standard_normal(6), jac=lambda z: np.array(slope(*z))).fun
        for _ in range(10)
    ]
    assert min(ends) == pytest.approx(least, rel=1e-7) and min(ends) > least - 1e-9


def test_the_witness_against_lemma_1_is_a_layer():
    """x_1 = w = e_1, query e_2, A = e_1 e_2^T: the layer predicts 1, w_1 = -A grad R(0) predicts 0."""
    A, w = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([1.0, 0.0])
    Z = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    P, Q = layer([0.0, 0.0, 1.0], np.vstack([-A, np.zeros(2)]))
    slope = -np.array([1.0, 0.0]) * (w @ np.array([1.0, 0.0]))
    found = transposed()
    assert predict(Z, P, Q) == found["layer"] == (-A.T @ slope)[1]
    assert found["lemma"] == (-A @ slope)[1] != found["layer"]


@pytest.mark.parametrize(
    "key, name, sabotage",
    [
        ("not-unique", "_second_moments", lambda f: lambda d, n: ([[1, 2, 0], [0] * 3, [0] * 3], f(d, n)[1])),
        ("only-minimiser", "_zeros", lambda f: lambda d, n: (True, True)),
        ("attained", "stationarity_defects", lambda f: lambda *a: [1]),
        ("trade-off", "minimiser", lambda f: lambda posed: [[1, 0], [0, 1]]),
        ("relu-attention", "_half_moments", lambda f: lambda d: (f(d)[0] * 2, f(d)[1] * 2)),
        ("scalar-steps", "_no_better", lambda f: lambda n, least: f(n, least * Fraction(1001, 1000))),
    ],
)
def test_sabotaged_evidence_is_no_finding(monkeypatch, key, name, sabotage):
    entry = find_entry(f"2306.00297/{key}")
    assert settle(entry).reproduces
    monkeypatch.setattr(minimisers, name, sabotage(getattr(minimisers, name)))
    assert not settle(entry).reproduces
