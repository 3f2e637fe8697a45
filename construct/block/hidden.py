"""Hidden units of the MLPs, declared over named slots and read in two ways, as heads are (heads.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from icgd.bounds.functions.relu_sum import ReluSum, signed
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.product import Product
from icgd.construct.block.literal import Entries, Sparse
from icgd.construct.block.stream import Stream
from icgd.construct.block.table import LookupTable


class HiddenPart(Protocol):
    """Some hidden units of an MLP that add to one slot, `target`."""

    target: str

    def erases(self) -> bool:
        """Whether this subtracts a slot from itself, leaving exactly 0."""

    def increment(self, values: Mapping[str, Tensor]) -> Tensor:
        """What is added to the target, from the values of the slots that are not identically zero."""

    def literal(self, stream: Stream, first: int) -> tuple[Entries, Entries, dict[int, float]]:
        """Entries of W1 and W2 for hidden units first, first + 1, ..., and the constants by coordinate."""


class Ridge(nn.Module):
    """target[k] += scale * relus(bias + sum of slots with coefficients, entry k), the same for every k.

    One hidden unit per ReLU and k; the constants of a whole layer share one more unit, relu(1).
    """

    def __init__(
        self, form: Mapping[str, float], relus: ReluSum, target: str, *, bias: float = 0.0, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.form, self.target, self.bias, self.scale = dict(form), target, bias, scale
        self.relus, self.table = relus, LookupTable(relus)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.form)

    def erases(self) -> bool:
        """Whether this subtracts a slot from itself, leaving exactly 0."""
        slope = self.table.linear
        return self.form == {self.target: 1.0} and self.bias == 0 and self.scale == 1 and slope == (-1.0, 0.0)

    def increment(self, values: Mapping[str, Tensor]) -> Tensor:
        """The increment of the target, from the values of the slots that are not identically zero."""
        argument: Tensor | float = self.bias
        for name, coefficient in self.form.items():
            if name in values:
                if isinstance(argument, float) and argument == 0.0:
                    argument = values[name] if coefficient == 1 else values[name] * coefficient
                elif isinstance(argument, float):
                    filled = torch.full_like(values[name], argument)
                    argument = torch.add(filled, values[name], alpha=coefficient)
                else:
                    argument = torch.add(argument, values[name], alpha=coefficient)
        if isinstance(argument, float):
            raise ValueError(f"every slot of {self.form} is zero: declare the constant instead")
        value = self.table(argument)
        return value if self.scale == 1 else value.mul_(self.scale)

    def literal(self, stream: Stream, first: int) -> tuple[Entries, Entries, dict[int, float]]:
        """Entries of W1 and W2 for hidden units first, first + 1, ..., and the constants by coordinate."""
        target, relus, units = stream[self.target], self.relus, self.relus.units
        count = target.size * units
        rows = np.arange(first, first + count, dtype=np.float64)

        def entries(column: npt.ArrayLike, value: npt.NDArray[np.float64]) -> Entries:
            return np.column_stack([rows, np.broadcast_to(column, count), np.tile(value, target.size)])

        def coordinates(name: str) -> npt.NDArray[np.int64]:
            return np.repeat(np.arange(stream[name].start, stream[name].start + target.size), units)

        W1 = [entries(coordinates(name), relus.a * scale) for name, scale in self.form.items()]
        W1.append(entries(stream["one"].start, relus.a * self.bias + relus.b))
        W2 = entries(coordinates(self.target), self.scale * relus.c)[:, [1, 0, 2]]
        constant = self.scale * relus.constant
        constants = {target[k]: constant for k in range(target.size)} if constant else {}
        return np.concatenate(W1), W2, constants


def squares(
    product: Product, factor: str, form: Mapping[str, float], target: str, bias: float = 0.0
) -> list[Ridge]:
    """What a product adds to centre times a form + bias: a difference of two squares, entry by entry.

    factor: the slot of x.  Nothing where x is as good as its centre.
    """
    if product.square is None or not product.square.relus.units:
        return []
    relus = product.square.relus
    bare = ReluSum(relus.a, relus.b, relus.c)  # the constants of the two squares cancel
    return [
        Ridge(
            {factor: product.a} | {name: sign * product.b * c for name, c in form.items()},
            bare,
            target,
            bias=sign * product.b * bias - product.a * product.centre,
            scale=sign / 4,
        )
        for sign in (1.0, -1.0)
    ]


def literal_mlp(parts: Iterable[HiddenPart], stream: Stream) -> tuple[Sparse, Sparse]:
    """W1 (hidden, D) and W2 (D, hidden) of an MLP: its parts in order, then one unit for all constants."""
    W1: list[Entries] = [np.empty((0, 3))]
    W2: list[Entries] = [np.empty((0, 3))]
    constants: dict[int, float] = {}
    units = 0
    for part in parts:
        first, second, constant = part.literal(stream, units)
        W1.append(first)
        W2.append(second)
        units += len(second)
        for place, value in constant.items():
            constants[place] = constants.get(place, 0.0) + value
    constants = {place: value for place, value in constants.items() if value}
    if constants:
        W1.append(np.array([[units, stream["one"].start, 1.0]]))
        W2.append(np.array([[place, units, value] for place, value in constants.items()]))
        units += 1
    D = stream.D
    return Sparse((units, D), np.concatenate(W1)), Sparse((D, units), np.concatenate(W2))


def run_hidden(parts: Iterable[HiddenPart], values: dict[str, Tensor]) -> None:
    """Apply an MLP made of `parts` to the slots `values`, in place; all read the same input."""
    increments: list[tuple[str, Tensor]] = []
    erased = []
    for part in parts:
        if part.erases():
            erased.append(part.target)
        else:
            increments.append((part.target, part.increment(values)))
    for target, increment in increments:
        values[target] = values[target] + increment if target in values else increment
    for target in erased:
        values.pop(target, None)


def finish(problem: Problem, scratch: Iterable[str]) -> list[Ridge]:
    """The last MLP of a block: it projects w onto the box and clears all scratch slots (exactly, x - x)."""
    layers = range(1, problem.N + 1)
    clamps = [Ridge({f"V{j}": 1.0}, clamp_to(face(problem, j)), f"V{j}") for j in layers]
    return [*clamps, *(Ridge({name: 1.0}, signed(-1.0), name) for name in scratch)]


def clamp_to(half_width: float) -> ReluSum:
    """clip(t, -h, h) - t with two units: what must be added to a weight to project it onto the box."""
    return ReluSum([1.0, -1.0], [-half_width, -half_width], [-1.0, 1.0])
