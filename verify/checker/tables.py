"""Tables of a function of one variable: Taylor polynomials on a few intervals, and bounds on what they leave.

Both come from balls (`icgd.verify.checker.power_series`), by Taylor's theorem for the function and for each
of its derivatives.  Values at many floats are then sums and products, whose rounding is part of the bounds: a
sum or product of floats is off by at most 2^-53 of itself.  Nothing comes from the rest of the project.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from math import factorial

import numpy as np
from flint import arb, ctx

from icgd.verify.checker.directed import Floats, above
from icgd.verify.checker.power_series import Function, coefficients

Places = np.ndarray[tuple[int, ...], np.dtype[np.intp]]
TERMS, DERIVATIVES, MOST_INTERVALS = 16, 6, 256
REST, FINEST = 2.0**-54, 2.0**-30
"""How much a polynomial may leave, relative to the sum of its terms' sizes; how narrow an interval may be,
relative to the reach; at that, or where intervals run out, polynomials leave more."""


class Table:
    """A function f and its first derivatives on [-reach, reach].

    edges: the ends of the intervals, in order.  errors: bounds on how far each derivative (one a row) is from
    its polynomial on each interval (one a column).  most: bounds on its size there.  Both are nan where there
    is no polynomial, and no comparison with nan is true.
    """

    def __init__(self, f: Function, reach: float) -> None:
        self.f, self.reach, cap = f, reach, ctx.cap
        ctx.cap = max(cap, 2 * TERMS)  # more than TERMS + 1 where f is itself a derivative
        try:
            rows = self._rows()
        finally:
            ctx.cap = cap
        self.edges = np.array([row.low for row in rows] + [reach])
        self.middles = np.array([row.middle for row in rows])
        self.coefficients = [np.array([row.terms[k] for row in rows]).T for k in range(DERIVATIVES)]
        self.errors = np.array([row.errors for row in rows]).T
        self.most = np.array([row.most for row in rows]).T

    def _rows(self) -> list[_Polynomials]:
        """Intervals are halved where most is left first, so that none is coarse because another is fine."""
        todo, rows = [_Polynomials(self.f, -self.reach, self.reach)], list[_Polynomials]()
        while todo:
            made = heappop(todo)
            wide = made.high - made.low > FINEST * self.reach
            if made.rough and wide and len(todo) + len(rows) < MOST_INTERVALS:
                for low, high in ((made.low, made.middle), (made.middle, made.high)):
                    heappush(todo, _Polynomials(self.f, low, high))
            else:
                made.work_out()
                rows.append(made)
        return sorted(rows, key=lambda row: row.low)

    def place(self, x: Floats) -> Places:
        """The interval in which each x lies."""
        return np.clip(np.searchsorted(self.edges, x, "right") - 1, 0, len(self.middles) - 1)

    def at(self, x: Floats, k: int, place: Places) -> Floats:
        """Derivative k at x, up to `errors[k][place]`; each x lies in its interval `place`."""
        t, (*rest, first) = x - self.middles[place], self.coefficients[k]
        value = first[place]
        for row in reversed(rest):
            value = value * t + row[place]
        return value


class Tables:
    """One table for all reaches between two powers of 2, unless f may be undefined between them."""

    def __init__(self) -> None:
        self.made = dict[tuple[Function, float], Table]()

    def reaching(self, f: Function, reach: float) -> Table:
        """A table of f to the next power of 2, or to the reach itself where that one has gaps."""
        part, power = math.frexp(reach)
        rounder = self._to(f, math.ldexp(1.0, power) if part > 0.5 else math.ldexp(0.5, power))
        return rounder if np.all(np.isfinite(rounder.errors)) else self._to(f, float(reach))

    def _to(self, f: Function, reach: float) -> Table:
        if (f, reach) not in self.made:
            self.made[f, reach] = Table(f, reach)
        return self.made[f, reach]


class _Polynomials:
    """The Taylor polynomials of f and its derivatives around the middle of [low, high].

    rough: whether they leave too much; what leaves the most is the least in order.  terms: their
    coefficients, as floats.  errors, most: as in a table.
    """

    def __init__(self, f: Function, low: float, high: float) -> None:
        self.f, self.low, self.middle, self.high = f, low, low + (high - low) / 2, high
        far = (arb(high) - self.middle).max(arb(self.middle) - low)
        self.powers = [far**j for j in range(TERMS + 1)]
        *whole, last = coefficients(f, arb(low).union(arb(high)), TERMS)
        self.last = abs(last)
        size = REST * sum((abs(whole[j]) * self.powers[j] for j in range(TERMS)), arb(0)).upper()
        self.rough = not (self.left(0) <= size and self.left(1) * far <= 16 * size)

    def __lt__(self, other: _Polynomials) -> bool:
        mine, theirs = (float(one.left(0).upper()) for one in (self, other))
        return mine > theirs or mine != mine

    def left(self, k: int) -> arb:
        """A bound on what Taylor's polynomial of derivative k leaves."""
        return self.last * self.powers[TERMS - k] * (factorial(TERMS) // factorial(TERMS - k))

    def work_out(self) -> None:
        """Set coefficients and bounds; they are nan where f has none."""
        exact = coefficients(self.f, arb(self.middle), TERMS - 1)
        self.terms, self.errors, self.most = list[list[float]](), list[float](), list[float]()
        for k in range(DERIVATIVES):
            terms = [exact[j + k] * (factorial(j + k) // factorial(j)) for j in range(TERMS - k)]
            self.terms.append([float(one) for one in terms])
            # The second term is more than what is lost where numbers near 0 become 0.
            error = most = self.left(k) + arb(2) ** -1000 * (1 + self.powers[TERMS])
            for j, (one, term) in enumerate(zip(terms, self.terms[-1], strict=True)):
                size = abs(arb(term)) * self.powers[j]
                error += abs(one - term) * self.powers[j] + size * (3 * j + 2) * arb(2) ** -53
                most += size
            self.errors.append(above(error))
            self.most.append(above(most + error))
