"""The optimal step sizes of preconditioned descent on random least squares, exactly, for every depth.

With A_l = a_l S^-1 and x ~ N(0, S), w ~ N(0, S^-1), the expected loss after L layers is E tr q(C)^2 with
C the sample covariance of n standard normal vectors and q(t) = prod_l (1 - a_l t).  For "sphere", x is
S^(1/2) u and C is that of n vectors u uniform on the sphere of radius sqrt(d).  It is quadratic in q,
so its minimum over q(0) = 1 is the polynomial orthogonal to all lower ones in the measure t dmu, mu the mean
spectrum of C; its roots are real, distinct and positive, and the optimal a_l are their inverses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import mpmath
from flint import Ordering, arb, arb_mat, ctx, fmpq, fmpq_mat, fmpq_mpoly_ctx, fmpq_poly

from icgd.bounds.algebra.gaussian_moments import wishart_traces
from icgd.bounds.algebra.rationals import from_flint, to_flint
from icgd.bounds.algebra.ring_matrices import Ring
from icgd.bounds.algebra.sphere_moments import sphere_traces

WORKING_BITS = 384


@lru_cache(maxsize=64)
def spectrum(n: int, d: int, top: int, covariates: str = "normal") -> tuple[Fraction, ...]:
    """E tr C^k for k = 0..top, C the sample covariance of n vectors ~ N(0, I_d), or on the sphere."""
    sphere = covariates == "sphere"
    traces = sphere_traces(n, d, top) if sphere else map(Fraction, wishart_traces(n, d, top))
    return tuple(value / n**k for k, value in enumerate(traces))


@dataclass(frozen=True)
class Steps:
    """The optimal step sizes for one depth.

    a: in descending order.  loss: their expected loss, exact.  q: coefficients of prod(1 - a_l t), exact.
    separated: rational points between which q changes its sign L times, which proves the roots real.
    """

    a: tuple[float, ...]
    loss: Fraction
    q: tuple[Fraction, ...]
    separated: tuple[Fraction, ...]

    @property
    def certified(self) -> bool:
        """Whether q changes its sign L times on positive points, in exact arithmetic."""
        signs = [_at(self.q, t) > 0 for t in self.separated]
        changes = sum(left != right for left, right in pairwise(signs))
        return changes == len(self.a) and self.separated[0] >= 0


@lru_cache(maxsize=64)
def best_steps(n: int, d: int, L: int, covariates: str = "normal") -> Steps:
    """The optimal a_1..a_L, unique up to their order.

    >>> best_steps(10, 2, 1).loss, best_steps(10, 2, 1).a  # d(d+1)/(n+d+1), n/(n+d+1)
    (Fraction(6, 13), (0.7692307692307692,))
    """
    m = spectrum(n, d, 2 * L, covariates)
    M = fmpq_mat(L, L, [to_flint(m[j + k + 2]) for j in range(L) for k in range(L)])
    right = fmpq_mat(L, 1, [to_flint(-m[k + 1]) for k in range(L)])
    solved = M.solve(right)
    q = (Fraction(1), *(from_flint(solved[k, 0]) for k in range(L)))
    loss = sum((c * value for c, value in zip(q, m, strict=False)), Fraction(0))
    integer = fmpq_poly([to_flint(c) for c in q]).numer()
    with _precision():
        found: list[Any] = integer.complex_roots()
        roots = sorted(float(root.real.mid()) for root, _ in found)
    between = [Fraction(0), *(Fraction(x) + (Fraction(y) - Fraction(x)) / 2 for x, y in pairwise(roots))]
    return Steps(tuple(1 / root for root in roots), loss, q, (*between, 2 * Fraction(roots[-1])))


def stationarity_defects(n: int, d: int, q: Sequence[Fraction], covariates: str = "normal") -> list[Fraction]:
    """E tr(C^(k+1) q(C)) for k < L, zero exactly at a critical point with distinct steps."""
    m = spectrum(n, d, 2 * len(q), covariates)
    return [sum((c * m[j + k + 1] for j, c in enumerate(q)), Fraction(0)) for k in range(len(q) - 1)]


def residual(L: int, t: Ring, a: Sequence[Ring], b: Sequence[Ring]) -> Ring:
    """q_L(t): the remaining factor of w* on an eigenvector of C with eigenvalue t, over any ring.

    b: steps of the transformation of x, L - 1 of them (the last layer's has no effect), or none.
    x is multiplied by tau, tau <- tau (1 - a b t tau^2), and q <- q (1 - a t tau^2) (Theorem 4).
    """
    q, tau = 1 + 0 * t, 1 + 0 * t
    for l in range(L):
        seen = t * tau * tau
        q = q * (1 - a[l] * seen)
        if l < len(b):
            tau = tau * (1 - a[l] * b[l] * seen)
    return q


@lru_cache(maxsize=32)
def transformed_loss(n: int, d: int, L: int) -> Any:
    """E tr q_L(C)^2 of Theorem 4's family as a flint polynomial in a_0..a_{L-1}, b_0..b_{L-2}."""
    names = [*(f"a{l}" for l in range(L)), *(f"b{l}" for l in range(L - 1))]
    context = fmpq_mpoly_ctx.get([*names, "t"], Ordering.lex)
    gens = context.gens()
    squared = residual(L, gens[-1], gens[:L], gens[L:-1]) ** 2
    terms = squared.to_dict()
    m = [to_flint(value) for value in spectrum(n, d, max(powers[-1] for powers in terms))]
    total: dict[tuple[int, ...], fmpq] = {}
    for powers, coefficient in terms.items():
        total[powers[:-1]] = total.get(powers[:-1], fmpq(0)) + coefficient * m[powers[-1]]
    return fmpq_mpoly_ctx.get(names, Ordering.lex).from_dict(total)


@dataclass(frozen=True)
class Critical:
    """A critical point of a polynomial, enclosed.

    centre, radius: of a box that holds exactly one critical point.  minimum: whether the Hessian is positive
    definite on the whole box.  value: enclosure of the polynomial on it.
    """

    centre: tuple[float, ...]
    radius: float
    minimum: bool
    value: tuple[float, float]


def enclose_critical(polynomial: Any, near: Sequence[float], radius: float = 1e-30) -> Critical | None:
    """A box around `near` that holds a critical point, by Krawczyk's test in Arb; None if it fails."""
    size = len(near)
    gradient = [polynomial.derivative(i) for i in range(size)]
    hessian = [[entry.derivative(j) for j in range(size)] for entry in gradient]

    def at(point: Sequence[arb], rows: Sequence[Sequence[Any]]) -> arb_mat:
        return arb_mat([[_evaluate(entry, point) for entry in row] for row in rows])

    with _precision():
        x = [arb(value) for value in near]
        try:
            for _ in range(5):
                step = at(x, hessian).solve(at(x, [[entry] for entry in gradient]))
                x = [(value - step[i, 0]).mid() for i, value in enumerate(x)]
            inverse = at(x, hessian).inv().mid()
            box = [value + arb(0, radius) for value in x]
            H = at(box, hessian)
            identity = arb_mat([[int(i == j) for j in range(size)] for i in range(size)])
            offset = arb_mat([[arb(0, radius)] for _ in x])
            image = (identity - inverse * H) * offset - inverse * at(x, [[entry] for entry in gradient])
            inside = all(abs(image[i, 0]) < arb(radius) for i in range(size))
        except (ZeroDivisionError, ValueError):
            return None
        if not inside:
            return None
        value = _evaluate(polynomial, box)
        low, high = float(value.lower()), float(value.upper())
        return Critical(tuple(float(v.mid()) for v in x), radius, _positive_definite(H), (low, high))


def _positive_definite(H: arb_mat) -> bool:
    """Whether every leading minor is certainly positive."""
    return all(
        bool(arb_mat([[H[i, j] for j in range(k)] for i in range(k)]).det() > 0)
        for k in range(1, H.nrows() + 1)
    )


def _evaluate(polynomial: Any, point: Sequence[arb]) -> arb:
    degrees = polynomial.degrees() if polynomial != 0 else (0,) * len(point)
    table = [[value**power for power in range(top + 1)] for value, top in zip(point, degrees, strict=True)]
    total = arb(0)
    for powers, coefficient in polynomial.to_dict().items():
        term = arb(coefficient)
        for column, power in zip(table, powers, strict=True):
            if power:
                term *= column[power]
        total += term
    return total


def _at(q: Sequence[Fraction], t: Fraction) -> Fraction:
    return sum((c * t**k for k, c in enumerate(q)), Fraction(0))


def _precision() -> Any:
    return ctx.workprec(WORKING_BITS)


@lru_cache(maxsize=32)
def spectral_rule(n: int, d: int, size: int, covariates: str = "normal") -> tuple[list[float], list[float]]:
    """Nodes t and weights of a Gauss rule for E tr f(C), exact for polynomials of degree 2 size - 1.

    Golub and Welsch's rule from the exact moments, with more digits than their Hankel matrix can lose.
    """
    m = spectrum(n, d, 2 * size, covariates)
    with mpmath.workdps(40 + 6 * size):
        hankel = mpmath.matrix(
            [
                [mpmath.mpf(m[i + j].numerator) / m[i + j].denominator for j in range(size + 1)]
                for i in range(size + 1)
            ]
        )
        R = mpmath.cholesky(hankel).T
        ratio = [R[k, k + 1] / R[k, k] for k in range(size)]
        J = mpmath.zeros(size)
        for k in range(size):
            J[k, k] = ratio[k] - (ratio[k - 1] if k else 0)
            if k:
                J[k, k - 1] = J[k - 1, k] = R[k, k] / R[k - 1, k - 1]
        nodes, vectors = mpmath.eigsy(J)
        return [float(t) for t in nodes], [float(d * vectors[0, k] ** 2) for k in range(size)]
