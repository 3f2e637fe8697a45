"""Whether the structured reading of a block is the literal one: layer by layer, over the rationals.

A layer is read from its literal matrices and, again, from what its parts declare and the tables hold. Each
linear map is compared entry by entry; each table with the sum of ReLUs that the matrices hold, as exact
piecewise-linear functions on the range where it is used, the choice of a piece in floats included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flint import fmpq

from icgd.bounds.step_error.recurrence import LayerRanges
from icgd.bounds.step_error.rounding import gamma, offset_above
from icgd.construct.block.heads import Aggregate
from icgd.construct.block.transformer import Transformer
from icgd.construct.softmax_icgd import SoftmaxTransformer
from icgd.verify.block.exact_pieces import Kinked, looks_up, relus_of, table_distance
from icgd.verify.block.layer_functions import (
    Addition,
    GatedUnit,
    Written,
    declared_means,
    sums_of_matrices,
    sums_of_parts,
    units_of,
)
from icgd.verify.checker.power_series import exact
from icgd.verify.verdict import Verdict

STRUCTURED = "structured"
"""The claim's name in keys."""

MOST_COMPARED = 500_000
"""Blocks with more nonzero entries are not compared: a comparison takes some 20 microseconds an entry."""

_EVALUATED = 12
"""At most the roundings of a look-up whose piece is chosen: 2 of a line; 4, of twice its size, of a kink."""


class Apart(Exception):
    """The two readings of a layer are not the same function; the message says where."""


@dataclass
class Compared:
    """What the comparison of all layers found.

    maps: linear forms that are equal entry by entry.  tables: distinct tables compared.
    largest, where: the largest distance of a table from its sum, times its scale.
    share: the largest part that a table's rounding is of what the certificate counts for the same sum.
    """

    maps: int = 0
    tables: int = 0
    largest: float = 0.0
    where: str = ""
    share: float = 0.0


class _Comparison:
    def __init__(self, block: Transformer | SoftmaxTransformer, ranges: Sequence[LayerRanges]) -> None:
        self.block, self.ranges, self.found = block, ranges, Compared()
        self.known: dict[object, tuple[float, float]] = {}
        self.slots = slot_ranges(block, ranges)
        self.names = {
            place: name for name, slot in block.stream.slots.items() for place in range(slot.start, slot.stop)
        }

    def layer(self, index: int, said: Iterator[Addition], wrote: Written) -> None:
        """Compare one layer; `wrote` is what its matrices add."""
        constants: dict[int, fmpq] = {}
        for one in said:
            self.map(index, one, wrote.sums.pop(one.target, None))
            added = one.scale * relus_of(one.table)[1]
            constants[one.target.place] = constants.get(one.target.place, fmpq(0)) + added
        for target in wrote.sums:
            raise Apart(f"layer {index}: the matrices add to {self.at(target.place)} what no part declares")
        for place in constants.keys() | wrote.constants.keys():
            apart = abs(constants.get(place, fmpq(0)) - wrote.constants.get(place, fmpq(0)))
            size = abs(constants.get(place, fmpq(0)))
            if apart > size / 2**48:
                raise Apart(f"layer {index}: the constants of {self.at(place)} differ by {float(apart):.3g}")
            self.note(float(apart), f"layer {index}, the constant of {self.at(place)}")

    def map(self, index: int, said: Addition, units: list[GatedUnit] | None) -> None:
        """Compare what one entry of a part declares with the units of the matrices that have its form."""
        own = relus_of(said.table)[0]
        if units is None and own:
            raise Apart(f"layer {index}: no row of the matrices is the linear map of {said.name}")
        if any(unit.gate for unit in units or ()) != (said.gated and bool(units)):
            raise Apart(f"layer {index}: {said.name} reads the mask in one reading alone")
        self.found.maps += 1
        reach = self.reach(said)
        low, high = reach
        if said.gated:
            self.closed(index, said, units or [], max(abs(low), abs(high)))
        pattern = tuple((unit.a / said.lead, unit.b + unit.gate, unit.c) for unit in units or ())
        key = (pattern, said.bias, said.scale, id(said.table), low, high)
        if key not in self.known:
            self.known[key] = self.table(index, said, units or [], low, high)
        apart, share = self.known[key]
        factor = self.slots.get(self.names[said.target.factor], (0.0, 0.0))
        self.note(apart * max(map(abs, factor)), f"layer {index}, {said.name}")
        self.found.share = max(self.found.share, share)

    def table(
        self, index: int, said: Addition, units: list[GatedUnit], low: float, high: float
    ) -> tuple[float, float]:
        """How far a table is from the sum in the matrices, and its share of the rounding counted for it."""
        name, scale = f"layer {index}, {said.name}", said.scale
        inner = units_of(units, said.lead, said.bias)
        whole = Kinked.of(((a, b, c / scale) for a, b, c in inner), relus_of(said.table)[1])
        everywhere = high == float("inf")
        if everywhere:  # equal one step beyond all kinks, and so equal beyond
            ends = [*whole.kinks, *(-b / a for a, b, _ in relus_of(said.table)[0]), fmpq(0)]
            low, high = float(min(ends)) - 1, float(max(ends)) + 1
        found = table_distance(whole, said.table, exact(low), exact(high))
        if everywhere and found.apart:
            raise Apart(f"{name}: the argument of its table has no range, and the table is not exact")
        far = exact(max(abs(low), abs(high)))
        sizes = sum((abs(c) * (abs(a) * far + abs(b)) for a, b, c in inner), fmpq(0))
        size = float(abs(sizes / scale) + abs(relus_of(said.table)[1]))
        self.found.tables += 1
        counted, evaluated = (
            gamma(len(units) + 16) * size,
            gamma(_EVALUATED) * (size if said.table.direct else float(found.size)),
        )
        if float(found.apart) + evaluated > counted:
            at, shown = float(found.at), float(found.apart)
            raise Apart(f"{name}: its table differs from the matrices by {shown:.3g} at {at:.6g}")
        seen = looks_up(said.table, low, high)
        if seen > evaluated:
            raise Apart(f"{name}: its table does not return the lines that it holds, but is {seen:.3g} off")
        share = (float(found.apart) + evaluated) / (counted or 1.0)
        return float(found.apart) * abs(float(scale)), share

    def closed(self, index: int, said: Addition, units: list[GatedUnit], reach: float) -> None:
        """Check that the query's mask closes every unit: relu of what is not positive is 0."""
        far = exact(reach) / abs(said.lead)
        if any(abs(unit.a) * far + unit.b > 0 for unit in units):
            raise Apart(f"layer {index}: {said.name} is open in the query's token")

    def reach(self, said: Addition) -> tuple[float, float]:
        """The range of a table's argument."""
        if isinstance(said.reads, int):
            z = self.ranges[said.reads - 1].z
            return -z, z
        low = high = float(said.bias)
        moved = self.block.stream[self.names[said.target.place]].shared is not None
        for name, by in said.reads.items():
            if moved and name.startswith("V"):  # an update may leave the box before it is clipped
                return float("-inf"), float("inf")
            ends = [by * end for end in self.slots[name]]
            low, high = low + min(ends), high + max(ends)
        room = 2.0**-40 * max(abs(low), abs(high))
        return (low - room, high + room) if said.reads else (float("-inf"), float("inf"))

    def at(self, place: int) -> str:
        name = self.names[place]
        return f"{name}[{place - self.block.stream[name].start}]"

    def note(self, apart: float, where: str) -> None:
        if apart > self.found.largest:
            self.found.largest, self.found.where = apart, where


def slot_ranges(
    block: Transformer | SoftmaxTransformer, ranges: Sequence[LayerRanges]
) -> dict[str, tuple[float, float]]:
    """Where the numbers in each slot are when a table reads it, for w in W, before the update."""
    problem, shifted = block.problem, block.name in ("lean", "exact")
    infinite = float("inf")
    found = {"x": problem.B_x, "y": problem.B_y, "one": 1.0}
    ends = {name: (-size, size) for name, size in found.items()} | {"t": (0.0, 1.0)}
    for j, layer in enumerate(ranges, start=1):
        above_z = offset_above(layer.z) if shifted else 0.0
        above_g = offset_above(layer.g) if shifted and j < problem.N else 0.0
        half = problem.half_width(j)
        ends[f"V{j}"] = -half, half
        ends[f"z{j}"] = above_z - layer.z, above_z + layer.z
        ends[f"g{j}"] = above_g - layer.g, above_g + layer.g
        ends[f"u{j}"], ends[f"s{j}"] = (-layer.g, layer.g), (-layer.s, layer.s)
        ends[f"p{j}"], ends[f"dr{j}"] = (-layer.r, layer.r), (layer.dr_low, layer.dr_high)
        ends[f"q{j}"] = (-infinite, infinite)
    return ends


def _order(block: Transformer) -> None:
    """Check what a structured pass assumes of the order of layers; raises Apart."""
    last = block._sums_at
    for index in range(len(block.layers)):
        layer = block.layer(index)
        sums = [part for part in layer.heads if isinstance(part, Aggregate)]
        if sums and (index != last or layer.diagonal or len(sums) < len(layer.heads)):
            raise Apart(f"layer {index} sums over examples beside other heads")
        for ridge in layer.ridges:
            shared = block.stream[ridge.target].shared is not None
            if shared and (index < last or any(block.stream[n].shared is None for n in ridge.form)):
                raise Apart(f"layer {index} changes {ridge.target} before the update, or from a token")


def compared(block: Transformer | SoftmaxTransformer, ranges: Sequence[LayerRanges]) -> Compared:
    """The comparison of all layers; raises Apart, with the first place where the readings differ."""
    both = _Comparison(block, ranges)
    if isinstance(block, Transformer):
        _order(block)
        for index in range(len(block.layers)):
            layer = block.layer(index)
            both.layer(
                index,
                sums_of_parts(layer.heads, layer.ridges, block.stream),
                sums_of_matrices(layer.literal(block.stream), block.stream, block.attention),
            )
        return both.found
    for index, deep in enumerate(block.blocks):
        wrote = sums_of_matrices(deep.literal(block.stream), block.stream, block.attention)
        if wrote.means != declared_means(deep, block.stream):
            raise Apart(f"layer {index}: the head does not move what the layer declares")
        both.layer(index, sums_of_parts((), deep.listed, block.stream), wrote)  # type: ignore[arg-type]
    return both.found


def structured_verdict(
    part: str, block: Transformer | SoftmaxTransformer, ranges: Sequence[LayerRanges], entries: int
) -> Verdict:
    """The verdict on the claim `part`/structured; ranges: of the plan.  entries: nonzeros of the matrices."""
    key = f"{part}/{STRUCTURED}"
    if entries > MOST_COMPARED:
        why = f"not compared: {entries:,} entries, and at most {MOST_COMPARED:,} are; tests compare both"
        return Verdict(key, "inapplicable", why)
    try:
        found = compared(block, ranges)
    except (Apart, ValueError) as reason:
        return Verdict(key, "failed", f"the structured reading is not the literal one: {reason}")
    evidence = (
        f"{len(block.layers)} layers, over the rationals: {found.maps:,} linear maps are those of the "
        f"matrices, entry by entry; {found.tables:,} tables are within {found.largest:.2g} of the sums of "
        "ReLUs that they stand for, for tokens that carry the same w"
    )
    if found.where:
        evidence += f" (the farthest: {found.where})"
    evidence += (
        f"; with the rounding of the look-up, at most {found.share:.0%} of what is counted for such a sum"
    )
    numbers = {"maps": found.maps, "tables": found.tables, "largest": found.largest}
    return Verdict(key, "proved", evidence, means="exact", numbers=numbers)
