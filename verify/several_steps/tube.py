"""A tube around exact descent that contains every run of a certified transformer: docs/several_steps.md.

It reads a certificate of the step error and one of the Hessian, both accepted by their checkers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flint import arb, ctx

_BITS = 128


@dataclass(frozen=True)
class Tube:
    """Bounds on norm2(w(l) - w_GD(l)) for l = 0, ..., L, in every token; the last holds for every later l.

    stretch: one exact step takes two points of W at most so many times as far apart.
    """

    distances: tuple[float, ...]
    stretch: float

    def at(self, step: int) -> float:
        """The bound after so many steps."""
        return self.distances[min(step, len(self.distances) - 1)]


def tube(step: Mapping[str, Any], below: float, above: float, eta: float, steps: int, widest: float) -> Tube:
    """The tube after `steps` steps.

    step: an accepted certificate of the step error, in the letters of the loss (1/(2n)) sum.
    below, above: accepted bounds on the Hessian's eigenvalues, from -below to above.  widest: the diameter
    of W, at which the tube ends, as its bound stays the same from there on.
    """
    with ctx.workprec(_BITS):
        size = arb(eta)
        stretch = (1 + size * below).max(size * above - 1)
        error = size * arb(step["certified"])
        layers = step["layers"]
        rounding = sum(
            (arb(step["errors"].get(f"update[{j}]", 0.0)) ** 2 for j in range(1, len(layers) + 1)), arb(0)
        )
        apart = 2 * size * rounding.sqrt()  # how much further two tokens' w are apart after each step
        steepest = sum(((arb(one["s_norm"]) * one["p_in"] / 2) ** 2 for one in layers), arb(0)).sqrt()
        found, distance = [0.0], arb(0)
        for done in range(steps):
            grown = stretch * distance + error + done * apart
            moved = distance + error + 2 * size * steepest + 2 * done * apart
            distance = (grown if done == 0 else grown.min(moved)).min(arb(widest)).upper()
            found.append(_above(distance))
            if distance >= widest:
                break
        return Tube(tuple(found), _above(stretch))


def _above(x: arb) -> float:
    """A float at or above a number, at most one float further."""
    near = float(x)
    return near if arb(near) >= x else math.nextafter(near, math.inf)
