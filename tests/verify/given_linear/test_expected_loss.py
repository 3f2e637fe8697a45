"""The exact expected loss against Gauss rules over every number of a prompt, and against sampling."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

from icgd.construct.given_linear import GivenLinear, descent
from icgd.verify.given_linear.expected_loss import (
    descent_loss,
    gaussian_loss,
    one_layer_gradient,
    one_layer_loss_of,
)
from tests.numpy_linear_attention import descended, prediction

RNG = np.random.default_rng(3)


def by_quadrature(loss, sizes):
    """E loss(z) over independent standard normals, by Gauss-Hermite rules of these sizes."""
    rules = [np.polynomial.hermite_e.hermegauss(size) for size in sizes]
    total = 0.0
    for at in product(*(range(size) for size in sizes)):
        weight = np.prod([rule[1][k] / np.sqrt(2 * np.pi) for rule, k in zip(rules, at, strict=True)])
        total += weight * loss(np.array([rule[0][k] for rule, k in zip(rules, at, strict=True)]))
    return total


CASES = [(1, 2, True, "n"), (1, 2, False, "n"), (1, 2, False, "n+1"), (2, 1, True, "1"), (2, 1, False, "n")]


@pytest.mark.parametrize(("d", "n", "masked", "divisor"), CASES)
def test_one_layer_is_exact(d, n, masked, divisor):
    P, Q = RNG.normal(size=(2, 1, 2, d + 1, d + 1))
    S = (Fraction(2), Fraction(1, 2))[:d]
    root = np.sqrt(np.array(S, dtype=float))
    given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q), masked=masked, divisor=divisor)

    def error(z):
        x, w = z[: d * (n + 1)].reshape(n + 1, d) * root, z[d * (n + 1) :]
        found = prediction(
            P, Q, x[:n], x[:n] @ w, x[n], masked=masked, divisor={"n": n, "n+1": n + 1, "1": 1}[divisor]
        )
        return (w @ x[n] - found) ** 2

    # The squared error has degree 4 in each example and in w, and 2 (6 without a mask) in the query.
    sizes = [3] * (d * n) + [2 if masked else 4] * d + [3] * d
    exact = one_layer_loss_of(given, n, S)
    assert float(exact) == pytest.approx(by_quadrature(error, sizes), rel=1e-9)


def test_the_gradient_of_one_layer_is_that_of_the_loss():
    P, Q = RNG.normal(size=(2, 1, 1, 3, 3))
    S, n, step = (Fraction(1), Fraction(3)), 4, 2.0**-10

    def loss(P, Q):
        return float(one_layer_loss_of(GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q)), n, S))

    slopes = []
    for at in range(2):
        for place in np.ndindex(1, 1, 3, 3):
            ends = []
            for sign in (1, -1):
                moved = [P.copy(), Q.copy()]
                moved[at][place] += sign * step
                ends.append(loss(*moved))
            slopes.append((ends[0] - ends[1]) / (2 * step))
    given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    exact = [float(value) for value in one_layer_gradient(given, n, S)]
    assert sum(v * v for v in exact) == pytest.approx(sum(v * v for v in slopes), rel=1e-6)


def test_descent_is_exact_at_every_depth():
    for d, n, L in ((1, 2, 3), (2, 1, 2)):
        A = RNG.normal(size=(L, d, d)) / 2
        S = (Fraction(2), Fraction(1, 2))[:d]
        root = np.sqrt(np.array(S, dtype=float))

        def error(z, A=A, d=d, n=n, root=root):
            x, w = z[: d * n].reshape(n, d) * root, z[d * n :]
            return float((root**2 * (w - descended(A, x, x @ w)) ** 2).sum())  # E over the query

        exact = descent_loss([[[Fraction(v) for v in row] for row in step] for step in A.tolist()], n, S)
        assert float(exact) == pytest.approx(by_quadrature(error, [2 * L + 1] * (d * n) + [2] * d), rel=1e-8)


def test_what_is_not_exact_is_sampled_and_says_why():
    generator = torch.Generator().manual_seed(0)
    A = 0.4 * torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)
    made = gaussian_loss(descent(A), 8, (Fraction(1), Fraction(1)), generator)
    mean, half = made.sampled
    assert abs(mean - float(made.value)) < half and not made.why
    other = descent(A)
    P = other.P.clone()
    P[0, 0, 0, 0] = 0.1
    made = gaussian_loss(GivenLinear.of(P, other.Q), 8, (Fraction(1), Fraction(1)), generator)
    mean, half = made.sampled
    assert abs(mean - float(made.value)) < half and made.gradient > 0 and not made.why
    unmasked = GivenLinear.of(P, other.Q, masked=False)
    made = gaussian_loss(unmasked, 8, (Fraction(1), Fraction(1)), generator)
    assert made.value is None and "without a mask" in made.why and made.sampled[0] > 0
    deep = descent(0.1 * torch.eye(5, dtype=torch.float64).repeat(4, 1, 1))
    assert "monomials would take " in gaussian_loss(deep, 3, (Fraction(1),) * 5, generator).why
