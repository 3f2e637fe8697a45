"""Evidence for findings about linear attention on random least squares (arXiv 2306.00297)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import sympy
from flint import fmpq

from icgd.bounds.algebra.best_steps import best_steps, enclose_critical, transformed_loss
from icgd.bounds.algebra.expected_loss import global_minimum, one_layer_loss, other_minimum
from icgd.bounds.preconditioned import PreconditionedProblem, lemma_one, minimiser
from icgd.verify.ledger.entries import Numbers


def _denominators(values: Sequence[Fraction], n: int) -> list[Fraction]:
    """N_j = (n+1)/n lambda_j + tr S / n, where E[C^2] = S N."""
    return [value * Fraction(n + 1, n) + sum(values, Fraction(0)) / n for value in values]


def global_over_all(sizes: Sequence[int] = (1, 2, 3)) -> Numbers:
    """The loss over all (P, Q) as a sum of squares plus the claimed minimum, for every n and S at once."""
    found = [global_minimum(d) for d in sizes]
    return {
        "largest_d": sizes[-1],
        "terms": found[-1].terms,
        "shows": all(one.proved for one in found),
    }


def swapped_roles(S: str = "2,1/2", n: int = 10) -> Numbers:
    """A second family of critical points, with P and Q in swapped roles: by polynomials, then by hand.

    By hand: with p = e_1 and q = -e_{d+1} e_1^T / N_1 the error is w - e_1 (C w)_1 / N_1, so the expected
    loss is tr S - lambda_1^2 / N_1, from E C_11 = lambda_1 and E (C^2)_11 = lambda_1 N_1.
    """
    values = sorted((Fraction(part) for part in S.split(",")), reverse=True)
    found = other_minimum(values, n)
    N = _denominators(values, n)
    by_hand = sum(values) - values[0] ** 2 / N[0]
    least = sum(values) - sum(value**2 / k for value, k in zip(values, N, strict=True))
    strict, same = found.critical and found.strict, found.loss == found.least
    return {
        "S": S,
        "n": n,
        "loss": str(found.loss),
        "least": str(found.least),
        "global": same,
        "shows": strict and found.loss == by_hand and found.least == least and same == (len(values) == 1),
    }


def _bends_down(values: Sequence[Fraction], n: int) -> bool:
    """Whether the loss has a direction of negative curvature at the second critical point, in rationals."""
    d, N = len(values), _denominators(values, n)
    S = tuple(tuple(v if i == j else Fraction(0) for j in range(d)) for i, v in enumerate(values))
    model = one_layer_loss(d, S, n)
    point = [Fraction(int(a == 0)) for a in range(d + 1)] + [Fraction(0)] * (d * (d + 1))
    point[(d + 1) + d * d] = -1 / N[0]
    named = {at: fmpq(v.numerator, v.denominator) for at, v in enumerate(point)}
    slopes = [model.loss.derivative(i) for i in model.numbers]
    hessian = [
        [sum(slope.derivative(j).subs(named).to_dict().values(), fmpq(0)) for j in model.numbers]
        for slope in slopes
    ]
    # The lowest eigenvector in float64, rounded, is a direction; its curvature is exact.
    table = np.array([[int(entry.p) / int(entry.q) for entry in row] for row in hessian])
    direction = [fmpq(round(1000 * float(value)), 1000) for value in np.linalg.eigh(table)[1][:, 0]]
    form = sum((a * b * h for a, row in zip(direction, hessian, strict=True)
                for b, h in zip(direction, row, strict=True)), fmpq(0))  # fmt: skip
    return bool(form < 0)


def saddle_share(top: int = 32, n: int = 10) -> Numbers:
    """For which S = diag(s, 1/2) the second critical point is a minimum: s = 1/2, 5/8, ..., in rationals."""
    half = Fraction(1, 2)
    tried = [Fraction(k, 8) for k in range(4, top + 1)]
    kinds = [other_minimum((s, half), n).strict for s in tried]
    minima = [s for s, strict in zip(tried, kinds, strict=True) if strict]
    saddles = [s for s, strict in zip(tried, kinds, strict=True) if not strict]
    return {
        "minima": len(minima),
        "saddles": len(saddles),
        "of": len(tried),
        "upto": str(max(saddles, default=0)),
        "from": str(min(minima, default=0)),
        "last": str(tried[-1]),
        "n": n,
        "shows": bool(minima and saddles) and max(saddles) < min(minima)
        and all(_bends_down((s, half), n) for s in saddles)
        and not any(_bends_down((s, half), n) for s in minima[:2]),
    }  # fmt: skip


def transposed(d: int = 2, n: int = 2) -> Numbers:
    """Lemma 1's layer, by polynomials and independently by sympy from the formula of the layer."""
    found = lemma_one(d, n)
    X = sympy.Matrix(d, n + 1, sympy.symbols(f"x:{d * (n + 1)}"))
    y, w = sympy.Matrix(1, n, sympy.symbols(f"y:{n}")), sympy.Matrix(sympy.symbols(f"w:{d}"))
    A = sympy.Matrix(d, d, sympy.symbols(f"a:{d * d}"))
    label = y.row_join(sympy.zeros(1, 1)) - w.T * X
    after = _layer(X, label, A, masked=True)
    slope = -X[:, :n] * (y - w.T * X[:, :n]).T / n

    def is_step(B: sympy.Matrix) -> bool:
        reached = y.row_join(sympy.zeros(1, 1)) - (w - B * slope).T * X
        return bool((after - reached).expand().is_zero_matrix)

    layer, lemma = _shifted()
    return {
        "d": d,
        "n": n,
        "transposed": found.transposed and is_step(A.T),
        "literal": found.literal or is_step(A),
        "symmetric": found.symmetric,
        "layer": layer,
        "lemma": lemma,
        "shows": found.transposed and is_step(A.T) and found.symmetric and not found.literal
        and not is_step(A) and layer != lemma,
    }  # fmt: skip


def _shifted() -> tuple[int, int]:
    """The predictions for x_2 = e_2 from x_1 = w = e_1, A = e_1 e_2^T: the layer's, and Lemma 1's as written.

    The layer's is minus the last entry of Z + P Z M Z^T Q Z; Lemma 1's is x_2 . (0 - A grad R(0)).
    """
    X, A, w = sympy.eye(2), sympy.Matrix([[0, 1], [0, 0]]), sympy.Matrix([1, 0])
    after = _layer(X, sympy.Matrix([[1, 0]]), A, masked=True)
    slope = -X[:, 0] * (w.T * X[:, 0])[0]
    return int(-after[0, 1]), int((X[:, 1].T * (-A * slope))[0])


def _layer(X: sympy.Matrix, label: sympy.Matrix, A: sympy.Matrix, masked: bool) -> sympy.Matrix:
    """The label row of Z + (1/n) P Z M Z^T Q Z, P = e e^T, Q = -[[A, 0], [0, 0]]."""
    d, n = X.rows, X.cols - 1
    Z = X.col_join(label)
    P, Q = sympy.zeros(d + 1), sympy.zeros(d + 1)
    P[d, d], Q[:d, :d] = 1, -A
    M = sympy.diag(*[1] * n, 0 if masked else 1)
    return (Z + P * Z * M * Z.T * Q * Z / n).row(d)


def mask(d: int = 2, n: int = 2) -> Numbers:
    """Whether the mask changes the first and the second layer, from w(0) = 0, with every entry a symbol."""
    X = sympy.Matrix(d, n + 1, sympy.symbols(f"x:{d * (n + 1)}"))
    label = sympy.Matrix(1, n, sympy.symbols(f"y:{n}")).row_join(sympy.zeros(1, 1))
    A = sympy.Matrix(d, d, sympy.symbols(f"a:{d * d}"))
    with_mask, without = (_layer(X, label, A, masked) for masked in (True, False))
    first = bool((with_mask - without).expand().is_zero_matrix)
    symbols = sorted(X.free_symbols | label.free_symbols | A.free_symbols, key=str)
    numbers = {symbol: k + 1 for k, symbol in enumerate(symbols)}
    x, reached, a = (part.subs(numbers) for part in (X, with_mask, A))
    second = _layer(x, reached, a, masked=True) == _layer(x, reached, a, masked=False)
    return {
        "first_layer_same": first,
        "second_layer_same": second,
        "shows": first and not second,
    }


def several_minima(points: Sequence[Sequence[float]], n: int = 10, d: int = 2, L: int = 2) -> Numbers:
    """Boxes around given points (a, b), each with one minimum of Theorem 4's loss, by Krawczyk's test."""
    boxes = [enclose_critical(transformed_loss(n, d, L), point) for point in points]
    found = [box for box in boxes if box is not None and box.minimum]
    values = sorted(box.value for box in found)
    apart = all(high < low for (_, high), (low, _) in pairwise(values))
    return {
        "minima": len(found),
        "lowest": values[0][0] if values else 0.0,
        "next": values[1][0] if len(values) > 1 else 0.0,
        "third": values[2][0] if len(values) > 2 else 0.0,
        "plain": float(best_steps(n, d, L).loss),
        "L": L,
        "n": n,
        "d": d,
        "shows": len(found) == len(points) > 1 and apart,
    }


def rotated(S: str = "2,1/2", n: int = 10) -> Numbers:
    """Theorem 1's matrices where S is not diagonal: all partial derivatives, in rationals."""
    posed = PreconditionedProblem(S=S, n=n, d=len(S.split(",")))
    covariance = tuple(tuple(row) for row in posed.covariance)
    d = posed.d
    q = [[-value for value in row] for row in minimiser(posed)] + [[Fraction(0)] * d]
    partials = one_layer_loss(d, covariance, n).gradient([*[Fraction(0)] * d, Fraction(1)], q)
    return {
        "off_diagonal": str(covariance[0][1]),
        "partials": len(partials),
        "nonzero": sum(value != 0 for value in partials),
        "shows": covariance[0][1] != 0 and all(value == 0 for value in partials),
    }


def few_examples(d: int = 20, n: int = 1) -> Numbers:
    """The least loss for S = I relative to predicting 0: (d+1)/(n+d+1), in symbols and at one size."""
    D, m = sympy.symbols("d n", positive=True)
    share = sympy.simplify(1 - 1 / ((m + 1) / m + D / m) - (D + 1) / (m + D + 1)) == 0
    half = sympy.solve(sympy.Eq((D + 1) / (m + D + 1), sympy.Rational(1, 2)), m)
    N = _denominators([Fraction(1)] * d, n)
    left = 1 - 1 / N[0]
    return {
        "d": d,
        "n": n,
        "left": str(left),
        "half_at": str(half[0]),
        "shows": share and half == [D + 1] and left == Fraction(d + 1, n + d + 1),
    }


def prior(S: str = "2,1/2", n: int = 10) -> Numbers:
    """Theorem 3's family a S^-1 under w ~ N(0, I): the a that makes each diagonal entry stationary."""
    values = [Fraction(part) for part in S.split(",")]
    d = len(values)
    covariance = tuple(tuple(v if i == j else Fraction(0) for j in range(d)) for i, v in enumerate(values))
    model = one_layer_loss(d, covariance, n)
    wanted = [value / k for value, k in zip(values, _denominators(values, n), strict=True)]

    def slopes(a: Fraction) -> list[bool]:
        """Whether the loss is stationary in A_jj at A = a S^-1, for every j."""
        q = [[-a / values[i] if i == j else Fraction(0) for j in range(d)] for i in range(d)]
        partials = model.gradient([*[Fraction(0)] * d, Fraction(1)], [*q, [Fraction(0)] * d])
        return [bool(partials[d + 1 + j * d + j] == 0) for j in range(d)]

    return {
        "S": S,
        "n": n,
        "first": str(wanted[0]),
        "second": str(wanted[1]),
        "shows": all(slopes(a) == [i == j for i in range(d)] for j, a in enumerate(wanted)),
    }


def _second_moment(S: Sequence[Sequence[Fraction]], n: int, sigma2: Fraction) -> sympy.Matrix:
    """E m m^T, m = (1/n) sum_a y_a x_a, y_a = w.x_a + noise, w ~ N(0, I), as a sum over pairings of the x."""
    d, cells = len(S), range(n)

    def entry(i: int, j: int) -> Fraction:
        total = Fraction(0)
        for a in cells:
            for b in cells:
                for k in range(d):  # E x_ai x_ak x_bk x_bj: three pairings if a = b, else one
                    total += S[i][k] * S[k][j]
                    total += (S[i][k] * S[k][j] + S[i][j] * S[k][k]) * (a == b)
            total += sigma2 * S[i][j]
        return total / n**2

    return sympy.Matrix(d, d, lambda i, j: sympy.Rational(str(entry(i, j))))


def _with_noise_in_trace(d: int, n: int, variance: str) -> bool:
    """Whether ((n+1)/n S + (tr S + sigma^2)/n I)^-1 makes S A E m m^T = S^2, where the gradient in A is 0."""
    S = [[Fraction(int(i == j) * (i + 2)) + Fraction(1, 2 + i + j) for j in range(d)] for i in range(d)]
    exact = sympy.Matrix(d, d, lambda i, j: sympy.Rational(str(S[i][j])))
    shift = (exact.trace() + sympy.Rational(variance)) / n
    A = (exact * sympy.Rational(n + 1, n) + shift * sympy.eye(d)).inv()
    return bool(exact * A * _second_moment(S, n, Fraction(variance)) == exact * exact)


def noise(n: int = 1, variance: str = "1", sizes: Sequence[int] = (1, 2, 3)) -> Numbers:
    """Theorem 1's matrix with noisy labels y = w.x + noise, d = 1, S = 1: exact moments by two routes.

    m = (1/n) sum_i y_i x_i has E m w = 1 and E m^2 = 1 + 2/n + variance/n, and the best a is 1/E m^2.
    The loss tr S - 2 tr(S A S) + tr(S A E[m m^T] A^T) is convex in A; its minimiser, with tr S + sigma^2 in
    place of tr S, is checked for some S that are not diagonal.
    """
    size, sigma2 = Fraction(1, n), Fraction(variance)
    by_formula = 1 + 2 * size + sigma2 * size
    # Term by term: E of x_i^2 x_j^2 is 3 where i = j and 1 elsewhere; the noise terms are independent.
    pairs = sum(3 if i == j else 1 for i in range(n) for j in range(n))
    by_terms = size**2 * (pairs + sigma2 * n)
    claimed, best = 1 / (1 + 2 * size), 1 / by_formula
    loss = {a: 1 - 2 * a + a**2 * by_formula for a in (claimed, best)}
    return {
        "n": n,
        "claimed": str(claimed),
        "best": str(best),
        "claimed_loss": str(loss[claimed]),
        "best_loss": str(loss[best]),
        "largest_d": sizes[-1],
        "shows": by_formula == by_terms and loss[best] < loss[claimed]
        and all(_with_noise_in_trace(d, size, variance) for d in sizes for size in (n, n + 1))
        and minimiser(PreconditionedProblem(d=1, n=n, S="1")) == [[claimed]],
    }  # fmt: skip


def singular(S: str = "2,0", n: int = 10) -> Numbers:
    """Theorem 1's matrices where S has the eigenvalue 0: all partial derivatives, and the loss by hand."""
    values = [Fraction(part) for part in S.split(",")]
    d = len(values)
    covariance = tuple(tuple(v if i == j else Fraction(0) for j in range(d)) for i, v in enumerate(values))
    N = _denominators(values, n)
    q = [[-1 / N[i] if i == j else Fraction(0) for j in range(d)] for i in range(d)] + [[Fraction(0)] * d]
    p = [*[Fraction(0)] * d, Fraction(1)]
    model = one_layer_loss(d, covariance, n)
    partials = model.gradient(p, q)
    point = {
        at: fmpq(v.numerator, v.denominator) for at, v in enumerate([*p, *(v for row in q for v in row)])
    }
    found = sum(model.loss.subs(point).to_dict().values(), fmpq(0))
    least = sum(values) - sum(value**2 / k for value, k in zip(values, N, strict=True))
    return {
        "S": S,
        "n": n,
        "entries": ", ".join(str(1 / k) for k in N),
        "loss": str(least),
        "nonzero": sum(value != 0 for value in partials),
        "shows": min(values) == 0 and all(value == 0 for value in partials) and str(found) == str(least),
    }
