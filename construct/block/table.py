"""Fast evaluation of a sum of ReLUs (the structured reading): a table look-up, not one ReLU per unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.functions.relu_sum import ReluSum

_DIRECT = 3
"""Up to this many units the ReLUs themselves are evaluated: cheaper than a look-up."""

_CELLS_PER_UNIT = 64
"""The most cells of a uniform grid, per unit; where more would be needed, a binary search is used."""

LINEAR, DIRECT, UNIFORM, CELLS, SEARCHED = range(5)
"""How a table finds the line of an argument."""


@dataclass(frozen=True, eq=False)
class PackedTable:
    """A table as a few numbers and one row a line: what machine code reads.

    kind: one of the five above.  place: the origin of the grid, its cells per unit, the index of its first
    cell, and the last index.  rows: of LINEAR none, place[0] + place[1] x being the line; of DIRECT (a, b, c)
    of every unit, place[0] being the constant; of UNIFORM (left, slope); of CELLS (left, slope, kink, jump);
    of SEARCHED (kink, left, slope), the last kink being infinite.
    """

    kind: int
    place: tuple[float, float, float, float]
    rows: npt.NDArray[np.floating[Any]]


class LookupTable(nn.Module):
    """The function of a ReluSum, element-wise, at a cost that does not depend on its units.

    The line on each piece is summed exactly (as rationals) and rounded once.  A uniform grid whose
    cells hold at most one kink finds the piece; where kinks crowd too closely, a binary search does.
    """

    left: Tensor
    slope: Tensor
    kink: Tensor
    jump: Tensor

    def __init__(self, relus: ReluSum) -> None:
        super().__init__()
        self.relus = relus
        kinks, slopes, intercepts = relus.segments()
        self.linear = (float(slopes[0]), float(intercepts[0])) if len(set(slopes)) == 1 else None
        self.direct = relus.units <= _DIRECT
        few = slice(0, relus.units if self.direct else 0)
        self.units = tuple(zip(*(part[few].tolist() for part in (relus.a, relus.b, relus.c)), strict=True))
        self.uniform = False
        if self.linear or self.direct:
            return
        knots = np.array([float(k) for k in kinks])
        lines = np.array([[float(a), float(b)] for a, b in zip(intercepts, slopes, strict=True)])
        distinct = np.append(np.diff(knots) > 0, True)  # kinks may differ as rationals, but not as floats
        knots, lines = knots[distinct], lines[np.append(True, distinct)]
        span, count = knots[-1] - knots[0], len(knots)
        even = np.linspace(knots[0], knots[-1], count)
        self.uniform = count > 1 and bool(np.abs(knots - even).max() <= 2.0**-50 * np.abs(knots).max())
        smallest = float(np.diff(knots).min()) if count > 1 else np.inf
        cells = count - 1 if self.uniform else int(min(np.ceil(span / (0.99 * smallest)), 2.0**40))
        self.searched = count == 1 or cells > _CELLS_PER_UNIT * count
        self.origin, self.per_cell = float(knots[0]), cells / float(span) if count > 1 else 1.0
        if self.uniform or self.searched:
            left, slope, kink, jump = lines[:, 0], lines[:, 1], knots, knots[:0]
        else:
            starts = self.origin + np.arange(1, cells) / self.per_cell
            passed = np.concatenate([[0], np.searchsorted(knots, starts), [count]])
            before, after = passed[:-1], passed[1:]
            inside = after > before
            left, slope = lines[before].T
            jump = np.where(inside, lines[after, 1] - slope, 0.0)
            kink = np.where(inside, knots[np.minimum(before, count - 1)], 0.0)
        for name, values in (("left", left), ("slope", slope), ("kink", kink), ("jump", jump)):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """relus(x), element by element."""
        if self.linear is not None:
            return torch.add(torch.full_like(x, self.linear[1]), x, alpha=self.linear[0])
        if self.direct:
            return self._directly(x)
        flat = x.reshape(-1)
        if self.searched:
            index = torch.bucketize(flat, self.kink)
        else:
            place = (flat - self.origin).mul_(self.per_cell)
            if self.uniform:
                place.add_(1.0)
            # nan must not become an index; the line it is mapped to gives nan again.
            index = place.nan_to_num_(nan=0.0).clamp_(0, self.left.numel() - 1).long()
        value = torch.addcmul(self.left.index_select(0, index), self.slope.index_select(0, index), flat)
        if self.jump.numel():
            past = (flat - self.kink.index_select(0, index)).clamp_(min=0)
            value.addcmul_(self.jump.index_select(0, index), past)
        return value.view(x.shape)

    def _directly(self, x: Tensor) -> Tensor:
        value = torch.full_like(x, self.relus.constant)
        for a, b, c in self.units:
            shifted = x + b if a == 1 else torch.add(torch.full_like(x, b), x, alpha=a)
            value.add_(shifted.clamp_(min=0), alpha=c)
        return value

    def packed(self) -> PackedTable:
        """The same table for machine code, on the CPU and in the precision of its buffers."""
        if self.linear is not None:
            return PackedTable(LINEAR, (self.linear[1], self.linear[0], 0.0, 0.0), np.empty((0, 2)))
        if self.direct:
            relus = self.relus
            rows = np.column_stack([relus.a, relus.b, relus.c])
            return PackedTable(DIRECT, (relus.constant, 0.0, 0.0, 0.0), rows)
        lines = [part.numpy() for part in (self.left, self.slope)]
        kink, jump = self.kink.numpy(), self.jump.numpy()
        if self.searched:
            rows = np.column_stack([np.append(kink, np.inf), *lines])
            return PackedTable(SEARCHED, (0.0, 0.0, 0.0, 0.0), rows)
        place = (self.origin, self.per_cell, float(self.uniform), len(lines[0]) - 1.0)
        if self.uniform:
            return PackedTable(UNIFORM, place, np.column_stack(lines))
        return PackedTable(CELLS, place, np.column_stack([*lines, kink, jump]))
