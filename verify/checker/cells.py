"""The cells of a certificate: the leaves of a tree of boxes, each halved in the layer that the tree names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from icgd.verify.checker.directed import Floats
from icgd.verify.checker.lemmas import need


def leaves(root: Sequence[Sequence[Any]], splits: Sequence[Any]) -> tuple[Floats, Floats]:
    """The lower and the upper ends of all cells, one row a layer and one column a cell.

    root: the ends of the whole.  splits: for each node of the tree, in order, 0 for a leaf or the layer in
    which it is halved.  Where a middle rounds, both halves end there, so that together they are their node.
    """
    low, high = (tuple(float(side[i]) for side in root) for i in range(2))
    todo, found, given = [(low, high)], list[tuple[tuple[float, ...], tuple[float, ...]]](), iter(splits)
    while todo:
        need(len(todo) <= 256, "no cell is split more than 256 times in a row")
        (low, high), split = todo.pop(), next(given, 0)
        if not split:
            found.append((low, high))
            continue
        need(split in range(1, len(root) + 1), f"the tree of cells names one of {len(root)} layers")
        before, after = slice(split - 1), slice(split, None)
        middle = ((low[split - 1] + high[split - 1]) / 2,)
        todo.append((low[before] + middle + low[after], high))
        todo.append((low, high[before] + middle + high[after]))
    lower, upper = np.array(found).transpose(1, 2, 0)
    return lower, upper
