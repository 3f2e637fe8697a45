"""The residual stream: named slots of the vector that every token carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt, split_weights, stack_weights


@dataclass(frozen=True)
class Slot:
    """Coordinates start, ..., start + size - 1 of the stream.

    shared: whether every token holds the same values there (the weights w), as rows x columns.
    """

    name: str
    start: int
    size: int
    shared: tuple[int, int] | None = None

    @property
    def stop(self) -> int:
        return self.start + self.size

    def __getitem__(self, k: int) -> int:
        """The coordinate of entry k."""
        if not 0 <= k < self.size:
            raise IndexError(f"slot {self.name} has entries 0..{self.size - 1}, not {k}")
        return self.start + k

    def at(self, row: int, column: int) -> int:
        """The coordinate of a matrix entry of a shared slot."""
        assert self.shared is not None
        return self[row * self.shared[1] + column]


@dataclass
class State:
    """The stream of a batch, slot by slot: what the structured reading computes on.

    tokens: (B, T, size) for each slot that is not identically zero; `one` is left implicit.
    shared: (B, rows, columns) for each weight matrix, stored once instead of once per token.
    """

    tokens: dict[str, Float[Tensor, "B T size"]]
    shared: dict[str, Float[Tensor, "B rows columns"]]


class OneLine:
    """A block of layers that shows itself in one line; a module of torch would print all of its parts."""

    def __repr__(self) -> str:
        block: Any = self
        sizes = f"{len(block.layers)} layers a step, width {block.stream.D:,}"
        return f"<{block.name} transformer for {block.problem.brief}: {sizes}>"


@dataclass(frozen=True)
class Stream:
    """The layout h = [x; y; w; scratch; 1; t] of arXiv 2411.16549, with every part named.

    Slots `x`, `y`, `V1`..`VN`, the scratch slots in the order given, `one` and `t`.
    """

    problem: Problem
    scratch: tuple[tuple[str, int], ...]
    slots: dict[str, Slot] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slots: dict[str, Slot] = {}
        start = 0
        for name, size, shared in self._layout():
            if name in slots:
                raise ValueError(f"slot {name} is declared twice")
            slots[name] = Slot(name, start, size, shared)
            start += size
        object.__setattr__(self, "slots", slots)

    def _layout(self) -> Iterator[tuple[str, int, tuple[int, int] | None]]:
        problem = self.problem
        yield "x", problem.d, None
        yield "y", problem.d_out, None
        for j in range(1, problem.N + 1):
            shape = (problem.dims[j], problem.dims[j - 1])
            yield f"V{j}", shape[0] * shape[1], shape
        for name, size in self.scratch:
            yield name, size, None
        yield "one", 1, None
        yield "t", 1, None

    @property
    def D(self) -> int:
        """The width of the transformer."""
        return self.slots["t"].stop

    def __getitem__(self, name: str) -> Slot:
        return self.slots[name]

    @property
    def weights(self) -> slice:
        """The coordinates of w, all matrices together."""
        return slice(self.slots["V1"].start, self.slots[f"V{self.problem.N}"].stop)

    def open(self, prompt: Prompt, begin: int = 0, end: int | None = None) -> State:
        """The stream of a prompt before the first layer; the query comes last, with y = 0 and t = 0.

        begin, end: of which tokens.
        """
        some, last = slice(begin, end), prompt.n + 1 if end is None else end
        x, y = prompt.x[:, some], prompt.y[:, some]
        mask = x.new_ones(1, min(last, prompt.n + 1) - begin, 1)
        if last > prompt.n:
            x = torch.cat([x, prompt.query[:, None]], dim=1)
            y = torch.cat([y, y.new_zeros(len(y), 1, y.shape[2])], dim=1)
            mask[:, -1] = 0.0
        matrices = split_weights(self.problem, prompt.w)
        return State({"x": x, "y": y, "t": mask}, {f"V{j}": v for j, v in enumerate(matrices, start=1)})

    def pack(self, state: State) -> Float[Tensor, "B T D"]:
        """The literal matrix H of the theorem, one row per token (its columns, transposed)."""
        x = state.tokens["x"]
        H = x.new_zeros(x.shape[0], x.shape[1], self.D)
        for name, value in state.tokens.items():
            H[..., self[name].start : self[name].stop] = value
        w = stack_weights([state.shared[f"V{j}"] for j in range(1, self.problem.N + 1)])
        H[..., self.weights] = w[:, None, :]
        H[..., self["one"].start] = 1.0
        return H

    def unpack(self, H: Float[Tensor, "B T D"]) -> State:
        """The slots of a literal H whose tokens agree on w; raises ValueError if they do not."""
        w = H[..., self.weights]
        if not bool((w == w[:, :1]).all()):
            raise ValueError("tokens carry different weights w: use the dense reading for such an input")
        tokens = {
            name: H[..., slot.start : slot.stop]
            for name, slot in self.slots.items()
            if slot.shared is None and name != "one"
        }
        matrices = split_weights(self.problem, w[:, 0])
        return State(tokens, {f"V{j}": v for j, v in enumerate(matrices, start=1)})
