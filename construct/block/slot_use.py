"""Which layers read and which write each named slot of the stream, found from the literal matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from icgd.construct.block.literal import Block, LiteralLayer
from icgd.construct.block.stream import Stream


@dataclass(frozen=True)
class Sublayer:
    """One attention or one MLP.

    layer: from 1, in the block of one gradient step.  heads, units: how many of its kind; the other is 0.
    reads: slots with a nonzero column in Q, K, V (attention) or W1 (MLP).
    writes: slots with a nonzero row in V or W2: the sub-layer leaves all other slots as they are.
    """

    layer: int
    kind: Literal["attention", "mlp"]
    heads: int
    units: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class SlotPlace:
    """The coordinates start, ..., start + size - 1 of the stream under one name."""

    name: str
    start: int
    size: int


@dataclass(frozen=True)
class SlotUse:
    """The block of one gradient step as its stream of slots and the sub-layers that act on it, in order."""

    slots: tuple[SlotPlace, ...]
    sublayers: tuple[Sublayer, ...]


def slot_use(transformer: Block) -> SlotUse:
    """The slots that each sub-layer of a block uses, from its matrices and not from its declarations.

    Matrices are built one layer at a time; absent sub-layers are left out.

    >>> from icgd.bounds.problem import Problem
    >>> from icgd.construct.relu_icgd import build
    >>> first = slot_use(build(Problem(N=1, d=1, n=2, eps=0.5))).sublayers[0]
    >>> first.kind, first.reads, first.writes
    ('attention', ('x', 'V1', 'one'), ('z1',))
    """
    stream = transformer.stream
    slots = tuple(SlotPlace(slot.name, slot.start, slot.size) for slot in stream.slots.values())
    layers = enumerate(transformer.literal(), start=1)
    return SlotUse(
        slots, tuple(found for number, layer in layers for found in _sublayers(stream, number, layer))
    )


def _sublayers(stream: Stream, number: int, layer: LiteralLayer) -> Iterator[Sublayer]:
    if layer.heads:
        read = _slots(stream, (m.columns for head in layer.heads for m in (head.Q, head.K, head.V)))
        written = _slots(stream, (head.V.rows for head in layer.heads))
        yield Sublayer(number, "attention", len(layer.heads), 0, read, written)
    if layer.hidden:
        read, written = _slots(stream, [layer.W1.columns]), _slots(stream, [layer.W2.rows])
        yield Sublayer(number, "mlp", 0, layer.hidden, read, written)


def _slots(stream: Stream, coordinates: Iterable[np.ndarray]) -> tuple[str, ...]:
    """The slots that hold any of these coordinates, in the order of the stream."""
    touched = np.zeros(stream.D, dtype=bool)
    for places in coordinates:
        touched[places] = True
    return tuple(s.name for s in stream.slots.values() if touched[s.start : s.stop].any())
