"""Regression prompts as linear-attention models read them: inputs with their labels, the query's label 0."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def stream(
    x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
) -> Float[Tensor, "B n+1 d+1"]:
    """The tokens [x_i; y_i] and, last, [x_q; 0]."""
    points = torch.cat([x, query[:, None]], dim=1)
    labels = torch.cat([y, y.new_zeros(len(y), 1)], dim=1)
    return torch.cat([points, labels[..., None]], dim=-1)
