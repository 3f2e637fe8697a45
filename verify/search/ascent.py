"""Gradient ascent, used by all searches: steps along normalised gradients, scaled as in Adam."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Round:
    """Ascent from the best `points` so far; step sizes start below `step` and fall to a hundredth of it."""

    points: int
    iterations: int
    step: float


@dataclass(eq=False)
class Stride:
    """The state of B ascents: running means of their gradients and of the squared gradients."""

    mean: Float[Tensor, "B coordinates"]
    square: Float[Tensor, "B coordinates"]

    @classmethod
    def at(cls, points: Float[Tensor, "B coordinates"]) -> Stride:
        return cls(torch.zeros_like(points), torch.zeros_like(points))

    def along(self, slope: Float[Tensor, "B coordinates"]) -> Float[Tensor, "B coordinates"]:
        """The next move; each coordinate has size about 1 as long as its slope keeps its sign."""
        slope = slope / (torch.linalg.vector_norm(slope, dim=-1, keepdim=True) + 1e-300)
        self.mean = 0.8 * self.mean + 0.2 * slope
        self.square = 0.95 * self.square + 0.05 * slope**2
        return self.mean / (self.square.sqrt() + 1e-8)

    def __getitem__(self, rows: Tensor) -> Stride:
        return Stride(self.mean[rows], self.square[rows])
