"""Kernel regression on every prefix of a prompt at once: the factor of a prefix is a prefix of the factor.

With A = L L^T, z = L^-1 y and M = L^-1 for all T examples, the prediction of y_k from the first k is
sum_{j<k} L_kj z_j, and A_k^-1 y = sum_{j<k} M_j z_j: cumulative sums in place of T solves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def factor(gram: Float[Tensor, "B T T"], noise: float | Float[Tensor, " B"]) -> Float[Tensor, "B T T"]:
    """The lower Cholesky factor of gram + noise times the identity."""
    shift = torch.as_tensor(noise, dtype=gram.dtype, device=gram.device).reshape(-1, 1, 1)
    return torch.linalg.cholesky(
        gram + shift * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    )


def predictions(L: Float[Tensor, "B T T"], y: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """For every k the prediction of y_k from the examples before it; 0 at k = 0."""
    z = torch.linalg.solve_triangular(L, y.unsqueeze(-1), upper=False)
    return (L.tril(-1) @ z)[..., 0]


def left_out(L: Float[Tensor, "B T T"], y: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """For every k > 0 the mean squared error on each of the first k examples, predicted from the other k - 1.

    At k = 0 it is 0.  In closed form: the error on example i is (A_k^-1 y)_i / (A_k^-1)_ii.
    """
    unit = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device)
    M = torch.linalg.solve_triangular(L, unit, upper=False)
    z = M @ y.unsqueeze(-1)
    solved, diagonal = (M * z).cumsum(1), M.square().cumsum(1)  # row k - 1 is about the first k examples
    there = torch.ones_like(unit).tril().bool()  # in row k - 1, the first k examples
    errors = torch.where(there, solved / diagonal, 0.0).square().sum(-1)
    counts = torch.arange(1, L.shape[-1] + 1, dtype=L.dtype, device=L.device)
    return torch.cat([torch.zeros_like(errors[:, :1]), (errors / counts)[:, :-1]], dim=1)
