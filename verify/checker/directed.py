"""Arithmetic on arrays of floats that rounds outwards: intervals, and bounds of what is not negative.

In IEEE-754 the sum, product, quotient or root of float64 numbers is off by at most 2^-52 of itself, whichever
way it is rounded, or by 2^-1021 near 0, even where results that small become 0.  `up` and `down` move it by
more than twice as much.  What overflows is infinite or nan, and no comparison with nan is true.  Nothing
comes from the rest of the project.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flint import arb

Floats = np.ndarray[Any, np.dtype[np.float64]]


def up(x: Floats) -> Floats:
    """At least the exact result of the one operation that x comes from."""
    return x + (np.abs(x) * 2.0**-50 + 2.0**-1000)


def down(x: Floats) -> Floats:
    """At most the exact result of the one operation that x comes from."""
    return x - (np.abs(x) * 2.0**-50 + 2.0**-1000)


def above(x: Any) -> float:
    """A float that is at least this number or ball; infinite where the ball is.

    None is so small that a processor might read it as 0.
    """
    if x == 0:
        return 0.0
    found = math.nextafter(float(arb(x).upper()), math.inf)
    return 2.0**-1000 if 0 <= found < 2.0**-1000 else found


class Interval:
    """Arrays of intervals [low, high]."""

    def __init__(self, low: Floats, high: Floats) -> None:
        self.low, self.high = low, high

    def __add__(self, other: Interval) -> Interval:
        return Interval(down(self.low + other.low), up(self.high + other.high))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        ends = [x * y for x in (self.low, self.high) for y in (other.low, other.high)]
        least, most = (which(which(*ends[:2]), which(*ends[2:])) for which in (np.minimum, np.maximum))
        return Interval(down(least), up(most))

    def times(self, factor: Floats) -> Interval:
        """The product with exact numbers of one sign or of several."""
        one, other = self.low * factor, self.high * factor
        return Interval(down(np.minimum(one, other)), up(np.maximum(one, other)))

    def over(self, other: Interval) -> Interval:
        """The quotient, nan where the divisor may not be positive."""
        positive = np.where(other.low > 0, 1.0, np.nan)
        return self * Interval(down(positive / other.high), up(positive / other.low))

    def squared(self) -> Interval:
        """The square, which is not negative."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        least = np.maximum(0.0, np.maximum(self.low, -self.high))
        return Interval(np.maximum(0.0, down(least * least)), up(size * size))

    def size(self) -> Floats:
        """The largest absolute value."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


class Upper:
    """Upper bounds x of numbers that are not negative, which stay bounds under +, *, roots and minima."""

    __array_ufunc__ = None

    def __init__(self, x: Any) -> None:
        self.x = np.asarray(x, dtype=np.float64)

    def __add__(self, other: Any) -> Upper:
        return Upper(up(self.x + _bare(other)))

    def __mul__(self, other: Any) -> Upper:
        return Upper(up(self.x * _bare(other)))

    __radd__, __rmul__ = __add__, __mul__

    def half(self) -> Upper:
        return Upper(up(self.x / 2))

    def sqrt(self) -> Upper:
        return Upper(up(np.sqrt(self.x)))

    def min(self, other: Upper) -> Upper:
        return Upper(np.minimum(self.x, other.x))


def _bare(other: Any) -> Any:
    return other.x if isinstance(other, Upper) else other
