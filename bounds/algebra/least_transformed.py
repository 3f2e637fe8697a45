"""The least loss of Theorem 4's family with two layers (arXiv 2306.00297), decided by exact algebra.

With c = a_0 b_0 the loss is E tr (1 - a_0 C)^2 (1 - a_1 s(C))^2, s(t) = t (1 - c t)^2.  It is a parabola in
a_1 with least value M - N^2 / D, so no (a_0, a_1, c) has a loss below v exactly if

    H(a_0, c) = (M(a_0) - v) D(a_0, c) - N(a_0, c)^2 >= 0 everywhere.

H has degree 4 in c.  Where neither its leading coefficient nor its discriminant in c vanishes, the number of
its real roots c does not change; so one rational a_0 between any two real roots of these two polynomials
decides for the whole interval, and continuity decides for the roots.

With three layers the same elimination leaves four unknowns, (a_0, a_1, c_0, c_1), and an H of 1,625 terms and
degrees (4, 4, 20, 4), whose sign no discriminant decides; there the lowest loss is what a search found.

A way to a proof, tried in floats only: given x = (a_0, c_0), it is the problem of two layers for the moments
m_k(x) = E (1 - a_0 t)^2 s^k, s = t (1 - c_0 t)^2, so that two unknowns are left to branch over.  The rest of
the error is a polynomial p(s) of degree 4 that x is not in, so with M the Hankel matrix of m_0..m_8,
M(x') >= f M(x) carries a bound from x to a box around it.  And p = 1 + .. + p_4 s^4 obeys
c^2 p_2 + 2 c p_3 + 3 p_4 = 0, c = c_1, so that M^-1 bounds the loss below by the sign of a quartic in c.
With room for 5% of the loss (27 November 2026, one of two shared cores, d = 2), n = 20 took 21,506 boxes, 364
discriminants as above, and 10 s, n = 10 32,224, 930 and 22 s; with room for 1%, less than the gap to the next
minimum, n = 20 took 25,074, 2,914 and 43 s.  Each box still needs balls: too long for every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from flint import Ordering, ctx, fmpq, fmpq_mpoly_ctx, fmpq_poly

from icgd.bounds.algebra.best_steps import WORKING_BITS, spectrum
from icgd.bounds.algebra.rationals import from_flint, to_flint

_Polynomial = Any


def lower_point(n: int, d: int, value: Fraction) -> tuple[Fraction, Fraction, Fraction] | None:
    """A point (a_0, a_1, b_0) of two layers whose loss is below the value; None if there is provably none.

    Raises ValueError where the discriminant leaves the question open.
    """
    M, N, D = _moments(n, d)
    H = (M - to_flint(value)) * D - N * N
    leading = _in_first(_coefficient(H, 4), 0)
    discriminant = _in_first(H.discriminant("c"), 0)
    if leading.degree() < 0 or discriminant.degree() < 0:
        raise ValueError("the discriminant is 0 everywhere: not decided")
    for first in _between(_real_roots(leading * discriminant)):
        line = _in_first(H.subs({"a": to_flint(first)}), 1)
        roots = _real_roots(line)
        for where in _between(roots):
            if line(to_flint(where)) < 0 and first != 0:
                at = {"a": to_flint(first), "c": to_flint(where)}
                second = _in_first(N.subs(at), 0)(0) / _in_first(D.subs(at), 0)(0)
                return first, from_flint(second), where / first
    return None


def _moments(n: int, d: int) -> tuple[_Polynomial, _Polynomial, _Polynomial]:
    """M, N, D: E tr (1 - a t)^2 s^k for k = 0, 1, 2 as polynomials in a and c."""
    context = fmpq_mpoly_ctx.get(["a", "c", "t"], Ordering.lex)
    a, c, t = context.gens()
    s = t * (1 - c * t) ** 2
    made = [(1 - a * t) ** 2 * s**k for k in range(3)]
    m = [to_flint(value) for value in spectrum(n, d, max(one.degrees()[2] for one in made))]
    plain = fmpq_mpoly_ctx.get(["a", "c"], Ordering.lex)
    found = []
    for one in made:
        total: dict[tuple[int, ...], fmpq] = {}
        for powers, coefficient in one.to_dict().items():
            total[powers[:2]] = total.get(powers[:2], fmpq(0)) + coefficient * m[powers[2]]
        found.append(plain.from_dict(total))
    return found[0], found[1], found[2]


def _coefficient(polynomial: _Polynomial, power: int) -> _Polynomial:
    """The coefficient of c^power, a polynomial in a."""
    terms = polynomial.to_dict().items()
    return polynomial.context().from_dict({(i, 0): value for (i, j), value in terms if j == power})


def _in_first(polynomial: _Polynomial, index: int) -> fmpq_poly:
    """A polynomial in one generator only, as a univariate one."""
    values: dict[int, fmpq] = {powers[index]: value for powers, value in polynomial.to_dict().items()}
    return fmpq_poly([values.get(k, fmpq(0)) for k in range(max(values, default=0) + 1)])


def _real_roots(polynomial: fmpq_poly) -> list[tuple[Fraction, Fraction]]:
    """Disjoint rational intervals, in order, that hold one real root each; all real roots are in them."""
    before = ctx.prec
    try:
        ctx.prec = WORKING_BITS
        found: Sequence[Any] = polynomial.numer().complex_roots()
        real = [root.real for root, _ in found if root.imag == 0]
        ends = sorted((_exactly(one.lower()), _exactly(one.upper())) for one in real)
    finally:
        ctx.prec = before
    if any(left[1] >= right[0] for left, right in pairwise(ends)):
        raise ValueError("two real roots are not separated: not decided")
    return ends


def _exactly(ball: Any) -> Fraction:
    """The midpoint of a ball as a rational: exact, since it is a binary fraction."""
    mantissa, exponent = ball.mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _between(roots: Sequence[tuple[Fraction, Fraction]]) -> Iterator[Fraction]:
    """A rational number of few digits between any two neighbours, below the first and above the last."""
    if not roots:
        yield Fraction(0)
        return
    yield roots[0][0] - 1
    for (_, left), (right, _) in pairwise(roots):
        middle, room = (left + right) / 2, (right - left) / 4
        yield middle.limit_denominator(max(1, int(1 / room)))
    yield roots[-1][1] + 1
