"""What each slot of the stream holds while a block runs, in words that need no knowledge of this code."""

from __future__ import annotations

import re

_MEANINGS = {
    r"x": "the input x of this token",
    r"y": "the label y of this token, 0 in the query",
    r"V(\d+)": "the weight matrix V_{j} before the step, row after row, the same in every token",
    r"z(\d+)": "V_{j} {below}: what goes into layer {j} of the network{raised}",
    r"p(\d+)": "the activation r of V_{j} {below}: what layer {j} of the network puts out",
    r"dr(\d+)": "the derivative r' of the activation at V_{j} {below}: how steep layer {j} of the network is",
    r"u(\d+)": "the slope of the loss in the output of the network",
    r"s(\d+)": "the slope of the loss in what goes into layer {j} of the network",
    r"g(\d+)": "V_{above}^T s{above}: the slope of the loss in what layer {j} puts out{raised}",
    r"q(\d+)": "s{j} {below}^T, row after row: the gradient of this example in V_{j}, 0 in the query",
    r"one": "1 in every token",
    r"t": "1 in an example, 0 in the query",
}

_RAISED = ("lean", "exact")
"""Constructions that compute with relu in attention heads, so that z and g are held above 0."""


def slot_meaning(name: str, construction: str | None = None) -> str:
    """What the slot of that name holds from the layer that writes it to the last, which clears it.

    construction: of the block, as in its file.  Empty for a name that no construction of ours has.

    >>> slot_meaning("p2"), slot_meaning("other")
    ('the activation r of V_2 p1: what layer 2 of the network puts out', '')
    """
    for pattern, meaning in _MEANINGS.items():
        if found := re.fullmatch(pattern, name):
            j = int(found[1]) if found.groups() else 0
            below = "x" if j <= 1 else f"p{j - 1}"
            raised = ", plus a constant that keeps it above 0" if construction in _RAISED else ""
            return meaning.format(j=j, above=j + 1, below=below, raised=raised)
    return ""


def is_raised(name: str, construction: str | None) -> bool:
    """Whether a slot holds a constant more than what it is about.

    >>> is_raised("z1", "lean"), is_raised("z1", "softmax"), is_raised("p1", "lean")
    (True, False, False)
    """
    return construction in _RAISED and re.fullmatch(r"[zg]\d+", name) is not None
