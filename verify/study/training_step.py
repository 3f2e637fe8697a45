"""One step of training: as torch runs it on a CPU, and compiled into a graph of a GPU in bfloat16."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

_WARM = 3
"""Steps before a graph is captured: torch compiles and chooses its kernels in them."""


def squared_error(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of the predictions at every position."""
    return (model(x, y) - y).square().mean()


@cache
def _compiled() -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    """One compiled function for all models: those that differ in numbers alone are compiled once."""
    return torch.compile(squared_error)


class PlainStep:
    """Steps in float32, operation by operation; reproducible to the bit for one number of threads."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.model, self.optimiser = model, optimiser
        self._losses: list[Tensor] = []

    def take(self, x: Tensor, y: Tensor, rate: float) -> None:
        """One step on one batch."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = squared_error(self.model, x, y)
        loss.backward()
        self.optimiser.step()
        self._losses.append(loss.detach())

    def summed(self) -> float:
        """The sum of the losses since the last call."""
        total = float(torch.stack(self._losses).sum())
        self._losses.clear()
        return total


class GraphStep:
    """Steps on a GPU, in bfloat16 where autocast allows it, compiled and replayed as one graph.

    Where compiling or capturing fails, a line on stderr says so and steps are run without: that much of it is
    tested on a CPU; compiled, captured and in bfloat16 it is run by studies on a GPU alone, and by no test.
    shape: of x in a batch, (B, T, d).
    """

    def __init__(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, shape: tuple[int, int, int]
    ) -> None:
        self.model, self.optimiser = model, optimiser
        device = next(model.parameters()).device
        self._x, self._y = torch.randn(shape, device=device), torch.randn(shape[:2], device=device)
        self._total = torch.zeros((), device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss: Callable[[nn.Module, Tensor, Tensor], Tensor] = squared_error
        kept = [one.detach().clone() for one in model.parameters()]
        state = {one: dict(value) for one, value in _cloned(optimiser).items()}
        for attempt in (self._compiled_graph, self._plain_graph):
            try:
                attempt()
                break
            except Exception as error:  # compilers and drivers fail in ways that are not listed
                said = " ".join(str(error).split())[:200]
                print(f"{attempt.__name__}: {type(error).__name__}: {said}", file=sys.stderr, flush=True)
                self._graph, self._loss = None, squared_error
        with torch.no_grad():
            for one, value in zip(model.parameters(), kept, strict=True):
                one.copy_(value)
            for parameter, held in optimiser.state.items():
                for name, tensor in held.items():
                    before = state.get(parameter, {}).get(name)
                    tensor.zero_() if before is None else tensor.copy_(before)
        self._total.zero_()

    def _compiled_graph(self) -> None:
        self._loss = _compiled()
        self._capture()

    def _plain_graph(self) -> None:
        self._capture()

    def _capture(self) -> None:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM):
                self._run()
        torch.cuda.current_stream().wait_stream(beside)
        torch.cuda.synchronize()
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run()
        self._graph = graph

    def _run(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = self._loss(self.model, self._x, self._y)
        loss.backward()
        self.optimiser.step()
        self._total.add_(loss.detach())

    def take(self, x: Tensor, y: Tensor, rate: float) -> None:
        """One step on one batch."""
        self._x.copy_(x)
        self._y.copy_(y)
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate)
        if self._graph is None:
            self._run()
        else:
            self._graph.replay()

    def summed(self) -> float:
        """The sum of the losses since the last call."""
        total = float(self._total)
        self._total.zero_()
        return total


def _cloned(optimiser: torch.optim.Optimizer) -> dict[Any, dict[str, Tensor]]:
    return {
        parameter: {name: value.clone() for name, value in held.items()}
        for parameter, held in optimiser.state.items()
    }
