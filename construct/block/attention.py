"""Kinds of attention: how the scores of a head become the weights of its values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import sympy
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.functions.scalar import t
from icgd.bounds.kernel import KERNELS, Kernel
from icgd.bounds.letters import ProblemError
from icgd.bounds.open_table import OpenTable
from icgd.construct.block.elementwise import torch_callable


@dataclass(frozen=True)
class Attention:
    """Weights are a kernel of the scores, and the weighted sum is divided by a count.

    name: as in files.  kernel: its name in `icgd.bounds.kernel.KERNELS`, or a formula in the score s.
    over: what is counted: all tokens, the examples (all but the query), or nothing (the divisor is 1).

    >>> ATTENTIONS["relu"].weights(torch.tensor([[-1.0, 2.0]])), ATTENTIONS["relu"].divisor(5)
    (tensor([[0., 2.]]), 5)
    """

    name: str
    kernel: str
    over: Literal["tokens", "examples", "nothing"] = "nothing"

    @cached_property
    def scoring(self) -> Kernel:
        """What is taken of a score; raises ValueError for a formula that cannot be read."""
        return KERNELS[self.kernel] if self.kernel in KERNELS else Kernel(self.name, self.kernel)

    def weights(self, scores: Float[Tensor, "*batch S T"], keys: int = -1) -> Float[Tensor, "*batch S T"]:
        """The kernel of every score; a normalised one sums up to 1 along the dimension of the keys."""
        return similarities(self.scoring, scores, keys)

    def divisor(self, tokens: int) -> int:
        """The divisor of a sum over `tokens` tokens."""
        return {"tokens": tokens, "examples": tokens - 1, "nothing": 1}[self.over]


def similarities(
    kernel: Kernel, scores: Float[Tensor, "*batch S T"], keys: int = -1
) -> Float[Tensor, "*batch S T"]:
    """A kernel of every score, divided by its sum over the dimension of the keys if it is normalised."""
    if kernel.normalised and kernel.k.expr == sympy.exp(t):  # without overflow
        return torch.softmax(scores, dim=keys)
    found = torch_callable(kernel.k)(scores)
    return found / found.sum(dim=keys, keepdim=True) if kernel.normalised else found


def _refuse(attention: Attention) -> None:
    """Raises ValueError for a kind whose kernel is neither known nor a formula."""
    try:
        attention.scoring.k.check()
    except ValueError as error:
        hint = f"{attention.kernel} is not one of {KERNELS.names}, nor a formula in s ({error})"
        raise ValueError(f"the attention {attention.name}: {hint}") from None


ATTENTIONS = OpenTable(
    "a kind of attention",
    [
        Attention("relu", "relu", "tokens"),
        Attention("softmax", "softmax"),
        Attention("linear", "linear", "examples"),
    ],
    _refuse,
)
"""The kinds known by name; `ATTENTIONS.register` adds one."""


def attention(name: str) -> Attention:
    """The kind of that name; raises ProblemError if it is unknown."""
    try:
        return ATTENTIONS.find(name)
    except ValueError as error:
        raise ProblemError("attention", name, str(error)) from None
