"""The census: sizes of a transformer, counted from its literal matrices and never from a formula."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from icgd.construct.block.balance import LayerNorms
from icgd.construct.block.literal import LiteralLayer
from icgd.construct.block.transformer import Transformer


@dataclass(frozen=True)
class Census:
    """Sizes of the block that one gradient step takes (a looped transformer repeats it L times).

    layers, sublayers: of one step.  heads: most in any layer.  width: D.  mlp_width: most hidden
    units in any layer.  parameters: nonzero entries.  norm: largest layer norm (Bai et al., eq. 2).
    total_heads, total_units: summed over the layers of one step.  norm_1: largest layer norm with
    1-norms (arXiv 2411.16549, B.1).  least_norm, least_norm_1: the same two for the largest layer after
    every layer is balanced (icgd.construct.block.balance).
    """

    layers: int
    sublayers: int
    heads: int
    width: int
    mlp_width: int
    parameters: int
    norm: float
    total_heads: int
    total_units: int
    norm_1: float
    least_norm: float
    least_norm_1: float

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


class Width(Protocol):
    """A stream: anything with a number of coordinates."""

    @property
    def D(self) -> int: ...


class Counted(Protocol):
    """What can be counted: literal layers on a stream."""

    @property
    def stream(self) -> Width: ...

    def literal(self) -> Iterator[LiteralLayer]: ...


def layer_counts(block: Counted) -> dict[str, int]:
    """Sizes of one step of any block, ours or not, counted from its literal matrices.

    layers; heads, mlp_width: most in any layer; width: D; parameters: nonzero entries; total_units.
    """
    layers = list(block.literal())
    return {
        "layers": len(layers),
        "heads": max(len(layer.heads) for layer in layers),
        "width": block.stream.D,
        "mlp_width": max(layer.hidden for layer in layers),
        "parameters": sum(layer.parameters() for layer in layers),
        "total_units": sum(layer.hidden for layer in layers),
    }


def census(transformer: Transformer) -> Census:
    """The census of one block, layer by layer, so that no two layers are in memory at once."""
    layers = sublayers = heads = mlp_width = parameters = total_heads = total_units = 0
    norm = norm_1 = least_norm = least_norm_1 = 0.0
    for layer in transformer.literal():
        layers += 1
        sublayers += layer.sublayers
        heads, total_heads = max(heads, len(layer.heads)), total_heads + len(layer.heads)
        mlp_width, total_units = max(mlp_width, layer.hidden), total_units + layer.hidden
        parameters += layer.parameters()
        ones, twos = LayerNorms.of(layer, 1), LayerNorms.of(layer, 2)
        norm, least_norm = max(norm, twos.built), max(least_norm, twos.least)
        norm_1, least_norm_1 = max(norm_1, ones.built), max(least_norm_1, ones.least)
    D = transformer.stream.D
    sizes = layers, sublayers, heads, D, mlp_width, parameters, norm, total_heads, total_units
    return Census(*sizes, norm_1, least_norm, least_norm_1)
