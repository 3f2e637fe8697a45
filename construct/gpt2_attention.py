"""How scores become weights in a GPT-2: softmax, or a ReLU over a divisor; and how prompts become tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

ATTENTION_FUNCTIONS = ("softmax", "relu")
"""The functions that make weights of scores."""

ATTENTION_DIVISORS: Mapping[str, str] = {
    "keys": "the number of tokens that the token sees, itself included",
    "positions": "the number of positions that the model has",
    "1": "nothing",
}
"""By what the weights of ReLU attention are divided, by name; softmax has a divisor of its own."""

TOKEN_FORMATS: Mapping[str, str] = {
    "interleaved": "x_1, (y_1, 0, ..., 0), x_2, ..., x_query, as in arXiv 2208.01066",
    "joint": "(x_1, y_1, 1), (x_2, y_2, 1), ..., (x_query, 0, 0), as in arXiv 2306.04637",
}
"""How a prompt becomes tokens, by name."""


def attention_weights(
    scores: Tensor, seen: Tensor, function: str, divisor: str = "keys", positions: int = 1
) -> Tensor:
    """The weights (..., T, T) of scores (..., T, T); seen (T, T): which token sees which.

    function: of `ATTENTION_FUNCTIONS`; divisor: of `ATTENTION_DIVISORS`; positions: of the model.

    >>> scores, seen = torch.tensor([[2.0, 9.0], [-1.0, 3.0]]), torch.ones(2, 2, dtype=torch.bool).tril()
    >>> attention_weights(scores, seen, "relu")
    tensor([[2.0000, 0.0000],
            [0.0000, 1.5000]])
    """
    if function == "softmax":
        return scores.masked_fill(~seen, -math.inf).softmax(dim=-1)
    kept = scores.relu().masked_fill(~seen, 0.0)
    if divisor == "keys":
        return kept / seen.sum(dim=-1, keepdim=True)
    return kept / positions if divisor == "positions" else kept


def interleaved_tokens(x: Tensor, y: Tensor) -> Tensor:
    """Tokens (B, 2 n + 1, d) of inputs (B, n + 1, d), the query last, and n labels (B, n)."""
    labels = torch.cat([y[..., None], y.new_zeros(*y.shape, x.shape[-1] - 1)], dim=-1)
    pairs = torch.stack([x[:, :-1], labels], dim=2).flatten(1, 2)
    return torch.cat([pairs, x[:, -1:]], dim=1)


def joint_tokens(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    """Tokens (B, n + m, d + 2): examples x (B, n, d) with labels y (B, n), then queries (B, m, d)."""
    examples = torch.cat([x, y[..., None], torch.ones_like(y)[..., None]], dim=-1)
    return torch.cat([examples, torch.cat([queries, torch.zeros_like(queries[..., :2])], dim=-1)], dim=1)
