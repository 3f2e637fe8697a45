"""The task of arXiv 2411.16549, Section 5: examples of a random network with ReLUs, labels included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError

CENTRE = 2.0
"""Inputs lie around -CENTRE and +CENTRE in every coordinate, with unit variance."""
_NUMBERS = 1 << 24
"""About how many numbers are drawn at a time: memory does not grow with the number of prompts."""


@dataclass(frozen=True)
class NetworkTask:
    """Prompts whose labels are the outputs of one random network each, a new one for every prompt.

    N, d, width: depth, input size and hidden width of the network; its output is a number, and ReLU stands
    after every layer but the last, with `activated` after that one, too.
    mean: all parameters are drawn from N(mean, 1); `biases` says whether there are any.
    scaled: whether the parameters of a layer are divided by the root of its number of inputs.
    Source: arXiv 2411.16549, Section 5 and Appendix F.1; width, biases, scale of a layer and last activation
    are not stated there.  Raises ProblemError.

    >>> NetworkTask(N=3).sizes
    (20, 20, 20, 1)
    """

    N: int
    d: int = 20
    width: int = 20
    biases: bool = False
    scaled: bool = True
    activated: bool = False
    mean: float = 0.0

    def __post_init__(self) -> None:
        for name in ("N", "d", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
                raise ProblemError(name, value, "it is a whole number from 1 to 10,000")
        if not math.isfinite(self.mean):
            raise ProblemError("mean", self.mean, "it is a finite number")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the layers, (d, width, ..., width, 1), N + 1 of them."""
        return (self.d, *[self.width] * (self.N - 1), 1)

    @property
    def parameters(self) -> int:
        """How many parameters one network has."""
        pairs = zip(self.sizes[1:], self.sizes[:-1], strict=True)
        return sum(rows * (columns + self.biases) for rows, columns in pairs)

    def networks(
        self,
        count: int,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> list[Float[Tensor, "B _ _"]]:
        """The matrices of `count` random networks, layer after layer; biases stand in the last column."""
        found = []
        for rows, columns in zip(self.sizes[1:], self.sizes[:-1], strict=True):
            shape = (count, rows, columns + self.biases)
            drawn = torch.randn(shape, generator=generator, device=generator.device, dtype=dtype) + self.mean
            found.append((drawn / math.sqrt(columns) if self.scaled else drawn).to(device))
        return found

    def labels(
        self, networks: list[Float[Tensor, "B _ _"]], x: Float[Tensor, "B T d"]
    ) -> Float[Tensor, "B T"]:
        """The outputs of each prompt's network at its inputs."""
        value = x
        for layer, matrix in enumerate(networks, start=1):
            weights = matrix[:, :, : value.shape[-1]]
            value = value @ weights.mT
            if self.biases:
                value = value + matrix[:, None, :, -1]
            if layer < self.N or self.activated:
                value = value.relu()
        return value[..., 0]

    def inputs(
        self,
        count: int,
        tokens: int,
        share: float,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "B T d"]:
        """Inputs from share N(-2, I) + (1 - share) N(2, I); one seed gives the same noise at every share."""
        if not 0 <= share <= 1:
            raise ProblemError("share", share, "it is a number from 0 to 1")
        home = generator.device
        noise = torch.randn((count, tokens, self.d), generator=generator, device=home, dtype=dtype)
        chance = torch.rand((count, tokens, 1), generator=generator, device=home, dtype=dtype)
        return (noise + CENTRE * (1 - 2 * (chance < share).to(dtype))).to(device)

    def prompts(
        self,
        count: int,
        examples: int,
        share: float,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> NetworkPrompts:
        """`count` prompts of `examples` examples and a query, the last.

        Drawn on the generator's device, then moved: a generator on the CPU gives the same prompts everywhere.
        """
        for name, value in (("count", count), ("examples", examples)):
            if value < (name == "count"):
                raise ProblemError(name, value, f"it is at least {int(name == 'count')}")
        numbers = self.parameters + (examples + 1) * (self.d + self.width)
        at_once = max(1, min(count, _NUMBERS // numbers))
        xs, ys = [], []
        for start in range(0, count, at_once):
            here = min(at_once, count - start)
            x = self.inputs(here, examples + 1, share, generator, device, dtype)
            xs.append(x)
            ys.append(self.labels(self.networks(here, generator, device, dtype), x))
        return NetworkPrompts(torch.cat(xs), torch.cat(ys), self)


@dataclass(frozen=True, eq=False)
class NetworkPrompts:
    """Prompts of a task: inputs and labels, of which the last are the query and its answer."""

    x: Float[Tensor, "B T d"]
    y: Float[Tensor, "B T"]
    task: NetworkTask

    @property
    def count(self) -> int:
        """How many prompts there are."""
        return self.x.shape[0]

    @property
    def examples(self) -> int:
        """How many examples stand before the query."""
        return self.x.shape[1] - 1

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> NetworkPrompts:
        """The same prompts on another device or in another precision."""
        x, y = (part.to(device=device, dtype=dtype) for part in (self.x, self.y))
        return NetworkPrompts(x, y, self.task)

    def __getitem__(self, rows: slice | Tensor) -> NetworkPrompts:
        """The prompts of the given rows."""
        return NetworkPrompts(self.x[rows], self.y[rows], self.task)
