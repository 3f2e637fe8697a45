"""Linear regression on the prompt: ridge with its best penalty, and least squares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.verify.study.baselines.prefixes import factor, left_out, predictions

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Penalties of ridge regression; leave-one-out chooses, for every prompt and every number of examples."""


def with_one(x: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d+1"]:
    """The inputs with a constant 1: a linear function then has an offset, penalised like the rest."""
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def ridge_regression(
    x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"], at: Sequence[int]
) -> Float[Tensor, "B A"]:
    """Ridge regression on the first k examples, its penalty the best by leave-one-out."""
    gram = with_one(x) @ with_one(x).mT
    answers, errors = [], []
    for penalty in PENALTIES:
        L = factor(gram, penalty)
        answers.append(predictions(L, y)[:, at])
        errors.append(left_out(L, y)[:, at])
    # Of one example nothing is left to predict it from: every penalty errs alike, and the smallest is taken.
    alike = torch.tensor([k < 2 for k in at], device=x.device)
    best = torch.stack(errors).masked_fill(alike, 0.0).argmin(0, keepdim=True)
    return torch.stack(answers).gather(0, best)[0]


def least_squares_fit(
    x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"], at: Sequence[int]
) -> Float[Tensor, "B A"]:
    """Least squares on the first k examples, the solution of least norm where many fit."""
    z = with_one(x)
    size = z.shape[-1]
    found = []
    for k in at:
        if k == 0:
            found.append(torch.zeros_like(y[:, 0]))
            continue
        # Q R of the taller side: k equations at most as many as unknowns, or more.
        Q, R = torch.linalg.qr(z[:, :k].mT if k <= size else z[:, :k])
        if k <= size:  # z = R^T Q^T, the solution of least norm is Q R^-T y
            solved = torch.linalg.solve_triangular(R.mT, y[:, :k, None], upper=False)
            weights = Q @ solved
        else:
            weights = torch.linalg.solve_triangular(R, Q.mT @ y[:, :k, None], upper=True)
        found.append((z[:, k] * weights[..., 0]).sum(-1))
    return torch.stack(found, dim=1)
