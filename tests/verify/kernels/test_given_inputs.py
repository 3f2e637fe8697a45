"""Functional descent on given inputs: kernels, limits and rates, each by a second method."""

import math
from dataclasses import replace
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from flint import arb, arb_mat, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functional import FunctionalProblem, peak
from icgd.bounds.kernel import KERNELS
from icgd.verify.kernels.formula import values
from icgd.verify.kernels.given_inputs import (
    KERNEL_PRECISION,
    convergence_on,
    descent_balls,
    distance_from_descent,
    exact_mismatch,
    kernel_balls,
    rate_claim,
    rounding_in_balls,
)
from icgd.verify.kernels.matching import regressed
from icgd.verify.kernels.prompts import draw_examples
from tests.rounding import gamma

seeds = st.integers(0, 2**32 - 1)


def inputs(seed, n=5, d=3):
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((n + 1, d)) / math.sqrt(d)
    return points.tolist(), generator.standard_normal(n).tolist()


def gram(name, points):
    inner = np.array(points) @ np.array(points).T
    by_hand = {"linear": inner, "exp": np.exp(inner), "softmax": np.exp(inner), "relu": np.maximum(inner, 0)}
    value = by_hand.get(name, values(KERNELS[name].formula, s=inner))
    return value / value[:-1].sum(axis=0) if KERNELS[name].normalised else value


@settings(deadline=None, max_examples=20)
@given(seeds, st.sampled_from([*KERNELS]))
def test_kernels_in_balls_contain_the_floats(seed, name):
    points, _ = inputs(seed)
    k, inner, sizes = (
        KERNELS[name].k,
        np.array(points) @ np.array(points).T,
        np.abs(points) @ np.abs(points).T,
    )
    reach = float(sizes.max())
    # Of the inner product, which k stretches, and of a formula of at most eight operations.
    off = k.derivative.sup(-reach, reach) * float(gamma(len(points[0]))) * reach + float(gamma(8)) * k.sup(
        -reach, reach
    )
    if KERNELS[name].normalised:  # entries are at most their sums, and so is what the sums are off by
        tokens = len(points)
        off = off * (1 + tokens) / k(inner)[:-1].sum(axis=0).min() + float(gamma(2 * tokens))
    for balls, found in zip(kernel_balls((name,), points), gram(name, points), strict=False):
        assert all(arb(x, off).overlaps(ball) for ball, x in zip(balls, found.tolist(), strict=True))


@settings(deadline=None, max_examples=15)
@given(seeds, st.sampled_from(["exp", "softmax"]))
def test_the_limit_is_where_descent_goes_and_the_bound_covers_it(seed, name):
    points, labels = inputs(seed)
    rate = 1 / (5 * math.exp(4)) if name == "exp" else 1.0
    found = convergence_on((name,), points, labels, rate)
    with ctx.workprec(KERNEL_PRECISION):
        kernel = kernel_balls((name,), points)
        matrix, query = arb_mat([row[:-1] for row in kernel]), arb_mat([[row[-1]] for row in kernel])
        limit = (arb_mat([labels]) * matrix.inv() * query)[0, 0]
        assert limit.overlaps(found.limit) and found.limit.rad() < 1e-30 * (1 + abs(limit))
        if not found.converges:
            return
        for layer, row in enumerate(descent_balls(kernel, labels, rate, 30)):
            assert not abs(found.limit + row[-1]) > found.constant * found.rho**layer


def test_the_limit_is_the_gaussian_conditional_mean_by_the_precision_matrix():
    points, labels = inputs(1)
    inner = mpmath.matrix(points) * mpmath.matrix(points).T
    joint = mpmath.matrix(6, 6)
    for i in range(6):
        for j in range(6):
            joint[i, j] = mpmath.exp(inner[i, j])
    with mpmath.workdps(40):
        precision = joint**-1
        mean = -sum(precision[5, i] * labels[i] for i in range(5)) / precision[5, 5]
    assert abs(float(convergence_on(("exp",), points, labels, 0.01).limit) - float(mean)) < 1e-9


def test_noise_is_on_the_labels_of_examples_and_in_the_bayes_predictor():
    """By the joint precision matrix of noisy labels and the query; and by what a seed draws without noise."""
    plain = FunctionalProblem(d=3, n=5, L=1, sigma=1.25)
    noisy = replace(plain, noise=0.5)
    one, other = (draw_examples(posed, 400, torch.Generator().manual_seed(4)) for posed in (plain, noisy))
    assert torch.equal(one.answer, other.answer) and torch.equal(one.x, other.x)
    added = (other.y - one.y) / 0.5
    # 2,000 independent squares: mean 1, deviation sqrt(2/2000); six of them.
    assert abs(float(added.square().mean()) - 1) < 6 * math.sqrt(2 / added.numel())
    assert abs(float(added.mean())) < 6 / math.sqrt(added.numel())
    points = torch.cat([other.x[0], other.query[:1]]).numpy()
    joint = np.exp(points @ points.T / 1.5625) + 0.25 * np.diag([1.0] * 5 + [0.0])
    precision = np.linalg.inv(joint)
    bayes = -precision[5, :5] @ other.y[0].numpy() / precision[5, 5]
    assert float(regressed(noisy, "exp", other, 0.25)[0]) == pytest.approx(bayes, rel=1e-9)
    claim = rate_claim(noisy, convergence_on(("exp",), points.tolist(), other.y[0].tolist(), 0.01))
    assert "Bayes" not in claim.title


@pytest.mark.parametrize(("kernel", "L"), [("softmax", 1000), ("exp", 400), ("linear+exp", 300)])
def test_balls_of_many_layers_stay_narrow_around_descent_by_powers_in_numpy(kernel, L):
    points, labels = inputs(6)
    problem = FunctionalProblem(d=3, n=5, L=L, radius=3.0, kernel=kernel)
    K = sum(gram(name, points) for name in problem.heads)[:-1]  # e_L = e_0 (I - r K)^L at the examples
    squares = np.linalg.matrix_power(np.eye(5) - problem.rate * K[:, :-1], L)
    fitted = np.linalg.solve(K[:, :-1].T, labels - np.array(labels) @ squares) @ K[:, -1]
    reached = [*(np.array(labels) @ squares).tolist(), -fitted]
    low, high = distance_from_descent(problem, points, labels, reached)
    # Powers round by about L ulp, the solve by the condition number more.
    assert high - low < 1e-40 and high < 1e-15 * L * np.linalg.cond(K[:, :-1])
    low, high = distance_from_descent(problem, points, labels, [*reached[:-1], reached[-1] + 0.5])
    assert low == pytest.approx(0.5, abs=1e-6) and rounding_in_balls([(low, high)], 1.0)[0] >= low


def test_only_what_is_certain_of_an_error_counts():
    assert rounding_in_balls([(0.0, 1e-14), (0.0, 1e-13)], 1.0) == (1e-13, "at most 1e-13 by balls on 2")
    wide, words = rounding_in_balls([(1e-20, 1e-14), (0.0, math.inf)], 1.0)
    assert wide == 1e-20 and "too wide to tell" in words
    assert rounding_in_balls([(1e-11, 2e-11)], 1.0)[0] == 2e-11
    assert rounding_in_balls([(1e-11, 2e-11)], 128.0)[0] == 2e-11 / 128


def test_the_bayes_title_needs_drawn_labels_without_noise_and_covariances_and_softmax_its_own_form():
    points, labels = inputs(1)
    points, query = np.array(points[:-1]), np.array(points[-1])
    titles = {}
    for kernel in ("exp", "softmax", "relu"):
        problem = FunctionalProblem(d=3, n=5, kernel=kernel)
        found = convergence_on((kernel,), [*points.tolist(), query.tolist()], labels, problem.rate)
        for drawn in (True, False):
            claim = rate_claim(problem, found, drawn)
            titles[kernel, drawn] = "Bayes" in claim.title
            assert ("S = D^{-1/2} E D^{-1/2}" in claim.statement) == (kernel == "softmax")
        if kernel == "softmax":  # the statement in numpy
            E, e = np.exp(points @ points.T), np.exp(points @ query)
            D = E.sum(axis=0)
            S, s, z = E / np.sqrt(np.outer(D, D)), e / np.sqrt(D) / e.sum(), np.sqrt(D) * labels
            eigenvalues = np.linalg.eigvalsh(S)
            limit, ss, zz = (a @ np.linalg.solve(S, b) for a, b in ((s, z), (s, s), (z, z)))
            wanted = limit, eigenvalues[0], eigenvalues[-1], math.sqrt(ss * zz)
            told = map(float, (found.limit, found.smallest, found.largest, found.constant))
            assert [*told] == pytest.approx(wanted, rel=1e-9)
            assert claim.source.startswith("icgd, after")
    assert [one for one, said in titles.items() if said] == [("exp", True)]


@pytest.mark.parametrize("normaliser", ["examples", "tokens"])
def test_width_and_normaliser_are_those_of_numpy_and_of_the_limit(normaliser):
    """K = exp(<x, x'> / 4) over its sums: the limit by numpy's solve, all scores within 1 of 0."""
    points, labels = inputs(3)
    points = (np.array(points) / 2).tolist()
    E = np.exp(np.array(points) @ np.array(points).T / 4)
    sums = (E if normaliser == "tokens" else E[:-1]).sum(axis=0)
    found = kernel_balls(("softmax",), points, 0.25, normaliser)
    assert np.allclose([[float(one) for one in row] for row in found], (E / sums)[:-1], rtol=1e-14, atol=0)
    softmax = convergence_on(("softmax",), points, labels, 1.0, 0.25, normaliser)
    assert softmax.converges and float(softmax.largest) <= 1
    K = E / sums  # f(x_j) = sum_i a_i K_ij is y_j at the examples
    limit = np.linalg.solve(K[:-1, :-1].T, labels) @ K[:-1, -1]
    assert float(softmax.limit) == pytest.approx(limit, rel=1e-16 * np.linalg.cond(K[:-1, :-1]) * 100)


def test_softmax_regresses_the_scaled_labels_of_exp():
    points, labels = inputs(2)
    sums = np.exp(np.array(points) @ np.array(points).T)[:-1].sum(axis=0)
    softmax = convergence_on(("softmax",), points, labels, 1.0)
    exponential = convergence_on(("exp",), points, (sums[:-1] * labels).tolist(), 1.0)
    assert float(softmax.limit) == pytest.approx(float(exponential.limit) / sums[-1], rel=1e-9)
    assert convergence_on(("softmax", "linear"), points, labels, 1.0) is None


@settings(deadline=None, max_examples=20)
@given(seeds, st.sampled_from([*KERNELS]))
def test_largest_eigenvalue_is_below_its_bound(seed, name):
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((7, 2))
    points *= 1.3 / np.linalg.norm(points, axis=1, keepdims=True)
    found = convergence_on((name,), points.tolist(), [0.0] * 6, 1.0)
    farthest = 1.3 * (1 + 2.0**-50)  # six roundings from 1.3
    assert not found.largest > 6 * arb(peak((name,), farthest, 6)) * (1 + float(gamma(2)))


def test_exact_layers_see_damage():
    points, labels = [[0.5], [0.25], [1.0]], [1.0, -2.0]
    kernel = [[1.0, 0.5, 0.25], [0.5, 2.0, 0.75]]

    def layers(V, B=1.0, C=1.0):
        return [[([[0.0, 0.0], [0.0, V]], [[B]], [[C]])]] * 2

    assert exact_mismatch(layers(-0.5), points, labels, [kernel], 0.5) == ""
    assert exact_mismatch(layers(-0.5, 2.0, 0.5), points, labels, [kernel], 0.5) == ""
    for damaged in (layers(0.5), layers(-0.25), layers(-0.5, B=-1.0)):
        assert exact_mismatch(damaged, points, labels, [kernel], 0.5)


def test_the_rate_that_is_claimed_is_that_of_the_inputs():
    problem = FunctionalProblem()
    found = convergence_on(("exp",), *inputs(3, n=12, d=4), problem.rate)
    expected = float(found.constant) * float(found.rho) ** problem.L
    assert rate_claim(problem, found).value == pytest.approx(expected, rel=1e-9)
    shorter = [rate_claim(FunctionalProblem(L=L), found).value for L in (10, 20, 40)]
    assert all(a > b for a, b in pairwise(shorter))
