"""Sums of ReLUs of one variable: what a group of heads or hidden units computes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


def _frozen(values: npt.ArrayLike) -> Vector:
    array = np.array(values, dtype=np.float64).reshape(-1)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, init=False)
class ReluSum:
    """The function t -> constant + sum_m c[m] relu(a[m] t + b[m]).

    a, b, c: float64 vectors of one length M, the number of units.  Statements about the function
    take these stored weights as exact rationals.

    >>> absolute = ReluSum([1.0, -1.0], [0.0, 0.0], [1.0, 1.0])
    >>> absolute(np.array([-2.0, 3.0])).tolist()
    [2.0, 3.0]
    """

    a: Vector
    b: Vector
    c: Vector
    constant: float

    def __init__(self, a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike, constant: float = 0.0) -> None:
        for name, values in (("a", a), ("b", b), ("c", c)):
            object.__setattr__(self, name, _frozen(values))
        object.__setattr__(self, "constant", float(constant))
        if not self.a.size == self.b.size == self.c.size:
            raise ValueError(f"lengths differ: {self.a.size}, {self.b.size}, {self.c.size}")
        if np.any(self.a == 0):
            raise ValueError("a unit with a = 0 has no kink: put its value into the constant")

    @property
    def units(self) -> int:
        """M, the number of ReLUs."""
        return int(self.a.size)

    def __call__(self, t: npt.ArrayLike) -> Vector:
        """The sum as written, in float64; the result has the shape of `t`."""
        t = np.asarray(t, dtype=np.float64)
        return np.asarray(self.constant + np.maximum(t[..., None] * self.a + self.b, 0.0) @ self.c)

    def segments(self) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        """The same function piece by piece, exactly: (kinks, slopes, intercepts).

        On the piece between kinks[i-1] and kinks[i] the value is intercepts[i] + slopes[i] t.
        There is one more piece than there are kinks; kinks increase (equal ones are merged).
        """
        # Floats are integers over a power of two; over a common power, all sums are of integers.
        scale = _common_denominator(self.a, self.b)
        weights = _common_denominator(self.c, np.array([self.constant]))
        jumps: dict[int | Fraction, tuple[int, int]] = {}
        slope, intercept = 0, _scaled(self.constant, weights) * scale
        for a, b, c in zip(self.a.tolist(), self.b.tolist(), self.c.tolist(), strict=True):
            rise = _scaled(c, weights) * _scaled(a, scale)
            lift = _scaled(c, weights) * _scaled(b, scale)
            kink = -int(a) * _scaled(b, scale) if abs(a) == 1 else -scale * Fraction(b) / Fraction(a)
            old = jumps.get(kink, (0, 0))
            if a > 0:
                jumps[kink] = (old[0] + rise, old[1] + lift)
            else:
                jumps[kink] = (old[0] - rise, old[1] - lift)
                slope, intercept = slope + rise, intercept + lift
        kinks = sorted(jumps)
        slopes = accumulate((jumps[k][0] for k in kinks), initial=slope)
        intercepts = accumulate((jumps[k][1] for k in kinks), initial=intercept)
        whole = scale * weights
        return (
            [Fraction(k) / scale if isinstance(k, Fraction) else Fraction(k, scale) for k in kinks],
            [Fraction(value, whole) for value in slopes],
            [Fraction(value, whole) for value in intercepts],
        )


def relu(shift: float = 0.0) -> ReluSum:
    """relu(t + shift), one unit; it equals t + shift wherever that is not negative."""
    return ReluSum([1.0], [shift], [1.0])


def linear(coefficient: float, radius: float, at_zero: float = 0.0) -> ReluSum:
    """coefficient * t + at_zero on [-radius, infinity) with one unit: c relu(t + radius) - c radius."""
    return ReluSum([1.0], [radius], [coefficient], at_zero - coefficient * radius)


def signed(coefficient: float, at_zero: float = 0.0) -> ReluSum:
    """coefficient * t + at_zero everywhere, exactly, with two units."""
    return ReluSum([1.0, -1.0], [0.0, 0.0], [coefficient, -coefficient], at_zero)


def clip(low: float, high: float) -> ReluSum:
    """clip(t, low, high) with two units: low + relu(t - low) - relu(t - high)."""
    return ReluSum([1.0, 1.0], [-low, -high], [1.0, -1.0], low)


def gate(margin: float) -> ReluSum:
    """clip(t / margin, 0, 1) with two units, written so that it is exactly 1 from `margin` on."""
    return ReluSum([-1.0, -1.0], [margin, 0.0], [-1 / margin, 1 / margin], 1.0)


def _common_denominator(*vectors: Vector) -> int:
    """The largest denominator of any entry: a power of two, so all of them divide it."""
    return max((x.as_integer_ratio()[1] for v in vectors for x in v.tolist()), default=1)


def _scaled(x: float, denominator: int) -> int:
    """x times a multiple of its own denominator."""
    numerator, own = x.as_integer_ratio()
    return numerator * (denominator // own)
