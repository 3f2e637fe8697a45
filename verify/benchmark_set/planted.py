"""Blocks with a planted error that sampling does not find: a spike, or an error that only floats have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from icgd.construct.block.given_block import Declaration, GivenBlock, layer_name

SPIKE_WIDTH = 1e-9
"""Half the width of a spike."""

BIG = 2.0**48
"""What is added and taken away again, so that float64 keeps a number to 2^-5 only."""

HiddenUnit = tuple[Mapping[int, float], Mapping[int, float]]
"""A hidden unit: what it reads, and what its ReLU adds, by coordinate."""


@dataclass(frozen=True, eq=False)
class PlantedBlock:
    """The matrices of a block with more hidden units, and what it says of itself."""

    tensors: Mapping[str, Tensor]
    declaration: Declaration


def with_units(block: GivenBlock, units: Mapping[int, Sequence[HiddenUnit]], more: int = 0) -> PlantedBlock:
    """A block with more hidden units, by layer, and so many more coordinates of scratch at the end."""
    tensors = {name: _wider(name, tensor, more) for name, tensor in block.tensors.items()}
    D = block.stream.D + more
    for layer, added in units.items():
        name = layer_name(layer)
        reads, adds = torch.zeros(2, len(added), D, dtype=torch.float64)
        for row, (read, add) in enumerate(added):
            for place, by in read.items():
                reads[row, place] = by
            for place, by in add.items():
                adds[row, place] = by
        nothing = torch.zeros(0, D, dtype=torch.float64)
        old = tensors.get(f"{name}.W1", nothing), tensors.get(f"{name}.W2", nothing.T)
        tensors[f"{name}.W1"] = torch.cat([old[0], reads])
        tensors[f"{name}.W2"] = torch.cat([old[1], adds.T], dim=1)
    return PlantedBlock(tensors, block.declaration)


def _wider(name: str, tensor: Tensor, more: int) -> Tensor:
    rows, columns = (0 if name.endswith("W1") else more), (0 if name.endswith("W2") else more)
    return torch.nn.functional.pad(tensor, (0, columns, 0, rows))


def spiked_block(block: GivenBlock, reads: int, at: float, layer: int, height: float) -> PlantedBlock:
    """Adds `height` to the first entry of w where a coordinate is `at`, and 0 beyond SPIKE_WIDTH of it."""
    one, w, steep = block.stream.one, block.stream.w[0], height / SPIKE_WIDTH
    units = [
        ({reads: 1.0, one: -at + offset * SPIKE_WIDTH}, {w: steep * slope})
        for offset, slope in ((1, 1.0), (0, -2.0), (-1, 1.0))
    ]
    return with_units(block, {layer: units})


def float_only_block(block: GivenBlock, reads: int) -> PlantedBlock:
    """Adds ((x + BIG) - BIG) - x to the first entry of w, for x >= 0 in a coordinate: 0 over the reals.

    The first layer writes x + BIG into a new coordinate, the last one reads and clears it; no other layer
    reads it, and in each sum only two terms are large, so that the order of summation changes nothing.
    """
    one, w, ghost, last = block.stream.one, block.stream.w[0], block.stream.D, len(block.layers) - 1
    written: list[HiddenUnit] = [({reads: 1.0, one: BIG}, {ghost: 1.0})]
    read: list[HiddenUnit] = [
        ({ghost: 1.0, one: -BIG}, {w: 1.0}),
        ({reads: 1.0}, {w: -1.0}),
        ({ghost: 1.0}, {ghost: -1.0}),
    ]
    return with_units(block, {0: written, last: read}, more=1)
