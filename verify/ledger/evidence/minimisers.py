"""Evidence about who minimises the losses of linear and ReLU attention (arXiv 2306.00297)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import sympy
from flint import Ordering, fmpq, fmpq_mat, fmpq_mpoly_ctx

from icgd.bounds.algebra.best_steps import best_steps, spectrum, stationarity_defects
from icgd.bounds.algebra.expected_loss import global_minimum
from icgd.bounds.algebra.gaussian_moments import SampleCovariance
from icgd.bounds.algebra.rationals import to_flint
from icgd.bounds.preconditioned import PreconditionedProblem, minimiser
from icgd.verify.ledger.entries import Numbers


def _second_moments(d: int, n: int) -> tuple[list[list[Any]], list[list[fmpq]]]:
    """G = (1/n) sum_i z_i z_i^T, z = (x, w.x), x and w standard normal, and E G_ab G_cd for all entries."""
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    context = fmpq_mpoly_ctx.get(
        [*(f"C{i}{j}" for i, j in pairs), *(f"w{i}" for i in range(d))], Ordering.lex
    )
    gens = context.gens()
    C = [[gens[pairs.index((min(i, j), max(i, j)))] for j in range(d)] for i in range(d)]
    w = gens[len(pairs) :]
    Cw = [sum((C[i][j] * w[j] for j in range(d)), context.constant(0)) for i in range(d)]
    end = sum((w[i] * Cw[i] for i in range(d)), context.constant(0))
    G = [[*C[i], Cw[i]] for i in range(d)] + [[*Cw, end]]
    unit = [[context.constant(int(i == j)) for j in range(d)] for i in range(d)]
    moments = SampleCovariance(unit, context.constant(fmpq(1, n)))
    entries, normals = dict(enumerate(pairs)), list(range(len(pairs), len(gens)))
    flat = [entry for row in G for entry in row]
    table = [
        [sum(moments.expect(a * b, entries, normals).to_dict().values(), fmpq(0)) for b in flat] for a in flat
    ]
    return G, table


def not_unique(d: int = 2, n: int = 10) -> Numbers:
    """How many directions leave f_j(X) = E(<G, X> + w_j)^2 unchanged: skew-symmetric X, and no others.

    <G, K> = 0 for skew K as G is symmetric, and the rank of the quadratic part, in rationals, is the number
    of symmetric directions.
    """
    G, table = _second_moments(d, n)
    size = d + 1
    symmetric = all(G[a][b] == G[b][a] for a in range(size) for b in range(size))
    free = size**2 - fmpq_mat(table).rank()
    return {
        "d": d,
        "n": n,
        "free": free,
        "entries": size**2,
        "shows": symmetric and free == d * size // 2 > 0,
    }


def _zeros(d: int, n: int) -> tuple[bool, bool]:
    """Whether the squares behind Theorem 1 vanish together with v = 0, and with v != 0 at its matrices only.

    p = (u, v) is the last row of P, column j of Q is (a_j, c_j), S = I.  The squares are those of
    bounds/algebra/expected_loss.py: sym(u a_j^T) + v c_j I, v c_j, and c_j u + v a_j + e_j / N.
    """
    N = sympy.Rational(n + 1 + d, n)
    u, v, inverse = sympy.symbols(f"u:{d}"), sympy.Symbol("v"), sympy.Symbol("r")
    a = [sympy.symbols(f"a{j}_:{d}") for j in range(d)]
    c = sympy.symbols(f"c:{d}")
    equations = [v * value for value in c]
    for j, i, k in product(range(d), repeat=3):
        equations.append(u[i] * a[j][k] + u[k] * a[j][i] + 2 * v * c[j] * int(i == k))
    for j, k in product(range(d), repeat=2):
        equations.append(c[j] * u[k] + v * a[j][k] + int(j == k) / N)
    unknowns = [inverse, *u, *(value for row in a for value in row), *c, v]
    without = sympy.groebner([*equations, v], *unknowns)
    within = sympy.groebner([*equations, 1 - v * inverse], *unknowns)
    published = [*u, *c, *(v * a[j][k] + int(j == k) / N for j in range(d) for k in range(d))]
    return without.exprs != [1], within.exprs != [1] and all(within.contains(value) for value in published)


def only_minimiser(sizes: Sequence[int] = (1, 2, 3), n: int = 10) -> Numbers:
    """The global minimisers of one layer, up to scaling p against q: one family from d = 2 on, two at d = 1.

    Where the squares that Theorem 1's loss is made of vanish: if v c_j = 0 with v != 0, then c_j = 0,
    a_j = -e_j / (N_j v) and sym(u a_j^T) = 0 give u = 0, the published matrices.  If v = 0, then
    c_j u = -e_j / N_j for every j, which only d = 1 allows.  Both by hand and by Groebner bases at S = I.
    """
    found = {d: _zeros(d, n) for d in sizes}
    families = {d: int(other) + int(published) for d, (other, published) in found.items()}
    return {
        "n": n,
        "largest_d": sizes[-1],
        **{f"families_d{d}": count for d, count in families.items()},
        "shows": all(published for _, published in found.values())
        and all(global_minimum(d).proved for d in sizes)
        and all(count == (2 if d == 1 else 1) for d, count in families.items()),
    }


def attained(n: int = 10, d: int = 2, depths: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> Numbers:
    """Theorem 3's family has a point of gradient 0 at every depth: the least loss over (a_l) is attained.

    The loss is c^T H c, c the coefficients of prod_l (1 - a_l t) and H_jk = E tr C^(j+k), positive definite,
    so c stays bounded where it does; with it sum a_l^2 = c_1^2 - 2 c_2 does.  The minimiser is known exactly.
    """
    exact, definite = [], []
    for L in depths:
        steps = best_steps(n, d, L)
        exact.append(steps.certified and not any(stationarity_defects(n, d, steps.q)))
        m = spectrum(n, d, 2 * L)
        hankel = [[to_flint(m[j + k]) for k in range(L + 1)] for j in range(L + 1)]
        definite.append(all(fmpq_mat([row[:k] for row in hankel[:k]]).det() > 0 for k in range(1, L + 2)))
    two = best_steps(n, d, 2)
    return {
        "n": n,
        "d": d,
        "deepest": depths[-1],
        "first": two.a[0],
        "second": two.a[1],
        "shows": all(exact) and all(definite) and two.a[0] > two.a[1] > 0,
    }


def trade_off(n: int = 10, d: int = 2) -> Numbers:
    """The factor of S^-1 in Theorem 3's best single layer, and Theorem 1's matrix where S = I, exactly."""
    q = best_steps(n, d, 1).q
    found = minimiser(PreconditionedProblem(d=d, n=n, S="1"))
    a = -q[1]
    return {
        "n": n,
        "d": d,
        "a": str(a),
        "shows": a == Fraction(n, n + d + 1) < 1
        and found == [[a if i == j else Fraction(0) for j in range(d)] for i in range(d)],
    }


def _half_moments(d: int) -> tuple[Fraction, Fraction]:
    """(alpha, beta) with E|x|^2 relu(x.v)^2 = alpha |v|^2 and E x relu(x.v) = beta v, x standard normal.

    relu(t) = (t + |t|)/2 and relu(t)^2 + relu(-t)^2 = t^2, so both are halves of moments without the relu.
    """
    x = SampleCovariance([[Fraction(int(i == j)) for j in range(d)] for i in range(d)], Fraction(1))
    fourth = sum((x.moment(((i, i), (0, 0))) for i in range(d)), Fraction(0))
    return fourth / 2, Fraction(x.moment(((0, 0),))) / 2


def relu_attention(d: int = 2, n: int = 10) -> Numbers:
    """Theorem 5's minimiser A = -2n/(n + 2d + 3) I and its loss, beside linear attention's, in rationals.

    At b = (0, b_1) the loss is alpha/n |B|^2 + (n-1)/n beta^2 |B|^2 + 2 beta tr B + d with B = b_1 A, for
    either sign of b_1; a part b_0 of b adds a square, as w is symmetric.
    """
    alpha, beta = _half_moments(d)
    square = alpha / n + Fraction(n - 1, n) * beta**2
    scale = beta / square
    least = d - d * beta**2 / square
    linear = Fraction(d * (d + 1), n + d + 1)
    return {
        "d": d,
        "n": n,
        "scale": str(-scale),
        "loss": str(least),
        "linear": str(linear),
        "shows": scale == Fraction(2 * n, n + 2 * d + 3) and least == Fraction(d * (2 * d + 3), n + 2 * d + 3)
        and least > linear,
    }  # fmt: skip


def negative_scale(b: int = -1, t: int = 1) -> Numbers:
    """b relu(t) against relu(b t), which the proof of Theorem 5 takes to be equal."""
    outside, inside = b * max(t, 0), max(b * t, 0)
    return {"b": b, "t": t, "outside": outside, "inside": inside, "shows": outside != inside}


def _diagonal_loss(n: int) -> tuple[sympy.Expr, tuple[sympy.Symbol, ...]]:
    """E |(I - B C)(I - A C)|^2, the loss of two layers, A = diag(a_0, a_1), B = diag(b_0, b_1), S = I."""
    names = ["a0", "a1", "b0", "b1", "C00", "C01", "C11"]
    context = fmpq_mpoly_ctx.get(names, Ordering.lex)
    a0, a1, b0, b1, p, q, r = context.gens()
    zero = context.constant(0)
    one = [[zero + 1, zero], [zero, zero + 1]]
    first = [[1 - a0 * p, -a0 * q], [-a1 * q, 1 - a1 * r]]
    second = [[1 - b0 * p, -b0 * q], [-b1 * q, 1 - b1 * r]]
    entries = [
        sum((second[i][k] * first[k][j] for k in range(2)), zero) for i, j in product(range(2), repeat=2)
    ]
    total = sum((entry * entry for entry in entries), zero)
    loss = SampleCovariance(one, zero + fmpq(1, n)).expect(total, {4: (0, 0), 5: (0, 1), 6: (1, 1)})
    symbols = sympy.symbols(names[:4])
    terms = [
        sympy.Rational(int(value.p), int(value.q))
        * sympy.prod(s ** int(e) for s, e in zip(symbols, powers, strict=False))
        for powers, value in loss.to_dict().items()
    ]
    return sympy.expand(sum(terms)), symbols


def _no_better(n: int, least: Fraction) -> bool:
    """Whether two layers with diagonal matrices cannot go below `least`, d = 2, in rationals.

    The loss is a convex quadratic in B; its minimum over B is num/(2 det) in A = diag((s+q)/2, (s-q)/2), and
    depends on s and t = q^2.  num - 2 least det has no root t >= 0 at one s of every cell between the real
    roots of its discriminant, leading and constant coefficients in t, hence none in the cell.
    """
    loss, (a0, a1, b0, b1) = _diagonal_loss(n)
    slope = [sympy.diff(loss, b) for b in (b0, b1)]
    H = sympy.Matrix([[sympy.diff(entry, b) for b in (b0, b1)] for entry in slope])
    right = sympy.Matrix([entry.subs({b0: 0, b1: 0}) for entry in slope])
    det = H.det()
    excess = 2 * loss.subs({b0: 0, b1: 0}) * det - (right.T * H.adjugate() * right)[0]
    excess -= 2 * sympy.Rational(least.numerator, least.denominator) * det
    s, q = sympy.symbols("s q")
    in_q = sympy.Poly(excess.subs({a0: (s + q) / 2, a1: (s - q) / 2}, simultaneous=True), q)
    if any(power % 2 for (power,) in in_q.monoms()):
        return False
    t = sympy.Symbol("t")
    P = sympy.Poly({(power // 2,): value for (power,), value in in_q.terms()}, t)
    walls = sympy.Poly(sympy.discriminant(P.as_expr(), t) * P.LC() * P.eval(0), s).sqf_part()
    roots = [interval for interval, _ in walls.intervals()]
    if not roots:
        return False
    inner = [(high + low) / 2 for (_, high), (low, _) in pairwise(roots)]
    within = [P.as_expr().subs(s, at) for at in (roots[0][0] - 1, *inner, roots[-1][1] + 1)]
    return all(
        one.eval(0) > 0 and one.LC() > 0 and one.count_roots(0, None) == 0
        for one in (sympy.Poly(value, t) for value in within)
    )


def two_layers(sizes: Sequence[int] = (1, 2, 3, 5, 10)) -> Numbers:
    """Theorem 2 at d = 2: diagonal matrices do no better than multiples of the identity, in rationals."""
    least = {n: best_steps(n, 2, 2).loss for n in sizes}
    return {
        "count": len(sizes),
        "largest_n": sizes[-1],
        "loss": str(least[sizes[-1]]),
        "shows": all(_no_better(n, value) for n, value in least.items()),
    }
