"""Evidence for findings about Proj in arXiv 2411.16549: the cost of projections as ReLU networks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import sympy

from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.scalar import Scalar, t
from icgd.verify.ledger.entries import Numbers


def _clip(w: Sequence[Fraction], h: Fraction) -> tuple[Fraction, ...]:
    return tuple(max(-h, min(h, value)) for value in w)


def _network(w: Sequence[Fraction], h: Fraction, without: int | None = None) -> tuple[Fraction, ...]:
    """w plus a layer of two ReLUs per coordinate; `without`: the index of a ReLU to leave out."""
    total = list(w)
    for unit in range(2 * len(w)):
        c, sign = divmod(unit, 2)
        side = 1 - 2 * sign
        if unit != without:
            total[c] -= side * max(Fraction(0), side * w[c] - h)
    return tuple(total)


def box(D: int = 4, h: str = "1/2") -> Numbers:
    """The number of hyperplanes at which the projection onto a box bends, in rationals; each needs a ReLU.

    A hidden unit bends at one hyperplane only, so a layer bends at no more hyperplanes than it has units.
    """
    side, tiny = Fraction(h), Fraction(1, 1000)
    bends = 0
    for c in range(D):
        for place in (-side, Fraction(0), side):
            base = [Fraction(k + 1, 7 * (D + 1)) for k in range(D)]
            values = []
            for move in (-tiny, Fraction(0), tiny):
                base[c] = place + move
                values.append(_clip(base, side))
            slopes = [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in pairwise(values)]
            bends += slopes[0] != slopes[1]
    points = [tuple(Fraction((7 * k + 5 * c) % 11 - 5, 4) for c in range(D)) for k in range(44)]
    enough = all(_network(w, side) == _clip(w, side) for w in points)
    spare = [u for u in range(2 * D) if all(_network(w, side, u) == _clip(w, side) for w in points)]
    return {
        "D": D,
        "needed": bends,
        "facets": D + 1,
        "shows": bends == 2 * D and enough and not spare,
    }


def ball(tolerances: Sequence[float] = (1e-2, 1e-4)) -> Numbers:
    """Along the line (t, 4) the projection onto the unit disc is 4/sqrt(t^2 + 16): affine on no interval."""
    along = 4 / sympy.sqrt(t**2 + 16)
    bend = sympy.simplify(sympy.diff(along, t, 2))
    roots = sympy.solveset(bend, t, sympy.S.Reals)
    counts = [fit(Scalar(along), -8.0, 8.0, tolerance).fewest - 1 for tolerance in tolerances]
    # In rationals: the images of two points of the line and of their midpoint are not on a line.
    ends = [Fraction(4, 5), Fraction(1), Fraction(4, 5)]
    return {
        "flat_points": len(roots) if isinstance(roots, sympy.FiniteSet) else -1,
        "middle": str(ends[1]),
        "chord": str((ends[0] + ends[2]) / 2),
        "tolerance": tolerances[-1],
        "coarse": tolerances[0],
        "units": counts[-1],
        "growth": counts[-1] / counts[0],
        "shows": bend != 0 and isinstance(roots, sympy.FiniteSet) and ends[1] != (ends[0] + ends[2]) / 2
        and counts[-1] > counts[0] > 0,
    }  # fmt: skip


def not_convex(eta: str = "1/10", eps: str = "1/20") -> Numbers:
    """The closed W = {-1, 1}: 0 has two nearest points, and an allowed error can cross over, in rationals."""
    W = (Fraction(-1), Fraction(1))

    def nearest(w: Fraction) -> list[Fraction]:
        least = min(abs(w - value) for value in W)
        return [value for value in W if abs(w - value) == least]

    error = Fraction(eta) * Fraction(eps)
    left, right = -error / 2, error / 2
    apart = abs(nearest(right)[0] - nearest(left)[0])
    return {
        "nearest": len(nearest(Fraction(0))),
        "error": str(error),
        "apart": str(apart),
        "ratio": str(apart / (right - left)),
        "shows": len(nearest(Fraction(0))) > 1 and apart > right - left,
    }
