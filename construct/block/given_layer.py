"""A layer of literal matrices, run without the rows and columns that are zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.construct.block.attention import attention


class GivenLayer(nn.Module):
    """H + sum_m attention(Q_m H, K_m H) V_m H, then H + W2 relu(W1 H), as in `icgd.construct.block.dense`.

    matrices: Q, K, V of shape (M, D, D) or none of them; W1 (hidden, D) and W2 (D, hidden) or neither.
    diagonal: whether each token attends to itself alone.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    heads_add: Tensor
    reads: Tensor
    W1: Tensor
    W2: Tensor
    hidden_adds: Tensor

    def __init__(self, matrices: Mapping[str, Tensor], D: int, kind: str, *, diagonal: bool) -> None:
        super().__init__()
        self.diagonal, self.kind = diagonal, attention(kind)
        self.has_heads, self.has_hidden = "Q" in matrices, "W1" in matrices
        if self.has_heads:
            Q, K, V = (matrices[part] for part in "QKV")
            # A score is a sum over rows, and a row that is zero in Q or in K adds nothing to it.
            scored = _used((Q != 0).any(2) & (K != 0).any(2))
            valued = _used((V != 0).any(2))
            for name, matrix, rows in (("q", Q, scored), ("k", K, scored), ("v", V, valued)):
                self.register_buffer(name, _picked(matrix, rows))
            self.register_buffer("heads_add", valued.clamp(min=0).flatten())
        if self.has_hidden:
            W1, W2 = matrices["W1"], matrices["W2"]
            reads, adds = (W1 != 0).any(0).nonzero()[:, 0], (W2 != 0).any(1).nonzero()[:, 0]
            for name, part in (
                ("reads", reads),
                ("W1", W1[:, reads]),
                ("W2", W2[adds]),
                ("hidden_adds", adds),
            ):
                self.register_buffer(name, part)

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        if self.has_heads:
            H = H.index_add(2, self.heads_add, self.attended(H))
        if self.has_hidden:
            hidden = torch.relu(H[..., self.reads] @ self.W1.to(H).T)
            H = H.index_add(2, self.hidden_adds, hidden @ self.W2.to(H).T)
        return H

    def attended(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T added"]:
        """What every head adds to each coordinate that it writes, head after head."""
        B, T, _ = H.shape
        M, rows, _ = self.v.shape
        query, key, value = (
            (H @ matrix.to(H).flatten(0, 1).T).view(B, T, M, -1).transpose(1, 2)
            for matrix in (self.q, self.k, self.v)
        )
        if self.diagonal:
            added = self.kind.weights((query * key).sum(-1, keepdim=True)) * value
        else:
            added = self.kind.weights(query @ key.mT) @ value / self.kind.divisor(T)
        return added.transpose(1, 2).reshape(B, T, M * rows)


def _used(marked: Tensor) -> Tensor:
    """The marked rows of every head, (M, most rows of any), filled up with -1."""
    most = max(1, int(marked.sum(1).max()))
    rows = torch.full((len(marked), most), -1)
    for m, mark in enumerate(marked):
        places = mark.nonzero()[:, 0]
        rows[m, : len(places)] = places
    return rows


def _picked(matrix: Float[Tensor, "M D D"], rows: Tensor) -> Float[Tensor, "M rows D"]:
    """These rows of every head; row -1 is zero."""
    picked = torch.take_along_dim(matrix, rows.clamp(min=0)[:, :, None], dim=1)
    return torch.where((rows >= 0)[:, :, None], picked, 0.0)
