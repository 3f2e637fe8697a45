"""Numbers about the norm in Theorem 1, found again in numpy; not shown where it is not so."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sympy

from icgd.bounds.functions.random_features import feature_mass
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.problem import Problem
from icgd.construct.block.balance import LayerNorms, balanced, norm_above
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.evidence import norms

C_LEAST = 1 + 2 * math.sqrt(2)


def test_the_layer_of_lemma_4_masks_the_query_and_its_norm_grows_with_its_units():
    """(C.14) for phi = 3 relu(t/2 + 1/2) - relu(-t): by hand, for examples and for the query."""
    rows = norms._rows(ReluSum([0.5, -1.0], [0.5, 0.0], [3.0, -1.0]))
    W1, W2 = norms._of_slope(2, rows, 1.0)
    p, y = np.array([0.4, -0.6]), np.array([-0.3, 0.5])
    example, query = (W2 @ np.maximum(W1 @ np.array([*p, *y, 1, one]), 0) for one in (1.0, 0.0))
    expected = 3 * np.maximum(p / 2 + 0.5, 0) - np.maximum(-p, 0) - y
    assert np.allclose(example, expected, atol=1e-15) and not query.any()
    assert len(W1) == 8 and np.abs(W1).sum(0)[-1] == 8.0  # R_3 = 1 in every row of the column of t


def test_the_lemmas_on_the_default_problem():
    """1 + K C_1 and 1 + K (N-1) C_2 with the masses of tanh and its slope, in closed form."""
    found = norms.lemmas()
    assert found["shows"] is True
    # A = |g(-1)| + 2 |g'(-1)| + int |g''(s)| (1 + |s|) ds; tanh has one sign of g'' on each side of 0.
    a, b = math.tanh(1), 1 / math.cosh(1) ** 2
    # On [0, 1]: int -g''(s)(1 + s) ds = [-g'(1 + s)] + int g' = 1 - 2 b + a, and the same on [-1, 0].
    C_1 = a + 2 * b + 2 * (1 - 2 * b + a)
    assert found["C_1"] == pytest.approx(C_1, rel=1e-4)
    assert found["C_2"] == pytest.approx(feature_mass(Scalar(1 / sympy.cosh(t) ** 2), 1.0), rel=1e-3)
    assert found["lemma_2"] == pytest.approx(1 + 4 * C_1, rel=1e-4)
    assert found["said_3"] == pytest.approx(1 + 8 * found["C_2"], rel=1e-12)
    assert found["lemma_3"] == pytest.approx(1 + 10 * found["C_2"], rel=1e-12)
    assert found["lemma_4"] == found["units_4"] + 1  # R_3 = 1, and |W2| = 1
    assert (found["said_2"], found["said_3"]) > (C_LEAST, C_LEAST)


def test_equal_tolerances_show_no_growth():
    assert norms.lemmas(tolerances=(0.2, 0.2))["shows"] is False


def test_units_that_make_every_layer_small():
    """With the step size that is found, all layers before the projection have norm at most 1 + 2 sqrt 2."""
    posed = Problem(N=2, K=2, d=1, n=4, eps=0.2)
    units = norms._small_units(build(posed, "paper"))
    eta = norms._largest_eta(build(posed, "paper"), units)
    small = balanced(build(replace(posed, eta=eta), "paper"), 1, units)
    *before, projection = [norm_above(layer, 1) for layer in small.literal()]
    assert max(before) == pytest.approx(C_LEAST, rel=1e-9)
    assert before[-1] == pytest.approx(C_LEAST, rel=1e-9)
    # The projection is what it was: clearing costs nothing, in any units.
    assert projection == pytest.approx(norms._allowed(posed, 1) - 1, rel=1e-9)
    larger = balanced(build(replace(posed, eta=8 * eta), "paper"), 1, units)
    *_, update, _ = [LayerNorms.of(layer, 1).built for layer in larger.literal()]
    assert update == pytest.approx(2 * C_LEAST, rel=1e-9)
    assert norms._apart(small) < 1e-13


def test_no_projection_has_a_smaller_norm():
    """2 <= |W2| |W1| for any MLP that projects onto a bounded set: here, boxes with units split at random."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sides, factors = rng.uniform(0, 0.2, 3), np.exp(rng.normal(0, 2, 6))
        W1 = np.zeros((6, 4))
        W1[np.arange(6), np.arange(6) % 3] = [1, 1, 1, -1, -1, -1]
        W1[:, -1] = -np.tile(sides, 2)
        W2 = np.hstack([-np.eye(3), np.eye(3)])
        first, second = factors[:, None] * W1, W2 / factors
        w = rng.uniform(-2, 2, 3)
        assert np.allclose(w + second @ np.maximum(first @ [*w, 1], 0), np.clip(w, -sides, sides), atol=1e-12)
        assert np.linalg.norm(first, 1) * np.linalg.norm(second, 1) >= 2 * (1 - 1e-15)


@pytest.mark.slow
def test_a_narrow_problem_does_not_show_that_the_two_norm_exceeds():
    assert norms.theorem(width=3)["shows"] is False
