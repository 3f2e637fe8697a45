"""The exact loss of deep linear attention, against Gauss rules over a prompt, and its gradient."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from flint import fmpq

from icgd.bounds.algebra.expected_loss import one_layer_loss
from icgd.construct.given_linear import GivenLinear, descent
from icgd.verify.given_linear import deep_loss as deep_loss_module
from icgd.verify.given_linear.deep_loss import deep_loss, most_monomials
from icgd.verify.given_linear.expected_loss import descent_loss, gaussian_loss, one_layer_gradient
from tests.numpy_linear_attention import states


def rule(size):
    """Nodes and weights for a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(size)
    return nodes, weights / weights.sum()


def predictions(P, Q, x, w, sign):
    """What attention predicts for each unit query, x: (n, d), from tests/numpy_linear_attention.py alone."""
    queries = np.eye(x.shape[1])
    return sign * np.array([states(P, Q, x, x @ w, query)[-1][-1, -1] for query in queries])


def by_rules(P, Q, n, S, sign, of_x, of_w):
    """The expected loss, E over the query taken by hand; of_x, of_w: sizes of the rules."""
    d, root = len(S), np.sqrt(np.array(S, dtype=float))
    rules = [rule(of_x)] * (n * d) + [rule(of_w)] * d
    total = 0.0
    for at in np.ndindex(*(len(nodes) for nodes, _ in rules)):
        z = np.array([nodes[k] for (nodes, _), k in zip(rules, at, strict=True)])
        weight = np.prod([weights[k] for (_, weights), k in zip(rules, at, strict=True)])
        x, w = z[: n * d].reshape(n, d) * root, z[n * d :]
        total += weight * (root**2 * (w - predictions(P, Q, x, w, sign)) ** 2).sum()
    return total


def test_deep_losses_are_those_of_gauss_rules():
    rng = np.random.default_rng(2)
    # (L, d, n, heads, sign): a layer has degree 2 in x and, at most, in w; a squared error of L layers twice
    # 3^L - 1 in x and in w, and a rule of half of that and 1 is exact.
    for L, d, n, heads, sign in ((2, 1, 2, 1, -1), (2, 1, 1, 2, 1), (3, 1, 1, 1, -1)):
        P, Q = 0.3 * rng.normal(size=(2, L, heads, d + 1, d + 1))
        S = (Fraction(3, 2),)
        given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q), sign=sign)
        most = 3**L + 1
        exact = deep_loss(given, n, S, sloped=False).value
        assert float(exact) == pytest.approx(by_rules(P, Q, n, S, sign, most, most), rel=1e-8)
    # With inputs alone transformed the labels stay linear in w, as in checkpoints of arXiv 2306.00297's code.
    P, Q = 0.3 * rng.normal(size=(2, 2, 1, 3, 3))
    P[..., 2, :2] = P[..., :2, 2] = Q[..., 2, :] = Q[..., :, 2] = 0.0
    S = (Fraction(1), Fraction(1, 2))
    given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    exact = deep_loss(given, 1, S, sloped=False).value
    assert float(exact) == pytest.approx(by_rules(P, Q, 1, S, -1, 10, 2), rel=1e-8)


def test_the_gradient_is_the_slope_of_the_loss_in_every_entry():
    rng = np.random.default_rng(3)
    step = Fraction(1, 10**8)
    for L, d, heads in ((2, 1, 2), (3, 1, 1), (2, 2, 1)):
        P, Q = 0.2 * rng.normal(size=(2, L, heads, d + 1, d + 1)).round(2)
        if d == 2:
            Q[..., d] = P[..., :d, d] = 0.0  # fewer monomials
        given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
        S = (Fraction(1), Fraction(2))[:d]
        gradient = deep_loss(given, 3, S, sloped=True).gradient
        # In the order of layers from the last, heads, P before Q, rows.
        places = [(l, h, at, i, j) for l in reversed(range(L)) for h in range(heads) for at in (0, 1)
                  for i in range(d + 1) for j in range(d + 1)]  # fmt: skip
        assert len(gradient) == len(places)
        for number in rng.choice(len(places), size=4, replace=False):
            l, h, at, i, j = places[number]
            ends = []
            for sign in (1, -1):
                layers = [
                    [tuple([list(row) for row in part] for part in head) for head in layer]
                    for layer in given.exact
                ]
                layers[l][h][at][i][j] += sign * step
                ends.append(deep_loss(GivenLinear.of_exact(layers), 3, S, sloped=False).value)
            slope = float((ends[0] - ends[1]) / (2 * step))
            assert float(gradient[number]) == pytest.approx(slope, rel=1e-9, abs=1e-12)


def test_it_agrees_with_what_is_known_for_one_layer_and_for_descent():
    rng = np.random.default_rng(4)
    A = rng.normal(size=(2, 2, 2)) / 2
    S = (Fraction(2), Fraction(1, 2))
    given = descent(torch.from_numpy(A))
    exact = [[[Fraction(v) for v in row] for row in step] for step in A.tolist()]
    assert deep_loss(given, 5, S, sloped=False).value == descent_loss(exact, 5, S)
    P, Q = rng.normal(size=(2, 1, 1, 3, 3)).round(1)
    one = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    squares = [
        sum(v * v for v in found)
        for found in (deep_loss(one, 4, S, sloped=True).gradient, one_layer_gradient(one, 4, S))
    ]
    assert squares[0] == squares[1]


def test_what_is_too_large_is_said_beforehand(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    P, Q = 0.1 * torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
    large = GivenLinear.of(P, Q)
    found = gaussian_loss(large, 4, (Fraction(1),) * 3, generator)
    assert found.value is None and f"{most_monomials(large)[0]:,} monomials" in found.why
    small = gaussian_loss(GivenLinear.of(P[:2, :, :2, :2], Q[:2, :, :2, :2]), 4, (Fraction(1),), generator)
    assert small.value is not None and small.gradient > 0 and not small.why
    monkeypatch.setattr(deep_loss_module, "available_bytes", lambda: 1000)
    full = gaussian_loss(GivenLinear.of(P[:2], Q[:2]), 4, (Fraction(1),) * 3, generator)
    assert full.value is None and full.why == "an expansion would take about 1.08 GiB"


def test_losses_on_the_sphere_are_those_of_angles_and_of_the_polynomial_over_all_matrices():
    rng, S = np.random.default_rng(5), (Fraction(2), Fraction(1, 2))
    root, (nodes, weights) = np.sqrt(np.array(S, dtype=float)), rule(9)
    P, Q = rng.integers(-3, 4, size=(2, 2, 1, 3, 3)) / 8
    given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q), sign=-1)
    total = 0.0
    for angle in 2 * np.pi * np.arange(18) / 18:  # of degree 16 in the one example and in w
        x = np.sqrt(2) * np.array([[np.cos(angle), np.sin(angle)]]) * root
        for i, j in np.ndindex(9, 9):
            w = np.array([nodes[i], nodes[j]])
            error = (root**2 * (w - predictions(P, Q, x, w, -1)) ** 2).sum()
            total += weights[i] * weights[j] * error / 18
    exact = deep_loss(given, 1, S, sloped=False, covariates="sphere").value
    assert abs(float(exact) - total) <= 1e-9 * total
    one = GivenLinear.of(torch.from_numpy(P[:1]), torch.from_numpy(Q[:1]), sign=-1)
    found = deep_loss(one, 3, S, sloped=True, covariates="sphere")
    model = one_layer_loss(2, ((S[0], Fraction(0)), (Fraction(0), S[1])), 3, "sphere")
    p, q = [Fraction(v) for v in P[0, 0, -1]], [[Fraction(v) for v in row[:2]] for row in Q[0, 0]]
    point = {k: fmpq(*v.as_integer_ratio()) for k, v in enumerate([*p, *(v for row in q for v in row)])}
    assert found.value == Fraction(str(model.loss.subs(point)))
    slopes = [Fraction(str(slope)) for slope in model.gradient(p, q)]
    assert sum(v * v for v in slopes) == sum(v * v for v in found.gradient)
