"""How l(r(z), y) bends in z, the pre-activation of an output unit: bounds by how large z may be."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import flint
import numpy as np

from icgd.bounds.functions.envelope import BINS
from icgd.bounds.functions.relu_sum import Vector
from icgd.bounds.functions.scalar import PRECISION, ball_between, lower_float, upper_float
from icgd.bounds.problem import Problem

_PARTS, _TARGETS = 8, 12
"""Into how many parts a bin is cut; and the range of y, where the second derivative is not linear in y."""
_ROOM, _ROOM_IN_TWO = 2.0**-10, 2.0**-4
"""Relative: a checker may enclose less tightly, and less still where z and y are both cut."""


class OutputCurvature(NamedTuple):
    """Bounds on the second derivative of l(r(z), y) in z for |z| <= reach * m / BINS, m = 0..BINS.

    at_zero, at_most: bounds where y = 0 and where |y| <= B_y, no less than 0 and at_zero: between the two the
    bound is linear in |y|, as the derivative is linear in y, or at_zero is no better than at_most.
    """

    at_zero: Vector
    at_most: Vector


def output_curvature(problem: Problem, reach: float) -> tuple[OutputCurvature, OutputCurvature]:
    """The bounds on balls, on the derivative and on its negative; raises ValueError if they are infinite.

    With u = l'(r(z)), the second derivative is l''(r(z)) r'(z)^2 + u r''(z).
    """
    linear = problem.loss.rho == 0 or problem.loss.phi.derivative.is_constant
    ends = [-problem.B_y, 0.0, problem.B_y]
    if not linear:
        ends = np.linspace(-problem.B_y, problem.B_y, _TARGETS + 1).tolist()
    targets = [(y, y) for y in ends] if linear else [*pairwise(ends)]
    parts = _PARTS if linear else _PARTS // 2
    edges = np.linspace(0.0, reach, BINS * parts + 1).tolist()
    tops = np.full((2, len(targets), BINS * parts), -np.inf)
    with flint.ctx.workprec(PRECISION):
        for i, (a, b) in enumerate(pairwise(edges)):
            for k, y in enumerate(targets):
                found = [_second_derivative(problem, *z, *y) for z in ((a, b), (-b, -a))]
                tops[:, k, i] = max(high for _, high in found), max(-low for low, _ in found)
    if not np.isfinite(tops).all():
        raise ValueError(
            f"the curvature of {problem.loss.name} after {problem.activation.name} is not finite"
        )
    tops = np.maximum.accumulate(tops.reshape(2, len(targets), BINS, parts).max(axis=-1), axis=-1)
    tops = np.maximum(np.concatenate([tops[..., :1], tops], axis=-1), 0.0)
    tops = np.where(tops > 0, tops + (_ROOM if linear else _ROOM_IN_TWO) * tops.max(), 0.0)
    most = tops.max(axis=1)
    above, below = zip(tops[:, 1] if linear else most, most, strict=True)
    return OutputCurvature(*above), OutputCurvature(*below)


def _second_derivative(
    problem: Problem, low: float, high: float, least: float, most: float
) -> tuple[float, float]:
    """Its range for z in [low, high] and y in [least, most], by enclosure or by the mean value theorem."""
    r, loss = problem.activation_at(problem.N).r, problem.loss
    z, y, middle = ball_between(low, high), ball_between(least, most), flint.arb((low + high) / 2)

    def jet(at: flint.arb, order: int) -> list[flint.arb]:
        p = r.jet(at, order + 2)
        phi = loss.phi.jet(p[0] - loss.rho * y, order + 1)
        u = phi[0] - loss.sigma * y
        found = [phi[1] * p[1] ** 2 + u * p[2]]
        if order:
            found.append(phi[2] * p[1] ** 3 + 3 * phi[1] * p[1] * p[2] + u * p[3])
        return found

    whole, *rise = jet(z, 0 if loss.phi.kinks else 1)
    ranges = [whole]
    if rise:
        ranges.append(jet(middle, 0)[0] + rise[0] * (z - middle))
    finite = [one for one in ranges if one.is_finite()]
    if not finite:
        return -np.inf, np.inf
    return max(map(lower_float, finite)), min(map(upper_float, finite))
