"""Gains of the eigenvalues of X^T X, by which ridge and descent predict, and the search for the best one.

The search runs thousands of times over small arrays: here are no shapes that tests would hold at each call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar

TRIED_STEPS = (*range(1, 33), 40, 50, 64, 80, 100, 128)
"""The numbers of steps of descent that are tried."""

_GRID = 25
"""Points of the first search of a parameter, on a logarithmic scale; the best is then refined."""

_MUCH_BETTER = 10.0
"""Descent that may diverge on other prompts is chosen only if it fits so many times better."""


def ridge_gain(s: np.ndarray, penalty: float) -> np.ndarray:
    """Of (X^T X + lambda I)^-1."""
    return np.asarray(1 / (s + penalty))


def descent_gain(s: np.ndarray, k: int, eta: float, n: int) -> np.ndarray:
    """Of k steps: an eigenvalue s gains (1 - (1 - eta s/n)^k) / s."""
    t = eta * s / n
    small = -np.expm1(k * np.log1p(-np.minimum(t, 0.5)))
    with np.errstate(over="ignore", invalid="ignore"):
        reached = np.where(t < 0.5, small, 1 - (1 - t) ** k)
    positive = s > 0
    return np.where(positive, reached / np.where(positive, s, 1), k * eta / n)


def inverse_gain(s: np.ndarray, rounding: float) -> np.ndarray:
    """Of the pseudoinverse: eigenvalues that are rounding gain nothing."""
    kept = s > rounding * s.max(axis=1, keepdims=True)
    return np.where(kept, 1 / np.where(kept, s, 1), 0)


@dataclass(frozen=True)
class SquaredGap:
    """The mean squared distance to answers of what gained eigenvalues predict; infinite where it overflows.

    values, products: (B, r), as in `RegressionPrompts.spectrum`.  answers: (B,).
    """

    values: np.ndarray
    products: np.ndarray
    answers: np.ndarray

    def __call__(self, gained: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            found = float(np.mean(((self.products * gained).sum(axis=1) - self.answers) ** 2))
        return found if math.isfinite(found) else math.inf


def best_scale(cost: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """The number between low and high at which the cost is least, and that cost: a grid, then refined."""
    points = [low * (high / low) ** (i / (_GRID - 1)) for i in range(_GRID)]
    costs = [cost(point) for point in points]
    at = min(range(_GRID), key=costs.__getitem__)
    ends = math.log(points[max(at - 1, 0)]), math.log(points[min(at + 1, _GRID - 1)])
    found = minimize_scalar(
        lambda z: min(cost(math.exp(z)), 1e300), bounds=ends, method="bounded", options={"xatol": 1e-10}
    )
    refined = math.exp(float(found.x))
    return min(((points[at], costs[at]), (refined, cost(refined))), key=lambda pair: pair[1])


def fit_penalty(gap: SquaredGap, n: int) -> float:
    """The lambda of ridge regression that is nearest to the answers, from 1e-4 n to 100 n."""
    return best_scale(lambda z: gap(ridge_gain(gap.values, z)), 1e-4 * n, 1e2 * n)[0]


def fit_steps(gap: SquaredGap, n: int) -> tuple[int, float]:
    """The number and size of steps of descent that are nearest to the answers.

    Sizes below 1/(largest eigenvalue) are preferred: larger ones may diverge on other prompts.
    """
    eigenvalues = gap.values.max(axis=1) / n
    free, careful = [], []
    for k in TRIED_STEPS:
        at_k = partial(descent_gain, gap.values, k, n=n)
        of_eta = lambda z, at=at_k: gap(at(z))  # noqa: E731
        least, stable = 1e-2 / float(np.median(eigenvalues)) / k, 1 / float(eigenvalues.max())
        eta, apart = best_scale(of_eta, least, 4 / float(np.median(eigenvalues)))
        free.append((apart, k, eta))
        if eta > stable:
            eta, apart = best_scale(of_eta, min(least, stable / 2), stable)
        careful.append((apart, k, eta))
    _, k, eta = min(free) if min(free)[0] * _MUCH_BETTER < min(careful)[0] else min(careful)
    return k, eta
