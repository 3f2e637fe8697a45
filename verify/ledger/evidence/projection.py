"""Evidence for findings about Proj in arXiv 2411.16549: the cost of projections as ReLU networks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import sympy

from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.scalar import Scalar, t
from icgd.verify.ledger.entries import Numbers
from icgd.verify.ledger.settled import RAISED


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


def continuity(halvings: int = 40) -> Numbers:
    """Onto a closed W that is not convex no continuous projection exists: W = {-1, 1}, in rationals.

    For any closed W: if a and b are nearest to x, then b alone is nearest to x + t (b - x) for 0 < t <= 1, as
    |x + t (b - x) - c| >= |x - c| - t |b - x| >= (1 - t) |b - x|, with equality for c = b only.  So a choice
    of a at x jumps there; an MLP does not.  Unique nearest points make W convex (Bunt, Motzkin).
    """
    W = (Fraction(-1), Fraction(1))

    def nearest(w: Fraction) -> list[Fraction]:
        least = min(abs(w - value) for value in W)
        return [value for value in W if abs(w - value) == least]

    near = [Fraction(1, 2**k) for k in range(1, halvings)]
    right, left = [nearest(w) for w in near], [nearest(-w) for w in near]
    jump = right[-1][0] - left[-1][0]
    box = [_clip([w], Fraction(1))[0] for w in (near[-1], -near[-1])]
    return {
        "nearest": len(nearest(Fraction(0))),
        "jump": str(jump),
        "within": "2" + f"-{halvings - 1}".translate(RAISED),
        "shows": len(nearest(Fraction(0))) == 2 and all(one == [W[1]] for one in right)
        and all(one == [W[0]] for one in left) and jump == 2 and box[0] - box[1] == 2 * near[-1],
    }  # fmt: skip


def clearing(N: int = 3, K: int = 4, d: int = 2) -> Numbers:
    """The last MLP must also return the scratch of a step to 0: two ReLUs a number that it holds.

    p, r', g and s as the proof stores them; counted beside the D_w units that the theorem grants to Proj.
    """
    units = (N - 1) * K + d
    scratch = 3 * units + d  # p(1..N), r'(1..N), s(1..N) and g
    weights = 2 * d * K + (N - 2) * K**2
    p = [Fraction(k - 2, 3) for k in range(scratch)]
    cleared = [v - max(Fraction(0), v) + max(Fraction(0), -v) for v in p]
    one_missing = [v - max(Fraction(0), v) for v in p]
    return {
        "scratch": scratch,
        "units": 2 * scratch,
        "D_w": weights,
        "shows": not any(cleared) and any(one_missing) and 2 * scratch > weights,
    }
