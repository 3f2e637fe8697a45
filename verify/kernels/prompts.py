"""Prompts whose labels are a Gaussian process, and a referee: an independent implementation of descent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.kernel import KERNELS
from icgd.construct.functional import Examples
from icgd.verify.kernels import formula


def draw_examples(problem: FunctionalProblem, count: int, generator: torch.Generator) -> Examples:
    """Points uniform on the sphere; labels a Gaussian process whose covariance is the problem's kernel.

    A similarity that is not a covariance (relu, softmax) is replaced by its symmetric part with negative
    eigenvalues set to 0.  Labels of the examples have the problem's noise in addition, the answer has none.
    """
    shape = (count, problem.n + 1, problem.d)
    points = torch.randn(*shape, generator=generator, dtype=torch.float64)
    points *= problem.radius / torch.linalg.vector_norm(points, dim=-1, keepdim=True)
    values, vectors = torch.linalg.eigh(_covariance(problem, points))
    noise = torch.randn(count, problem.n + 1, 1, generator=generator, dtype=torch.float64)
    labels = (vectors @ (values.clamp(min=0).sqrt()[..., None] * noise))[..., 0]
    if problem.noise:
        drawn = torch.randn(count, problem.n, generator=generator, dtype=torch.float64)
        labels[:, :-1] += problem.noise * drawn
    return Examples(points[:, :-1], labels[:, :-1], points[:, -1], labels[:, -1])


def _covariance(problem: FunctionalProblem, points: Float[Tensor, "B T d"]) -> Float[Tensor, "B T T"]:
    how = problem.scale, problem.normaliser
    gram = torch.from_numpy(sum(kernel_values(name, points.numpy(), *how) for name in problem.heads))
    return (gram + gram.mT) / 2


def kernel_values(
    name: str, points: np.ndarray, scale: float = 1.0, normaliser: str = "examples"
) -> np.ndarray:
    """K(x_i, x_j) in numpy, from the formulas, as the referee computes it; scale multiplies <x_i, x_j>."""
    return similar(name, scale * np.einsum("bid,bjd->bij", points, points), normaliser)


def similar(name: str, scores: np.ndarray, normaliser: str = "examples") -> np.ndarray:
    """The kernel of scores (batch, keys, tokens) in numpy; a normalised one sums to 1 over the examples.

    The last key is the query's, which is in the sum where the normaliser is "tokens".
    """
    kernel = KERNELS[name]
    found = np.array(np.broadcast_to(formula.values(kernel.formula, s=scores), scores.shape))
    keys = found if normaliser == "tokens" else found[:, :-1]
    return found / keys.sum(axis=1, keepdims=True) if kernel.normalised else found


def kernel_referee(
    heads: Sequence[str],
    examples: Examples,
    rate: float,
    steps: int,
    scale: float = 1.0,
    normaliser: str = "examples",
) -> Float[np.ndarray, "{steps}+1 B _"]:
    """y_i - f_l(x_i) and -f_l(x_q), f_l = sum_i a_i K(., x_i): descent on the coefficients a, in numpy."""
    points = torch.cat([examples.x, examples.query[:, None]], dim=1).numpy()
    kernel = np.sum([kernel_values(name, points, scale, normaliser) for name in heads], axis=0)[:, :-1]
    y = examples.y.numpy()
    coefficients, path = np.zeros_like(y), []
    with np.errstate(over="ignore", invalid="ignore"):  # too large a rate leaves float64, and is judged so
        for _ in range(steps + 1):
            values = np.einsum("bi,bij->bj", coefficients, kernel)
            path.append(np.concatenate([y - values[:, :-1], -values[:, -1:]], axis=1))
            coefficients = coefficients + rate * (y - values[:, :-1])
    return np.stack(path)
