"""The pieces of a sum of ReLUs, exactly, and what floats show about their distance from a function.

Sums of integers stand for the sum, so that its values are rounded once.  A function comes from its table
(`icgd.verify.checker.tables`); a piece that floats do not settle is left to `icgd.verify.checker.lemmas`.
Nothing comes from the rest of the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from flint import fmpq

from icgd.verify.checker.directed import Floats, up
from icgd.verify.checker.power_series import exact
from icgd.verify.checker.tables import Table


class Pieces(NamedTuple):
    """Pieces of a sum between neighbouring points, as exact integers in powers of 2, and as floats.

    points: one more than pieces.  slopes, lifts: integers, in units of 2^unit.  rises, values: the slopes,
    and the sum at all points, each rounded once.
    """

    points: Floats
    slopes: list[int]
    lifts: list[int]
    unit: int
    rises: Floats
    values: Floats

    def exactly(self, i: int) -> tuple[fmpq, fmpq, fmpq, fmpq]:
        """Piece i as (start, end, slope, intercept)."""
        a, b = (exact(float(x)) for x in self.points[i : i + 2])
        return a, b, self.slopes[i] * fmpq(2) ** self.unit, self.lifts[i] * fmpq(2) ** self.unit


@np.errstate(all="ignore")
def pieces(relus: Mapping[str, Any], reach: float, cuts: Floats) -> Pieces | None:
    """The pieces on [-reach, reach], cut at more points; None where floats might not be enough.

    Every |a| is a power of 2 here, so that kinks are floats, and no number is so large or small that it is
    in doubt.
    """
    read = [np.array(relus[key], dtype=np.float64) for key in "abc"]
    a, b, c = (np.append(x, [one] * len(cuts)) for x, one in zip(read, (1.0, 0.0, 0.0), strict=True))
    b[len(read[1]) :] = -cuts
    rest = np.array([relus["constant"], reach], dtype=np.float64)
    size = np.abs(np.concatenate([a, b, c, rest]))
    as_written = all(x.tolist() == [*relus[key]] for x, key in zip(read, "abc", strict=True))
    as_written &= rest.tolist() == [relus["constant"], reach]  # integers may be too long for floats
    sane = np.all((size == 0) | (size >= 2.0**-100) & (size <= 2.0**60))
    if not (as_written and sane and np.all(np.abs(np.frexp(a)[0]) == 0.5) and len(a) == len(b) == len(c)):
        return None
    order = np.argsort(-b / a, kind="stable")
    a, b, c = a[order], b[order], c[order]
    kinks = -b / a
    first, last = np.searchsorted(kinks, -reach, "right"), np.searchsorted(kinks, reach, "left")
    points = np.concatenate([[-reach], kinks[first:last], [reach]])
    parts, fine = _integers(np.concatenate([np.abs(a), b * np.sign(a), points]))
    sizes, unit = _integers(np.append(c, rest[0]))
    steps = [x * y for x, y in zip(parts, sizes[:-1], strict=False)]
    jumps = [x * y for x, y in zip(parts[len(a) :], sizes[:-1], strict=False)]
    falling = np.flatnonzero(a < 0).tolist()
    slope = sum(steps[:first]) - sum(steps[i] for i in falling)
    lift = (sizes[-1] << -fine) + sum(jumps[:first]) - sum(jumps[i] for i in falling)
    slopes, lifts = (
        [*accumulate(x[first:last], initial=start)] for x, start in ((steps, slope), (jumps, lift))
    )
    at = zip([*slopes, slopes[-1]], [*lifts, lifts[-1]], parts[2 * len(a) :], strict=True)
    values = np.ldexp([float(rise * x + (lift << -fine)) for rise, lift, x in at], unit + 2 * fine)
    rises = np.ldexp([float(x) for x in slopes], unit + fine)
    return Pieces(points, slopes, lifts, unit + fine, rises, values)


def _integers(x: Floats) -> tuple[list[int], int]:
    """Floats as integers in units of a power of 2 that is at most 1, and its exponent."""
    part, power = np.frexp(x)
    unit = min(int(power.min()) - 53, 0)
    whole = (part * 2.0**53).astype(np.int64).tolist()
    return [n << shift for n, shift in zip(whole, (power - 53 - unit).tolist(), strict=True)], unit


HALVINGS, TINY = 5, 1.01 * 2.0**-52
"""How often floats halve a piece before balls judge it; a little over twice what one operation rounds."""


@np.errstate(all="ignore")
def unsettled(table: Table, k: int, found: Pieces, error: float) -> list[int]:
    """The pieces on which floats do not show that the sum is within the error of derivative k of f."""
    if float(error) != error:
        return [*range(len(found.rises))]
    ends = np.stack([found.points, found.values, TINY * np.abs(found.values)])
    left, right, rises = ends[:, :-1], ends[:, 1:], found.rises
    whose, lost = np.arange(len(rises)), set[int]()
    for _ in range(HALVINGS):
        middle = left[0] + (right[0] - left[0]) / 2
        at_ends, inside = _distances(table, k, left, right, rises, middle)
        lost |= {*whose[~(at_ends <= error)].tolist()}
        more = (at_ends <= error) & ~(inside <= error)
        middles = _on_line(left, rises, middle)[:, more]
        left, right = np.hstack([left[:, more], middles]), np.hstack([middles, right[:, more]])
        rises, whose = np.tile(rises[more], 2), np.tile(whose[more], 2)
        if not len(whose):
            break
    return sorted(lost | {*whose.tolist()})


def _on_line(left: Floats, rises: Floats, x: Floats) -> Floats:
    """Rows x, values of lines at x, and bounds on their rounding; left: the same at the lines' left ends."""
    along = rises * (x - left[0])
    return np.stack([x, left[1] + along, up(left[2] + TINY * (np.abs(left[1]) + 2 * np.abs(along)))])


def _distances(
    table: Table, k: int, left: Floats, right: Floats, rises: Floats, middle: Floats
) -> tuple[Floats, Floats]:
    """Bounds on |f^(k) - line| at the ends of pieces, and between them if it is no larger at the ends.

    Where f^(k) bends one way, a tangent bounds it on one side, and the ends do on the other.  Each piece lies
    in one interval of the table.
    """
    place = table.place(left[0])  # the middle of a piece of two neighbouring floats is one of them

    def apart(at: Floats) -> Floats:
        x, value, slack = at
        return up(up(np.abs(table.at(x, k, place) - value)) + up(slack + table.errors[k][place]))

    touch, start, end = middle, left[0], right[0]
    for _ in range(3):
        step = (table.at(touch, k + 1, place) - rises) / table.at(touch, k + 2, place)
        touch = np.clip(np.where(np.isfinite(step), touch - step, touch), start, end)
    tilt, bend = table.at(touch, k + 1, place) - rises, table.at(touch, k + 2, place)
    loss = up(up(TINY * (np.abs(rises) + np.abs(tilt))) + table.errors[k + 1][place])
    spread = up(up(table.most[k + 3][place] * up(end - start)) + table.errors[k + 2][place])
    before, after, fall = up(touch - start), up(end - touch), tilt * np.sign(bend)
    tangent = np.maximum(
        up(np.maximum(0, up(loss + fall)) * before), up(np.maximum(0, up(loss - fall)) * after)
    )
    far = np.maximum(before, after)
    curve = up(up(np.abs(bend) + spread) * up(far * far)) / 2
    parabola = up(up(up(np.abs(tilt) + loss) * far) + curve)
    beyond = np.where(np.abs(bend) > spread, tangent, parabola)
    return np.maximum(apart(left), apart(right)), up(apart(_on_line(left, rises, touch)) + beyond)
