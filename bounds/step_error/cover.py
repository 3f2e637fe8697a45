"""Branch and bound over all networks in W: cells that cover them, each with a bound on the step error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.step_error.worst_case import CELL_ROOM, Cells, Errors, Setting

COVER_SLACK = 0.01
"""How far, relatively, the bound may stay above its largest value at a single point."""
ENOUGH = 1e-3
"""The share of eps below which no tighter bound is needed."""
_MOST_CELLS = 40_000
_BATCH = 1024


@dataclass(frozen=True, eq=False)
class Cover:
    """A tree of cells, halved until each allows no larger step error than `bound`.

    bound: on norm2(err)/eta for every prompt in the radii, every w in W and every n.
    reached: the largest bound seen at a single point, `at`: no halving takes `bound` below it.
    root: the cell that contains all others.  splits: the tree in preorder, the layer 1..N whose interval
        is halved (the lower half comes first), or 0 at a leaf.
    """

    bound: float
    reached: float
    at: Vector
    root: Cells
    splits: NDArray[np.int64]

    @property
    def leaves(self) -> int:
        return int((self.splits == 0).sum())


def cover(setting: Setting, errors: Errors, slack: float = COVER_SLACK, enough: float = 0.0) -> Cover:
    """Cells fine enough that their bound is within `slack` of the best possible, or as many as allowed.

    enough: a bound below which cells are not halved any further.
    """
    root = setting.everything
    cells, values = root, setting.bound(root, errors)
    reachable = np.maximum(
        root.high / (1 + 2 * CELL_ROOM), (root.low + root.high) / 2
    )  # inside what W can reach
    node, tree = np.zeros(1, dtype=np.int64), _Tree()
    reached, at, bound = 0.0, root.high[:, 0], 0.0
    while len(cells):
        for corner in (cells.high, (cells.low + cells.high) / 2):
            point = np.minimum(corner, reachable)
            seen = setting.bound(Cells(point, point), errors)
            if seen.max() > reached:
                reached, at = float(seen.max()), point[:, int(seen.argmax())]
        narrow = ((cells.low + cells.high) / 2 <= cells.low).all(axis=0)
        goal = max(reached * (1 + slack), enough)
        done = (values <= goal) | narrow | (tree.size > _MOST_CELLS)
        bound = max(bound, float(values[done].max(initial=0.0)))
        cells, values, node = cells[~done], values[~done], node[~done]
        if len(cells):  # the worst cells first, as the number of cells is limited
            worst = np.zeros(len(cells), dtype=bool)
            worst[np.argsort(-values)[: max(_BATCH, len(cells) // 4)]] = True
            layer, halves, found = _halve(setting, errors, cells[worst], goal)
            cells = Cells(
                *(np.hstack(x) for x in zip(_ends(cells[~worst]), *map(_ends, halves), strict=True))
            )
            values = np.concatenate([values[~worst], *found])
            node = np.concatenate([node[~worst], *tree.split(node[worst], layer + 1)])
    return Cover(bound, reached, at, root, tree.preorder())


def _ends(cells: Cells) -> tuple[Vector, Vector]:
    return cells.low, cells.high


def _halve(
    setting: Setting, errors: Errors, cells: Cells, goal: float
) -> tuple[NDArray[np.int64], tuple[Cells, Cells], tuple[Vector, Vector]]:
    """Halves every cell in the layer that leaves the least work; returns layers, halves and their bounds."""
    middle = (cells.low + cells.high) / 2
    scores, below, above = [], [], []
    for j in range(len(middle)):
        lower, upper = cells.high.copy(), cells.low.copy()
        lower[j] = upper[j] = middle[j]
        below.append(setting.bound(Cells(cells.low, lower), errors))
        above.append(setting.bound(Cells(upper, cells.high), errors))
        left = sum(np.where(half > goal, half**2, 0.0) + 1e-6 * half**2 for half in (below[-1], above[-1]))
        scores.append(np.where((cells.low[j] < middle[j]) & (middle[j] < cells.high[j]), left, np.inf))
    layer = np.argmin(scores, axis=0)
    each = np.arange(len(cells))
    lower, upper = cells.high.copy(), cells.low.copy()
    lower[layer, each] = upper[layer, each] = middle[layer, each]
    halves = Cells(cells.low, lower), Cells(upper, cells.high)
    return layer, halves, (np.array(below)[layer, each], np.array(above)[layer, each])


class _Tree:
    """Nodes in order of creation: the layer in which each is split, and its two halves."""

    def __init__(self) -> None:
        self.layer: list[int] = [0]
        self.halves: list[tuple[int, int]] = [(0, 0)]

    @property
    def size(self) -> int:
        return len(self.layer)

    def split(
        self, node: NDArray[np.int64], layer: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        left = self.size + np.arange(len(node))
        right = left + len(node)
        for parent, split, a, b in zip(node, layer, left, right, strict=True):
            self.layer[parent], self.halves[parent] = int(split), (int(a), int(b))
        self.layer += [0] * (2 * len(node))
        self.halves += [(0, 0)] * (2 * len(node))
        return left, right

    def preorder(self) -> NDArray[np.int64]:
        order, stack = [], [0]
        while stack:
            node = stack.pop()
            order.append(self.layer[node])
            if self.layer[node]:
                left, right = self.halves[node]
                stack += [right, left]
        return np.array(order, dtype=np.int64)
