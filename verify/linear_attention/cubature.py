"""Cubature: finitely many weighted prompts whose mean loss equals the expected loss of linear attention.

A loss that is a polynomial in the sample covariance C is integrated without error (except for rounding) by
Gauss rules on the Bartlett factor of n C: chi-squares on its diagonal, normals below.  The model itself runs
on these prompts, so losses, gradients and training need no sampling.  Where this takes too many prompts,
random ones are used instead, and so for inputs on the sphere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.construct.preconditioned import attend, rounded_tensor, tokens

MOST_PROMPTS = 60_000
SAMPLED_PROMPTS = 20_000
_AT_ONCE = 1 << 22

Rule = tuple[np.ndarray, np.ndarray]


def _rule(diagonal: np.ndarray, off_diagonal: np.ndarray) -> Rule:
    """Nodes and weights (sum 1) of the Gauss rule of a Jacobi matrix (Golub and Welsch)."""
    jacobi = np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, vectors[0] ** 2


def chi_square_rule(freedom: int, size: int) -> Rule:
    """E f(s), s chi-square, exact for polynomials of degree up to 2 size - 1."""
    k, alpha = np.arange(size), freedom / 2 - 1
    nodes, weights = _rule(2 * k + 1 + alpha, np.sqrt(k[1:] * (k[1:] + alpha)))
    return 2 * np.maximum(nodes, 0.0), weights


def normal_rule(size: int) -> Rule:
    """E f(z), z ~ N(0, 1), exact for polynomials of degree up to 2 size - 1."""
    return _rule(np.zeros(size), np.sqrt(np.arange(1.0, size)))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Weighted prompts.  examples: the n of the layer's 1/n (columns of zeros are omitted from Z).

    target: w.x_{n+1}.  exact: whether weighted means are expectations, or only sample means.
    """

    Z: Float[Tensor, "K D columns"]
    target: Float[Tensor, " K"]
    weight: Float[Tensor, " K"]
    examples: int
    exact: bool

    def squared_errors(
        self, P: Float[Tensor, "L D D"], Q: Float[Tensor, "L D D"], masked: bool = True
    ) -> Float[Tensor, " K"]:
        """(w.x_{n+1} - prediction)^2 on every prompt."""
        Z = self.Z
        for P_l, Q_l in zip(P, Q, strict=True):
            Z = attend(Z, P_l, Q_l, self.examples, masked)
        return (Z[:, -1, -1] + self.target).square()

    def loss(
        self, P: Float[Tensor, "L D D"], Q: Float[Tensor, "L D D"], masked: bool = True
    ) -> Float[Tensor, ""]:
        """E(w.x_{n+1} - prediction)^2, differentiable in P and Q."""
        return self.weight @ self.squared_errors(P, Q, masked)

    def to(self, device: torch.device | str) -> Ensemble:
        """The same prompts on another device."""
        Z, target, weight = (part.to(device) for part in (self.Z, self.target, self.weight))
        return Ensemble(Z, target, weight, self.examples, self.exact)


def ensemble(
    problem: PreconditionedProblem,
    degree: int,
    whitened_task: bool,
    generator: torch.Generator,
    most: int = MOST_PROMPTS,
) -> Ensemble:
    """Prompts that integrate losses of this degree in C.

    whitened_task: w ~ N(0, S^-1), for predictions linear in w and in the query (Theorems 3 and 4); otherwise
    w ~ N(0, I), for errors of degree 2 in w and linear in the query (Theorem 1, all (P, Q)).
    most: with more prompts than this, random ones are drawn instead.
    """
    d, n = problem.d, problem.n
    if problem.covariates == "sphere":
        return _sampled(
            problem, whitened_task, torch.linalg.cholesky(rounded_tensor(problem.covariance)), generator
        )
    rows = min(n, d)
    squares = [chi_square_rule(n - i, degree // 2 + 1) for i in range(rows)]
    below = [(i, j) for i in range(d) for j in range(min(i, rows))]
    normal, task = normal_rule(degree + 1), normal_rule(3)
    counts = [len(rule[0]) for rule in squares] + [degree + 1] * len(below)
    size = math.prod(counts) * d * (d if whitened_task else 3**d)
    S = rounded_tensor(problem.covariance)
    root = torch.linalg.cholesky(S)
    if size > most:
        return _sampled(problem, whitened_task, root, generator)
    rules = [*squares, *[normal] * len(below)]
    nodes = torch.tensor(np.array(list(product(*(rule[0] for rule in rules)))), dtype=torch.float64)
    weights = torch.tensor(np.array(list(product(*(rule[1] for rule in rules)))), dtype=torch.float64).prod(1)
    factor = torch.zeros(len(nodes), d, rows, dtype=torch.float64)
    for i in range(rows):
        factor[:, i, i] = nodes[:, i].sqrt()
    for column, (i, j) in enumerate(below, start=rows):
        factor[:, i, j] = nodes[:, column]
    x = factor.transpose(1, 2) @ root.T  # rows; X^T X = n C
    queries = math.sqrt(d) * root.T
    if whitened_task:
        w = math.sqrt(d) * torch.linalg.inv(root)
        task_weights = torch.full((d,), 1 / d, dtype=torch.float64)
    else:
        w = torch.tensor(list(product(task[0], repeat=d)), dtype=torch.float64)
        task_weights = torch.tensor(list(product(task[1], repeat=d)), dtype=torch.float64).prod(1)
    grid = torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(w)), torch.arange(d))
    of_x, of_w, of_query = grid.T
    weight = weights[of_x] * task_weights[of_w] / d
    return _assembled(x[of_x], w[of_w], queries[of_query], weight, n, True)


def _sampled(
    problem: PreconditionedProblem,
    whitened_task: bool,
    root: Float[Tensor, "d d"],
    generator: torch.Generator,
) -> Ensemble:
    """Random prompts; the Bartlett factor of the second moments of n examples is drawn in their place."""
    d, n = problem.d, problem.n
    rows = min(n, d)
    draw = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    if problem.covariates == "sphere":
        factor, of_query = _factor_on_sphere(draw, n, d), _on_sphere(draw, (SAMPLED_PROMPTS, d))
    else:
        factor = np.tril(draw.standard_normal((SAMPLED_PROMPTS, d, rows)), -1)
        for i in range(rows):
            factor[:, i, i] = np.sqrt(draw.chisquare(n - i, SAMPLED_PROMPTS))
        of_query = draw.standard_normal((SAMPLED_PROMPTS, d))
    x = torch.from_numpy(factor).transpose(1, 2) @ root.T
    query = torch.from_numpy(of_query) @ root.T
    w = torch.from_numpy(draw.standard_normal((SAMPLED_PROMPTS, d)))
    if whitened_task:
        w = w @ torch.linalg.inv(root)
    weight = torch.full((SAMPLED_PROMPTS,), 1 / SAMPLED_PROMPTS, dtype=torch.float64)
    return _assembled(x, w, query, weight, n, False)


def _on_sphere(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Vectors of length sqrt(d), uniform, d the last of the shape."""
    vectors = draw.standard_normal(shape)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return math.sqrt(shape[-1]) * unit


def _factor_on_sphere(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """F with F F^T = sum of u u^T over n vectors on the sphere, (prompts, d, d), drawn in parts."""
    part = max(1, _AT_ONCE // (n * d))
    parts = []
    for first in range(0, SAMPLED_PROMPTS, part):
        u = _on_sphere(draw, (min(part, SAMPLED_PROMPTS - first), n, d))
        values, vectors = np.linalg.eigh(u.transpose(0, 2, 1) @ u)
        parts.append(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])
    return np.concatenate(parts)


def _assembled(
    x: Float[Tensor, "K rows d"],
    w: Float[Tensor, "K d"],
    query: Float[Tensor, "K d"],
    weight: Float[Tensor, " K"],
    n: int,
    is_exact: bool,
) -> Ensemble:
    y = torch.einsum("kid,kd->ki", x, w)
    return Ensemble(tokens(x, y, query), (w * query).sum(1), weight, n, is_exact)
