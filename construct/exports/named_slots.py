"""The slots of a residual stream by name, with what they hold, and a name for each of its coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.slot_meanings import is_raised, slot_meaning

NamedSlots = Mapping[str, Mapping[str, int | float | str]]
"""Name -> start, stop, meaning, and a constant that is added there, each where it is known."""


def block_slots(block: GivenBlock) -> NamedSlots:
    """The slots of a block that takes one gradient step; constants are read off a prompt of zeros."""
    said, H = block.declaration, torch.zeros(1, 1, block.stream.D, dtype=torch.float64)
    H[..., block.stream.one] = 1.0
    for layer in list(block.layers)[:-1]:
        H = layer(H)
    found: dict[str, dict[str, int | float | str]] = {}
    for name, (start, stop) in sorted(said.stream.items(), key=lambda slot: slot[1]):
        meaning = slot_meaning(name, said.construction)
        found[name] = {"start": start, "stop": stop, **({"meaning": meaning} if meaning else {})}
        if is_raised(name, said.construction) and stop > start:
            found[name]["constant"] = H[0, 0, start].item()
    return found


def block_directions(block: GivenBlock) -> list[str]:
    """A name for each coordinate: its slot, and which entry of a vector or matrix it is."""
    names = [f"unnamed[{place}]" for place in range(block.stream.D)]
    for slot, (start, stop) in block.declaration.stream.items():
        names[start:stop] = _entries(slot, stop - start, block.problem)
    return names


def _entries(slot: str, size: int, problem: Problem) -> Iterable[str]:
    j = int(slot[1:]) if slot[0] in "Vq" and slot[1:].isdigit() else 0
    columns = problem.dims[j - 1] if 0 < j <= problem.N else 0
    if columns and size == columns * problem.dims[j]:
        return (f"{slot}[{place // columns},{place % columns}]" for place in range(size))
    return (slot if size == 1 else f"{slot}[{place}]" for place in range(size))


def linear_slots(d: int, sign: int) -> NamedSlots:
    """The two slots of linear attention on tokens [x; y]; sign: of the label that is the prediction."""
    predicted = f"the prediction is {'minus ' if sign < 0 else ''}that of the query after the last layer"
    return {
        "x": {"start": 0, "stop": d, "meaning": "the input x of this token"},
        "y": {"start": d, "stop": d + 1, "meaning": f"its label y, which layers change: {predicted}"},
    }


def linear_directions(d: int) -> list[str]:
    """A name for each coordinate of a token [x; y]."""
    return [*(f"x[{place}]" for place in range(d)), "y"] if d > 1 else ["x", "y"]
