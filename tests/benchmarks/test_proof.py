"""Proofs against a general-purpose verifier, and checking against proving, as ratios within one run."""

import json
import math

import numpy as np
import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import clear_plan_caches, plan
from icgd.bounds.step_error.recurrence import Term
from icgd.verify.certificate.issue import certificate, posed_letters
from icgd.verify.checker.relu import check


def times(x, y):
    """The product of two intervals (low, high), entry by entry."""
    corners = [a * b for a in x for b in y]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def matmul(v, x):
    """The interval matrix v of shape (k, i) times the interval vector x."""
    low, high = times(v, (x[0][None, :], x[1][None, :]))
    return low.sum(axis=1), high.sum(axis=1)


def interval_bound(problem, errors):
    """Interval arithmetic on the unrolled map (w, x, y, local errors) -> transformer minus exact gradient.

    What a verifier does that knows nothing of the problem: both passes are followed as they are written, for
    tanh and the squared loss, and their difference is taken at the end.
    """

    def ball(size, shape):
        return -size * np.ones(shape), size * np.ones(shape)

    def gradient(sizes):
        """Intervals of the gradient blocks where the local errors are at most `sizes`."""

        def e(kind, j):
            return sizes.get(Term(kind, j), 0.0)

        dims, inputs, slopes = problem.dims, [ball(problem.B_x, problem.d)], []
        matrices = [ball(problem.half_width(j), (dims[j], dims[j - 1])) for j in range(1, problem.N + 1)]
        for j, v in enumerate(matrices, start=1):
            z = matmul(v, inputs[-1])
            inputs.append((np.tanh(z[0]) - e("r", j), np.tanh(z[1]) + e("r", j)))
            flat = 1 - np.tanh(np.maximum(np.abs(z[0]), np.abs(z[1]))) ** 2
            slopes.append((flat - e("dr", j), np.ones(dims[j]) + e("dr", j)))
        y = ball(problem.B_y, problem.d_out)
        g, blocks = (2 * (inputs[-1][0] - y[1]), 2 * (inputs[-1][1] - y[0])), []
        for j in range(problem.N, 0, -1):
            low, high = times(slopes[j - 1], g)
            s = low - e("product", j), high + e("product", j)
            columns = inputs[j - 1][0][None, :], inputs[j - 1][1][None, :]
            blocks.append(times((s[0][:, None], s[1][:, None]), columns))
            g = matmul((matrices[j - 1][0].T, matrices[j - 1][1].T), s)
        return blocks

    pairs = zip(gradient({}), gradient(errors), strict=True)
    worst = [np.maximum(np.abs(b[1] - a[0]), np.abs(a[1] - b[0])) / 2 for a, b in pairs]
    return math.sqrt(sum(float((block**2).sum()) for block in worst))


@pytest.mark.parametrize(("N", "K", "d"), [(2, 3, 2), (3, 4, 2), (4, 4, 3)])
@pytest.mark.parametrize("eps", [1e-2, 1e-4])
def test_the_proof_against_interval_arithmetic(benchmark, N, K, d, eps):
    made = plan(Problem(N=N, K=K, d=d, eps=eps))
    baseline = benchmark.pedantic(lambda: interval_bound(made.problem, made.errors), rounds=1)
    benchmark.extra_info["interval / certified"] = baseline / made.bound
    assert baseline > 10 * made.bound


@pytest.mark.parametrize("posed", [{}, {"eps": 1e-4}, {"N": 5}], ids=str)
def test_checking_against_proving(benchmark, posed):
    """Goal: checking takes less than a tenth of proving."""
    problem = Problem(**posed)
    clear_plan_caches()
    made = plan(problem)
    found = json.loads(json.dumps(certificate(made)))
    benchmark.pedantic(lambda: check(found, posed_letters(problem), "lean"), rounds=5, warmup_rounds=1)
    benchmark.extra_info["check / prove"] = benchmark.stats.stats.median / made.seconds
