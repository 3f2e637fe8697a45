"""The census: sizes of a transformer, counted from its literal matrices and never from a formula."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from icgd.construct.block.transformer import Transformer


@dataclass(frozen=True)
class Census:
    """Sizes of the block that one gradient step takes (a looped transformer repeats it L times).

    layers, sublayers: of one step.  heads: most in any layer.  width: D.  mlp_width: most hidden
    units in any layer.  parameters: nonzero entries.  norm: largest layer norm (Bai et al., eq. 2).
    total_heads, total_units: summed over the layers of one step.
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

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


def census(transformer: Transformer) -> Census:
    """The census of one block, layer by layer, so that no two layers are in memory at once."""
    layers = sublayers = heads = mlp_width = parameters = total_heads = total_units = 0
    norm = 0.0
    for layer in transformer.literal():
        layers += 1
        sublayers += layer.sublayers
        heads, total_heads = max(heads, len(layer.heads)), total_heads + len(layer.heads)
        mlp_width, total_units = max(mlp_width, layer.hidden), total_units + layer.hidden
        parameters += layer.parameters()
        norm = max(norm, layer.norm())
    D = transformer.stream.D
    return Census(layers, sublayers, heads, D, mlp_width, parameters, norm, total_heads, total_units)
