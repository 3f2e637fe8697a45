"""The predictors that the literature compares with, each with its best parameters for given answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.verify.given_predictor.regression_task import RegressionPrompts
from icgd.verify.given_predictor.spectral_gain import (
    SquaredGap,
    best_scale,
    descent_gain,
    fit_penalty,
    fit_steps,
    inverse_gain,
    ridge_gain,
)

Parameters = tuple[float, ...]

_LARGEST = 1e140
"""Descent that diverges answers no larger number, so that squares of distances stay finite."""


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
    """<query, gain(X^T X) X^T y>, for a gain of eigenvalues (B, r); at most `_LARGEST` in absolute value."""
    values, products = prompts.spectrum
    gained = np.nan_to_num(gain(values.numpy()), nan=_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
    return (products * torch.from_numpy(gained)).sum(dim=1).clamp(-_LARGEST, _LARGEST)


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


def _fit_ridge(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    return (fit_penalty(SquaredGap(*_arrays(prompts, answers)), prompts.n),)


def _fit_descent(prompts: RegressionPrompts, answers: Tensor) -> Parameters:
    return fit_steps(SquaredGap(*_arrays(prompts, answers)), prompts.n)


def _arrays(prompts: RegressionPrompts, answers: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, products = prompts.spectrum
    return values.numpy(), products.numpy(), answers.numpy()


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
