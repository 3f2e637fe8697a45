"""The literal reading of a block: the theorem's formulas, evaluated on full matrices."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.construct.block.attention import attention
from icgd.construct.block.literal import Block, LiteralLayer
from icgd.construct.machine.device import check_arithmetic


class DenseLayer(nn.Module):
    """H + (1/T) sum_m (V_m H) relu((Q_m H)^T (K_m H)), then H + W2 relu(W1 H), on full matrices.

    Q, K, V: (M, D, D); W1: (hidden, D); W2: (D, hidden).  kind: of the attention, relu over T as above or
    another name of `icgd.construct.block.attention.ATTENTIONS`.  Source: Bai et al. 2023 and
    arXiv 2411.16549, preliminaries; with `diagonal`, each token attends to itself alone (EWML).
    """

    Q: Tensor
    K: Tensor
    V: Tensor
    W1: Tensor
    W2: Tensor

    def __init__(
        self, layer: LiteralLayer, D: int, dtype: torch.dtype = torch.float64, kind: str = "relu"
    ) -> None:
        super().__init__()
        self.diagonal, self.kind = layer.diagonal, attention(kind)
        for name in "QKV":
            full = torch.zeros(len(layer.heads), D, D, dtype=dtype)
            for m, head in enumerate(layer.heads):
                full[m] = getattr(head, name).dense()
            self.register_buffer(name, full)
        self.register_buffer("W1", layer.W1.dense().to(dtype))
        self.register_buffer("W2", layer.W2.dense().to(dtype))

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        T = H.shape[1]
        added = torch.zeros_like(H)
        for Q, K, V in zip(self.Q, self.K, self.V, strict=True):
            query, key, value = H @ Q.T, H @ K.T, H @ V.T
            if self.diagonal:
                added += self.kind.weights((query * key).sum(-1, keepdim=True)) * value
            else:
                added += self.kind.weights(query @ key.transpose(-1, -2)) @ value / self.kind.divisor(T)
        H = H + added
        return H + torch.relu(H @ self.W1.T) @ self.W2.T


class DenseTransformer(nn.Module):
    """The transformer with every matrix written out, for auditors and for small problems.

    Raises ProblemError where torch is set to round more than proofs count.
    """

    def __init__(self, transformer: Block, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        check_arithmetic(dtype=dtype)
        self.L = transformer.problem.L
        D = transformer.stream.D
        kind = transformer.attention
        self.layers = nn.ModuleList(DenseLayer(layer, D, dtype, kind) for layer in transformer.literal())

    def block(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """One gradient step."""
        for layer in self.layers:
            H = layer(H)
        return H

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """L gradient steps."""
        for _ in range(self.L):
            H = self.block(H)
        return H


def dense_bytes(block: Block) -> int:
    """The memory that the literal matrices of one block will take, in bytes, known before allocating."""
    return sum(layer.bytes(block.stream.D) for layer in block.literal())
