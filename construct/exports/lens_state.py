"""Literal matrices as the state dict of TransformerLens: heads and units of one size in every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.estimate import bytes_text
from icgd.bounds.problem import Problem
from icgd.construct.block.literal import Head, LiteralLayer
from icgd.construct.machine.memory import refuse

SCORE_SCALE = 2.0
"""What scores are divided by, and W_Q multiplied by, both exactly: TransformerLens refuses to divide by 1."""

_COPIES = 2.5
"""How often the state is in memory at most: as tensors, and as the bytes of its file."""


@dataclass(frozen=True, eq=False)
class LensState:
    """A model for TransformerLens: layers of literal matrices, a read-out, and how many tokens there are.

    readout: (D, outputs), what the model's logits are of the last residual stream.
    """

    layers: Sequence[LiteralLayer]
    tokens: int
    readout: Float[Tensor, "D outputs"]

    @property
    def width(self) -> int:
        """The size of the residual stream."""
        return len(self.readout)

    @cached_property
    def n_heads(self) -> int:
        """The most heads of any layer; layers with fewer get heads of zeros."""
        return max(1, max(len(layer.heads) for layer in self.layers))

    @cached_property
    def d_head(self) -> int:
        """What the largest head needs for its scores and for its values."""
        heads = [head for layer in self.layers for head in layer.heads]
        return max(1, max((max(len(_scored(head)), _rank(head)) for head in heads), default=1))

    @cached_property
    def d_mlp(self) -> int:
        """The most hidden units of any layer; 0 where no layer has an MLP."""
        return max(layer.hidden for layer in self.layers)

    def config(self) -> dict[str, int | float | str | bool | None]:
        """The fields of a TransformerBridgeConfig; before TransformerLens 4, of a HookedTransformerConfig."""
        return {
            "n_layers": len(self.layers),
            "d_model": self.width,
            "n_heads": self.n_heads,
            "d_head": self.d_head,
            "d_mlp": self.d_mlp or None,
            "attn_only": self.d_mlp == 0,
            "act_fn": "relu",
            "normalization_type": None,
            "attention_dir": "bidirectional",
            "attn_scale": SCORE_SCALE,
            "positional_embedding_type": "standard",
            "n_ctx": self.tokens,
            "d_vocab": 1,
            "d_vocab_out": self.readout.shape[1],
            "init_weights": False,
        }

    def bytes(self) -> int:
        """The size of the matrices of all heads and hidden units, zeros included."""
        heads = 4 * self.n_heads * self.width * self.d_head
        return 8 * len(self.layers) * (heads + 2 * self.width * self.d_mlp)

    def tensors(self, problem: Problem | None = None) -> Mapping[str, Tensor]:
        """Every parameter by its name in HookedTransformer.

        problem: named by a ProblemError if its matrices need too much memory; linear attention never does.
        """
        if problem is not None:
            what = f"writing {bytes_text(self.bytes())} of padded matrices"
            refuse(_COPIES * self.bytes(), what, problem)
        outputs = self.readout.shape[1]
        found = {
            "embed.W_E": _zeros(1, self.width),
            "pos_embed.W_pos": _zeros(self.tokens, self.width),
            "unembed.W_U": self.readout,
            "unembed.b_U": _zeros(outputs),
        }
        for index, layer in enumerate(self.layers):
            found |= {f"blocks.{index}.attn.{name}": one for name, one in self._attention(layer)}
            if self.d_mlp:
                found |= {f"blocks.{index}.mlp.{name}": one for name, one in self._mlp(layer)}
        return found

    def _attention(self, layer: LiteralLayer) -> Iterator[tuple[str, Tensor]]:
        M, D, size = self.n_heads, self.width, self.d_head
        W = {name: _zeros(M, D, size) for name in ("W_Q", "W_K", "W_V")} | {"W_O": _zeros(M, size, D)}
        for m, head in enumerate(layer.heads):
            scored, (W_V, W_O) = _scored(head), _factors(head)
            W["W_Q"][m, :, : len(scored)] = SCORE_SCALE * head.Q.dense()[scored].T
            W["W_K"][m, :, : len(scored)] = head.K.dense()[scored].T
            W["W_V"][m, :, : W_V.shape[1]], W["W_O"][m, : len(W_O)] = W_V, W_O
        yield from W.items()
        yield from ((f"b_{part}", _zeros(M, size)) for part in "QKV")
        yield "b_O", _zeros(D)

    def _mlp(self, layer: LiteralLayer) -> Iterator[tuple[str, Tensor]]:
        W_in, W_out = _zeros(self.width, self.d_mlp), _zeros(self.d_mlp, self.width)
        W_in[:, : layer.hidden], W_out[: layer.hidden] = layer.W1.dense().T, layer.W2.dense().T
        yield from {"W_in": W_in, "W_out": W_out}.items()
        yield from {"b_in": _zeros(self.d_mlp), "b_out": _zeros(self.width)}.items()


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def _scored(head: Head) -> Tensor:
    """The rows on which scores rest: a row that is zero in Q or in K adds nothing to them."""
    return torch.from_numpy(np.intersect1d(head.Q.rows, head.K.rows))


def _rank(head: Head) -> int:
    """How many coordinates V reads, or how many it writes, if fewer."""
    return min(len(np.unique(head.V.columns)), len(np.unique(head.V.rows)))


def _factors(head: Head) -> tuple[Float[Tensor, "D size"], Float[Tensor, "size D"]]:
    """W_V and W_O with V^T = W_V W_O, one of them a choice of coordinates."""
    V, same = head.V.dense(), torch.eye(head.V.shape[0], dtype=torch.float64)
    read, written = (torch.from_numpy(np.unique(places)) for places in (head.V.columns, head.V.rows))
    if len(read) <= len(written):
        return same[:, read], V[:, read].T
    return V[written].T, same[written]
