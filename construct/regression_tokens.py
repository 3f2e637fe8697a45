"""Regression prompts as tokens of linear-attention models: inputs with labels, the query with label 0."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError


def stream(
    x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
) -> Float[Tensor, "B n+1 d+1"]:
    """The tokens [x_i; y_i] and, last, [x_q; 0]."""
    points = torch.cat([x, query[:, None]], dim=1)
    labels = torch.cat([y, y.new_zeros(len(y), 1)], dim=1)
    return torch.cat([points, labels[..., None]], dim=-1)


def check_prompt_shapes(d: int, x: Tensor, y: Tensor, query: Tensor) -> None:
    """Raises ProblemError unless x (B, n, d), y (B, n) and query (B, d) are prompts of one batch.

    >>> check_prompt_shapes(2, torch.ones(3, 5, 2), torch.ones(3, 4), torch.ones(3, 2))
    Traceback (most recent call last):
    icgd.bounds.letters.ProblemError: y = shape (3, 4): x has shape (3, 5, 2), so (3, 5) is needed
    """
    _refuse_shape("x", x, (None, None, d), "one prompt and one example")
    B, n, _ = x.shape
    for name, part, wanted in (("y", y, (B, n)), ("query", query, (B, d))):
        if tuple(part.shape) != wanted:
            allowed = f"x has shape {tuple(x.shape)}, so {wanted} is needed"
            raise ProblemError(name, f"shape {tuple(part.shape)}", allowed)
        if part.device != x.device:
            raise ProblemError(name, f"on {part.device}", f"x is on {x.device}, and one device is needed")
        if part.dtype != x.dtype:
            raise ProblemError(name, part.dtype, f"x is {x.dtype}, and one precision is needed")


def check_token_shapes(d: int, H: Tensor, *, columns: bool = False) -> None:
    """Raises ProblemError unless H holds tokens [x; y] of examples and a query, as rows or as columns."""
    wanted = (None, d + 1, None) if columns else (None, None, d + 1)
    _refuse_shape("tokens", H, wanted, "one prompt, one example and a query", least=2)


def _refuse_shape(name: str, part: Tensor, wanted: tuple[int | None, ...], what: str, least: int = 1) -> None:
    shape = tuple(part.shape)
    fits = len(shape) == len(wanted) and all(
        size == exact or (exact is None and size >= (1 if axis == 0 else least))
        for axis, (size, exact) in enumerate(zip(shape, wanted, strict=True))
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in wanted)
        raise ProblemError(name, f"shape {shape}", f"shape ({sizes}) is needed, with {what} at least")
    if not part.is_floating_point():
        raise ProblemError(name, part.dtype, "floating-point numbers are needed")
