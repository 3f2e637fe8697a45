"""Sums of ReLUs and the tables that stand for them as piecewise-linear functions over the rationals.

`table_distance` bounds how far a table is from a sum of ReLUs, exactly: on every piece of the table, widened
by as much as rounding may misplace its choice of a piece, their difference is linear between both's kinks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from flint import fmpq

from icgd.construct.block.table import LookupTable
from icgd.verify.checker.power_series import exact

Unit = tuple[fmpq, fmpq, fmpq]
"""(a, b, c) of c relu(a t + b)."""

Between = tuple[fmpq, fmpq]

_ROUNDOFF = fmpq(1, 2**53)
_MISPLACED = 4 * _ROUNDOFF
"""What rounding may add to the number of a cell, relative to the largest number (three roundings)."""


class Line(NamedTuple):
    """slope t + height on [start, end]."""

    start: fmpq
    end: fmpq
    slope: fmpq
    height: fmpq


@dataclass(frozen=True)
class Kinked:
    """A sum of ReLUs, continuous: slopes[i] t + heights[i] between kinks[i - 1] and kinks[i]."""

    kinks: Sequence[fmpq]
    slopes: Sequence[fmpq]
    heights: Sequence[fmpq]

    @classmethod
    def of(cls, units: Iterable[Unit], constant: fmpq) -> Kinked:
        """constant + sum of c relu(a t + b), exactly; raises ValueError for a = 0."""
        turns: dict[fmpq, tuple[fmpq, fmpq]] = {}
        slope, height = fmpq(0), constant
        for a, b, c in units:
            if a == 0:
                raise ValueError("a ReLU does not read its variable")
            rise, lift, kink = c * a, c * b, -b / a
            old = turns.get(kink, (fmpq(0), fmpq(0)))
            if a > 0:
                turns[kink] = old[0] + rise, old[1] + lift
            else:
                turns[kink] = old[0] - rise, old[1] - lift
                slope, height = slope + rise, height + lift
        kinks = sorted(turns)
        slopes, heights = [slope], [height]
        for kink in kinks:
            slopes.append(slopes[-1] + turns[kink][0])
            heights.append(heights[-1] + turns[kink][1])
        return cls(kinks, slopes, heights)

    def __call__(self, t: fmpq) -> fmpq:
        piece = bisect_right(self.kinks, t)
        return self.slopes[piece] * t + self.heights[piece]

    def apart(self, line: Line) -> tuple[fmpq, fmpq]:
        """The largest distance from a line on its interval, and where it is."""
        first, last = bisect_right(self.kinks, line.start), bisect_left(self.kinks, line.end)
        at = [line.start, *self.kinks[first:last], line.end]
        return max((abs(self(t) - line.slope * t - line.height), t) for t in at)


def relus_of(table: LookupTable) -> tuple[list[Unit], fmpq]:
    """The sum of ReLUs that a table was made for, as rationals: its units and its constant."""
    parts = (map(exact, part.tolist()) for part in (table.relus.a, table.relus.b, table.relus.c))
    return list(zip(*parts, strict=True)), exact(table.relus.constant)


def table_lines(table: LookupTable, low: fmpq, high: fmpq) -> Iterator[Line]:
    """The lines that a look-up evaluates on [low, high], from its own numbers; they overlap where it may err.

    A table with few units evaluates the ReLUs themselves, which are its lines; raises ValueError for a layout
    that is not known here.
    """
    if table.linear is not None:
        yield Line(low, high, exact(table.linear[0]), exact(table.linear[1]))
    elif table.direct:
        units, constant = relus_of(table)
        whole = Kinked.of(units, constant)
        ends = [low, *(kink for kink in whole.kinks if low < kink < high), high]
        for start, end in pairwise(ends):
            piece = bisect_right(whole.kinks, start)
            yield Line(start, end, whole.slopes[piece], whole.heights[piece])
    elif table.searched:
        ends = [low, *map(exact, table.kink.tolist()), high]
        yield from _inside(_plain(table, ends), low, high)
    elif table.uniform:
        count = table.left.numel()
        yield from _inside(_plain(table, _ends(table, count, 1)), low, high)
    else:
        yield from _inside(_bent(table), low, high)


def _plain(table: LookupTable, ends: Sequence[fmpq | Between]) -> Iterator[Line]:
    """One line between each pair of ends."""
    lines = zip(map(exact, table.slope.tolist()), map(exact, table.left.tolist()), strict=True)
    for i, (slope, height) in enumerate(lines):
        start, end = ends[i], ends[i + 1]
        lower = start[0] if isinstance(start, tuple) else start
        upper = end[1] if isinstance(end, tuple) else end
        yield Line(lower, upper, slope, height)


def _ends(table: LookupTable, count: int, shift: int) -> list[fmpq | Between]:
    """Where the cells of a uniform grid begin and end, each as an interval that rounding may choose from."""
    origin, per_cell = exact(table.origin), exact(table.per_cell)
    far = fmpq(2) ** 1100
    slack = _MISPLACED * (count + 2)
    inner = [
        (origin + (i - shift - slack) / per_cell, origin + (i - shift + slack) / per_cell)
        for i in map(fmpq, range(1, count))
    ]
    return [-far, *inner, far]


def _bent(table: LookupTable) -> Iterator[Line]:
    """The lines of a grid whose cells have at most one kink, equal neighbours as one."""
    count = table.left.numel()
    parts = [part.cpu().numpy() for part in (table.left, table.slope, table.kink, table.jump)]
    changes = np.zeros(count, dtype=bool)
    changes[0] = True
    for part in parts:
        changes[1:] |= part[1:] != part[:-1]
    changes |= parts[3] != 0
    changes[1:] |= changes[:-1] & (parts[3][:-1] != 0)
    starts = np.flatnonzero(changes).tolist()
    ends = _ends(table, count, 0)
    for first, after in zip(starts, [*starts[1:], count], strict=True):
        begin, finish = ends[first], ends[after]
        low = begin[0] if isinstance(begin, tuple) else begin
        high = finish[1] if isinstance(finish, tuple) else finish
        height, slope, kink, jump = (exact(float(part[first])) for part in parts)
        if not jump:
            yield Line(low, high, slope, height)
            continue
        if kink > low:
            yield Line(low, min(kink, high), slope, height)
        if kink < high:
            yield Line(max(kink, low), high, slope + jump, height - jump * kink)


def _inside(lines: Iterable[Line], low: fmpq, high: fmpq) -> Iterator[Line]:
    for line in lines:
        start, end = max(line.start, low), min(line.end, high)
        if start <= end:
            yield line._replace(start=start, end=end)


class Distance(NamedTuple):
    """How far a table is from a sum of ReLUs, and where.  size: the numbers that a look-up adds up."""

    apart: fmpq
    at: fmpq
    size: fmpq


def table_distance(whole: Kinked, table: LookupTable, low: fmpq, high: fmpq) -> Distance:
    """The exact largest distance on [low, high]; raises ValueError for an unknown layout of the table."""
    apart, at, size = fmpq(0), low, fmpq(0)
    for line in table_lines(table, low, high):
        found, where = whole.apart(line)
        if found > apart:
            apart, at = found, where
        size = max(size, abs(line.height) + abs(line.slope) * max(abs(line.start), abs(line.end)))
    return Distance(apart, at, size)


def looks_up(table: LookupTable, low: float, high: float) -> float:
    """The largest distance, in float64, between what a look-up returns and its lines, at points of each.

    This runs the look-up itself: no proof, but a table that is evaluated in another way is seen.
    """
    lines = list(table_lines(table, exact(low), exact(high)))
    picked = lines[:: max(1, len(lines) // 4096)]
    t = np.array([float((line.start + line.end) / 2) for line in picked])
    wanted = np.array([float(line.slope * exact(x) + line.height) for line, x in zip(picked, t, strict=True)])
    held = next(table.buffers(), torch.zeros(1, dtype=torch.float64))
    found = table(torch.from_numpy(t).to(held.device)).cpu().numpy()
    return float(np.abs(found - wanted).max(initial=0.0))
