"""Upper bounds on quadratic forms and norms, each checked in rationals before it is returned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from heapq import heappop, heappush
from itertools import combinations, product

import numpy as np
from flint import fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import from_flint, to_flint

WITHIN = 1.03
"""How far a bound of `largest_response` may be above the largest value seen, before its budget is spent."""

BUDGET = 600
"""How many directions `largest_response` evaluates at most."""

_TINY = 1e-120
"""Below this, squares of floats vanish, and sums of sizes are taken as bounds."""

_MOST_ORTHANTS = 6
"""Up to this many directions all orthants are covered; their number doubles with each."""


def is_positive(matrix: fmpq_mat) -> bool:
    """Whether a symmetric rational matrix is positive definite: all leading minors are positive.

    >>> is_positive(fmpq_mat(2, 2, [2, 1, 1, 2])), is_positive(fmpq_mat(2, 2, [1, 2, 2, 1]))
    (True, False)
    """
    rows = matrix.tolist()
    return all(fmpq_mat([row[:k] for row in rows[:k]]).det() > 0 for k in range(1, len(rows) + 1))


def floats(matrix: fmpq_mat) -> np.ndarray:
    """The entries, each rounded; (rows, columns)."""
    return np.array([[float(from_flint(value)) for value in row] for row in matrix.tolist()])


def _sum_of_sizes(matrix: fmpq_mat) -> float:
    """At least the sum of |entry|, which bounds everything here, also where floats of entries vanish."""
    return math.nextafter(
        float(sum((abs(from_flint(value)) for value in matrix.entries()), Fraction(0))), math.inf
    )


def is_above(diagonal: Sequence[float], matrix: fmpq_mat) -> bool:
    """Whether diag(diagonal) - matrix is positive definite; the floats are taken as exact."""
    size = len(diagonal)
    rows = [[to_flint(value) if i == j else fmpq(0) for j in range(size)] for i, value in enumerate(diagonal)]
    return is_positive(fmpq_mat(rows) - matrix)


def largest_eigenvalue(matrix: fmpq_mat) -> float:
    """At least the largest eigenvalue of a symmetric rational matrix, and at least 0."""
    values = floats(matrix)
    size = float(np.abs(values).sum())
    if size < _TINY:
        return _sum_of_sizes(matrix) if any(matrix.entries()) else 0.0
    guess, slack = max(float(np.linalg.eigvalsh(values)[-1]), 0.0), 1e-13
    while not is_above([guess + slack * size] * len(values), matrix):
        slack *= 8
    return guess + slack * size


def spectral_norm(matrix: fmpq_mat) -> float:
    """At least the 2-norm of a rational matrix."""
    square = matrix.transpose() * matrix
    return float(np.nextafter(np.sqrt(largest_eigenvalue(square)), np.inf))


def two_ball_bound(matrix: fmpq_mat) -> float:
    """At least E z^T M z for z = (x, y) with E norm2(x)^2 <= 1 and E y^2 <= 1; M symmetric, rational.

    It is lambda + mu with diag(lambda I, mu) - M positive definite, the least that is found; the dual of
    such a problem with two balls has no gap.
    """
    values = floats(matrix)
    size = float(np.abs(values).sum())
    if size < _TINY:
        return _sum_of_sizes(matrix) if any(matrix.entries()) else 0.0
    d = len(values) - 1
    inner, cross, corner = values[:d, :d], values[:d, d], float(values[d, d])

    def upper(t: float) -> tuple[float, float]:
        mu = max(corner, 0.0) + float(np.exp(t))
        return max(float(np.linalg.eigvalsh(inner + np.outer(cross, cross) / (mu - corner))[-1]), 0.0), mu

    if cross.any():
        low, high = np.log(size) - 16.0, np.log(size) + 1.0
        golden = (5**0.5 - 1) / 2
        for _ in range(24):
            left, right = high - golden * (high - low), low + golden * (high - low)
            if sum(upper(left)) <= sum(upper(right)):
                high = right
            else:
                low = left
        lam, mu = upper((low + high) / 2)
    else:
        lam, mu = max(float(np.linalg.eigvalsh(inner)[-1]), 0.0), max(corner, 0.0)
    slack = 1e-12
    while not is_above([lam + slack * size] * d + [mu + slack * size], matrix):
        slack *= 8
    return float(np.nextafter((lam + slack * size) + (mu + slack * size), np.inf))


def largest_response(forms: Sequence[fmpq_mat], within: float = WITHIN, budget: int = BUDGET) -> float:
    """At least max norm2((E z^T S_e z)_e) over z = (x, y) with E norm2(x)^2 <= 1 and E y^2 <= 1.

    h(v) = max E z^T (sum v_e S_e) z is convex and homogeneous, so on the cone of v_1, .., v_k it is at most
    c . v for every c with c . v_i >= h(v_i), and then the maximum over unit v there is at most norm2(c).
    Cones that cover all directions are split where this is largest; their vertices are whole numbers.
    """
    count = len(forms)
    used = [form for form in forms if any(form.entries())]
    if not used:
        return 0.0
    d = used[0].nrows() - 1
    if all(_only_crosses(form) for form in used):  # then it is linear in E y x, which is in the unit ball
        return 2 * spectral_norm(fmpq_mat([[form[b, d] for b in range(d)] for form in used]))
    if count > _MOST_ORTHANTS:
        each = [max(two_ball_bound(form), two_ball_bound(-form)) for form in used]
        return math.nextafter(math.hypot(*each) * (1 + 1e-12), math.inf)
    known: dict[tuple[int, ...], float] = {}

    def h(v: tuple[int, ...]) -> float:
        if v not in known:
            total = forms[0] * v[0]
            for weight, form in zip(v[1:], forms[1:], strict=True):
                total = total + form * weight
            known[v] = two_ball_bound(total)
        return known[v]

    def ceiling(cone: tuple[tuple[int, ...], ...]) -> float:
        heights = np.array([h(v) for v in cone])
        wanted = heights * (1 + 1e-12) + 1e-13 * heights.max()
        c = np.linalg.solve(np.array(cone, dtype=float), wanted)
        exact = [to_flint(value) for value in c.tolist()]
        for v, height in zip(cone, heights.tolist(), strict=True):
            if sum((entry * weight for entry, weight in zip(exact, v, strict=True)), fmpq(0)) < to_flint(
                height
            ):
                return float("inf")
        return math.nextafter(math.hypot(*c.tolist()) * (1 + 1e-14), math.inf)

    heap: list[tuple[float, int, tuple[tuple[int, ...], ...]]] = []
    made = 0
    for signs in product((1, -1), repeat=count):
        cone = tuple(tuple(s if i == j else 0 for j in range(count)) for i, s in enumerate(signs))
        heappush(heap, (-ceiling(cone), made, cone))
        made += 1
    while len(known) < budget:
        bound, _, cone = heap[0]
        seen = max(value / float(np.linalg.norm(v)) for v, value in known.items())
        if -bound <= within * seen or count == 1:
            break
        heappop(heap)
        i, j = _longest_edge(cone)
        middle = _middle(cone[i], cone[j])
        for at in (i, j):
            part = (*cone[:at], middle, *cone[at + 1 :])
            heappush(heap, (-min(ceiling(part), -bound), made, part))
            made += 1
    return -heap[0][0]


def _only_crosses(form: fmpq_mat) -> bool:
    d = form.nrows() - 1
    return not form[d, d] and not any(form[a, b] for a in range(d) for b in range(d))


def _longest_edge(cone: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    unit = np.array(cone, dtype=float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return min(combinations(range(len(cone)), 2), key=lambda pair: float(cosines[pair]))


def _middle(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """A whole vector between two others, after doubling a much shorter one."""
    short, long = sorted((left, right), key=lambda v: sum(x * x for x in v))
    while 4 * sum(x * x for x in short) <= sum(x * x for x in long):
        short = tuple(2 * x for x in short)
    return tuple(x + y for x, y in zip(short, long, strict=True))
