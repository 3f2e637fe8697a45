"""Products of two numbers as differences of squares, and r'(z) times g with room for rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from icgd.bounds.functions.pieces import Fit, square
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import LayerRanges, Term

_LEAST = 2.0**-200
"""The range assumed for factors that are 0, so that both can still be scaled to the same range."""

RANGE_ROOM = 2e-3
"""How far, relatively, fits and products extend beyond their planned ranges, which rounding moves."""


@dataclass(frozen=True)
class Product:
    """x*g for x in [low, high], |g| <= radius: centre*g plus a difference of two squares.

    With rho = x - centre, (x - centre) g = ((a rho + b g)^2 - (a rho - b g)^2) / (4 a b), and a, b chosen so
    that both factors have the same range.  Centring x first saves pieces wherever r' has one sign.

    low, high, radius: where it holds.  square: the fit of t^2 that both differences use, or None where
    x varies by rounding only.  error: certified bound on |approximation - x*g|.
    """

    low: float
    high: float
    radius: float
    centre: float
    a: float
    b: float
    square: Fit | None
    error: float

    @classmethod
    def within(cls, low: float, high: float, radius: float, tolerance: float) -> Product:
        """The product with error at most `tolerance` and the fewest pieces this form allows.

        tolerance: 0 for an x that varies by rounding only, which is taken as constant.
        """
        centre = (high + low) / 2
        half = max((high - low) / 2 + 2.0**-46 * max(abs(low), abs(high)), _LEAST)
        radius = max(radius, _LEAST)
        if tolerance == 0:
            return cls(low, high, radius, centre, 1.0, 1.0, None, half * radius)
        a = math.sqrt(radius / half)
        b = 1 / a
        mismatch = abs(a * b - 1) + 2.0**-52
        spare = tolerance - mismatch * half * radius
        if spare <= 0:
            raise ProblemError(
                "eps", f"(local tolerance {tolerance:.3g})", "it is below float64 resolution; raise eps"
            )
        fitted = square((a * half + b * radius) * (1 + 1e-12), 2 * spare)
        return cls(low, high, radius, centre, a, b, fitted, fitted.error / 2 + mismatch * half * radius)

    def reaches(self, low: float, high: float, radius: float) -> bool:
        """Whether it holds for x in [low, high] and |g| <= radius."""
        return self.low <= low <= high <= self.high and radius <= self.radius

    @property
    def units(self) -> int:
        """Hidden units per coordinate: two squares and the exact linear term."""
        return (2 * self.square.relus.units if self.square else 0) + (self.centre != 0)


def slope_product(
    problem: Problem,
    j: int,
    layer: LayerRanges,
    tolerances: Mapping[Term, float],
    rounding: Mapping[Term, float],
    room: float = RANGE_ROOM,
) -> Product:
    """r'(z) g in layer j, for r'(z) in its range widened by a share `room` and by rounding."""
    spread = room * (layer.dr_high - layer.dr_low) / 2 + 8 * rounding.get(Term("dr", j), 0.0)
    low, high, g = layer.dr_low - spread, layer.dr_high + spread, layer.g * (1 + room)
    if problem.activation_at(j).derivative.is_constant:
        return Product.within(low, high, g, 0.0)
    tolerance = tolerances[Term("product", j)]
    if (layer.dr_high - layer.dr_low) / 2 * g <= 1.25 * tolerance:  # a constant r' is enough, or nearly so,
        rounded = (high - low) / 2 + 2.0**-45 * max(abs(low), abs(high))
        tolerance = max(tolerance, 1.01 * rounded * g)  # and ReLUs cannot reduce what rounding adds
    return Product.within(low, high, g, tolerance)
