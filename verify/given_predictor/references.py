"""The predictors that the literature compares with, each with its best parameters for given answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from icgd.verify.given_predictor.regression_task import RegressionPrompts

Parameters = tuple[float, ...]

TRIED_STEPS = (*range(1, 33), 40, 50, 64, 80, 100, 128)
"""The numbers of steps of descent that are tried."""

_MUCH_BETTER = 10.0
"""Descent that may diverge on other prompts is chosen only if it fits so many times better."""

_GRID = 25
"""Points of the first search of a parameter, on a logarithmic scale; the best is then refined."""


@dataclass(frozen=True)
class Reference:
    """A predictor to compare with.

    predict: its answers (B,), differentiable in y and the query, at parameters.  fit: the parameters whose
    answers have the least mean squared distance to given ones.  words: what it is, for parameters of
    several prompt lengths.
    """

    predict: Callable[[RegressionPrompts, Parameters], Tensor]
    fit: Callable[[RegressionPrompts, Tensor], Parameters]
    words: Callable[[Sequence[Parameters]], str]


def filtered(prompts: RegressionPrompts, gain: Callable[[np.ndarray], np.ndarray]) -> Float[Tensor, "B"]:
    """<query, gain(X^T X) X^T y>, for a gain of eigenvalues (B, r)."""
    values, products = prompts.spectrum
    return (products * torch.from_numpy(gain(values.numpy()))).sum(dim=1)


# Functions inside functions are slow where shapes are held: each is wrapped again whenever it is made.


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


def ridge_answer(prompts: RegressionPrompts, parameters: Parameters) -> Float[Tensor, "B"]:
    """Ridge regression, <query, (X^T X + lambda I)^-1 X^T y>."""
    return filtered(prompts, partial(ridge_gain, penalty=parameters[0]))


def least_squares_answer(prompts: RegressionPrompts, parameters: Parameters = ()) -> Float[Tensor, "B"]:
    """Least squares, of the least norm where there are several."""
    rounding = float((max(prompts.x.shape[1:]) * np.finfo(np.float64).eps) ** 2)
    return filtered(prompts, partial(inverse_gain, rounding=rounding))


def descent_answer(prompts: RegressionPrompts, parameters: Parameters) -> Float[Tensor, "B"]:
    """k steps of gradient descent from w = 0 on (1/(2n)) sum (<w, x_i> - y_i)^2, in closed form."""
    k, eta = parameters
    return filtered(prompts, partial(descent_gain, k=int(k), eta=eta, n=prompts.n))


def kernel_answer(prompts: RegressionPrompts, parameters: Parameters) -> Float[Tensor, "B"]:
    """The mean of the labels under the weights exp(-|query - x_i|^2 / (2 h^2))."""
    (bandwidth,) = parameters
    apart = (prompts.x - prompts.query[:, None]).square().sum(dim=2)
    weights = torch.softmax(-apart / (2 * bandwidth**2), dim=1)
    return (weights * prompts.y).sum(dim=1)


def mean_answer(prompts: RegressionPrompts, parameters: Parameters = ()) -> Float[Tensor, "B"]:
    """The mean of the labels in the prompt."""
    return prompts.y.mean(dim=1)


def last_answer(prompts: RegressionPrompts, parameters: Parameters = ()) -> Float[Tensor, "B"]:
    """The label of the last example."""
    return prompts.y[:, -1]


def constant_answer(prompts: RegressionPrompts, parameters: Parameters) -> Float[Tensor, "B"]:
    """The same number whatever the prompt."""
    return torch.full_like(prompts.truth, parameters[0]) + 0 * prompts.y.sum(dim=1)


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


@dataclass(frozen=True)
class _Cost:
    """The mean squared distance to answers of what a gain predicts; infinite where it overflows."""

    values: np.ndarray
    products: np.ndarray
    answers: np.ndarray

    @classmethod
    def of(cls, prompts: RegressionPrompts, answers: Tensor) -> _Cost:
        return cls(*(part.numpy() for part in (*prompts.spectrum, answers)))

    def __call__(self, gained: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            found = float(np.mean(((self.products * gained).sum(axis=1) - self.answers) ** 2))
        return found if math.isfinite(found) else math.inf


def _fit_ridge(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    cost, n = _Cost.of(prompts, answers), prompts.n
    return best_scale(lambda z: cost(ridge_gain(cost.values, z)), 1e-4 * n, 1e2 * n)[:1]


def _fit_descent(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    """Step sizes below 1/(largest eigenvalue) are preferred: larger ones may diverge on other prompts."""
    cost, n = _Cost.of(prompts, answers), prompts.n
    eigenvalues = cost.values.max(axis=1) / n
    free, careful = [], []
    for k in TRIED_STEPS:
        at_k = partial(descent_gain, cost.values, k, n=n)
        of_eta = lambda z, at=at_k: cost(at(z))  # noqa: E731
        least, stable = 1e-2 / float(np.median(eigenvalues)) / k, 1 / float(eigenvalues.max())
        eta, apart = best_scale(of_eta, least, 4 / float(np.median(eigenvalues)))
        free.append((apart, k, eta))
        if eta > stable:
            eta, apart = best_scale(of_eta, min(least, stable / 2), stable)
        careful.append((apart, k, eta))
    return (min(free) if min(free)[0] * _MUCH_BETTER < min(careful)[0] else min(careful))[1:]


def _fit_kernel(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    size = math.sqrt(prompts.x.shape[2])
    cost = lambda z: float((kernel_answer(prompts, (z,)) - answers).square().mean())  # noqa: E731
    return best_scale(cost, 0.02 * size, 20 * size)[:1]


def ranged(values: Sequence[float]) -> str:
    """Numbers as one, or as a range.

    >>> ranged([0.5, 0.5]), ranged([3, 5, 4])
    ('0.5', '3 to 5')
    """
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _nothing(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    return ()


def _descent_in_words(found: Sequence[Parameters]) -> str:
    steps, sizes = ([one[i] for one in found] for i in range(2))
    many = "step" if set(steps) == {1} else "steps"
    return f"{ranged(steps)} {many} of descent of size {ranged(sizes)}"


REFERENCES: Mapping[str, Reference] = {
    "mean of labels": Reference(mean_answer, _nothing, lambda found: "the mean of the labels"),
    "ridge": Reference(
        ridge_answer,
        _fit_ridge,
        lambda found: f"ridge regression with lambda = {ranged([one[0] for one in found])}",
    ),
    "least squares": Reference(least_squares_answer, _nothing, lambda found: "least squares"),
    "descent": Reference(descent_answer, _fit_descent, _descent_in_words),
    "kernel regression": Reference(
        kernel_answer,
        _fit_kernel,
        lambda found: f"kernel regression with bandwidth {ranged([one[0] for one in found])}",
    ),
    "last label": Reference(last_answer, _nothing, lambda found: "the last label"),
    "constant": Reference(
        constant_answer,
        lambda prompts, answers: (float(answers.mean()),),
        lambda found: f"the constant {ranged([one[0] for one in found])}",
    ),
}
"""What every predictor is compared with, by name."""
