"""Norms of balanced layers in letters, against full matrices written out in numpy."""

import math

import numpy as np
import pytest
import sympy

from icgd.bounds.claims import letters
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.least_norms import balanced_heads, projection_norms, update_norms

PROBLEMS = [
    Problem(),
    Problem(N=1, d=3, d_out=1, B_v=2.5, n=3),
    Problem(N=2, K=3, d=2, d_out=5, B_v=0.1, eta=4.0),
    Problem(N=4, K=5, d=1, d_out=2, B_v=0.7, n=1),
]


def value(expr, problem, **more):
    return float(expr.subs({symbol: number for symbol, (number, _) in letters(problem).items()}).subs(more))


def projection(problem):
    """W1 on (w, 1) and W2 of the MLP that clips every weight to the box, one entry after the other."""
    sides = [
        problem.B_v / math.sqrt(before)
        for before, after in zip(problem.dims[:-1], problem.dims[1:], strict=True)
        for _ in range(before * after)
    ]
    count = len(sides)
    W1, W2 = np.zeros((2 * count, count + 1)), np.zeros((count + 1, 2 * count))
    for i, side in enumerate(sides):
        W1[2 * i, i], W1[2 * i + 1, i], W1[2 * i : 2 * i + 2, -1] = 1, -1, -side
        W2[i, 2 * i], W2[i, 2 * i + 1] = -1, 1
    w = np.random.default_rng(0).uniform(-3, 3, count) * sides
    clipped = w + (W2 @ np.maximum(W1 @ np.append(w, 1), 0))[:-1]
    assert np.allclose(clipped, np.clip(w, -np.array(sides), sides), atol=1e-12)
    return W1, W2


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_projection(problem):
    W1, W2 = projection(problem)
    for order, least in zip((1, 2), projection_norms(problem), strict=True):
        # Clearing adds two units +-1 for each scratch coordinate: columns (1, -1) of W1, rows (-1, 1) of W2.
        first = max(np.linalg.norm(W1, order), (2, math.sqrt(2))[order - 1])
        expected = 2 * math.sqrt(first * np.linalg.norm(W2, order))
        assert value(least, problem) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("offset", [0.1, 3.0])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_update(problem, offset):
    """Unit k of layer j adds to row k of V_j, from p(j-1); a last head subtracts the offset from all rows."""
    scale, strengths = problem.eta * (problem.n + 1) / (2 * problem.n), np.zeros(2)
    for before, after in zip(problem.dims[:-1], problem.dims[1:], strict=True):
        key = np.array([[1, 2 * offset, -offset]])  # on s[k], t, 1
        rows = scale * np.eye(before)
        removed = np.kron(np.ones((after, 1)), offset * rows)
        for i, order in enumerate((1, 2)):
            strengths[i] += after * np.linalg.norm(key, order) * np.linalg.norm(rows, order)
            strengths[i] += np.linalg.norm(removed, order)
    norms = update_norms(sympy.Float(offset, 30))
    # The offset is one for all layers here; the last head has keys of norm 1.
    for norm, strength in zip(norms, strengths, strict=True):
        assert value(norm, problem) == pytest.approx(1.5 * (2 * strength) ** (1 / 3), rel=1e-12)


def test_balanced_heads():
    assert balanced_heads(sympy.Integer(4)) == 3
    t, S = sympy.symbols("t S", positive=True)
    norm = t + S / t**2
    least = sympy.solve(sympy.diff(norm, t), t)
    assert len(least) == 1 and sympy.simplify(norm.subs(t, least[0]) - balanced_heads(S)) == 0
    assert sympy.diff(norm, t, 2).is_positive
