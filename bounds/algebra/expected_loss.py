"""Expected in-context losses of linear attention as exact polynomials in 1/n and the spectrum.

Expectations over Gaussian x and w are taken term by term (bounds/algebra/gaussian_moments.py); a claim about
a loss is then an identity between polynomials over the rationals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement
from math import prod
from typing import Any

from flint import Ordering, fmpq, fmpq_mat, fmpq_mpoly_ctx

from icgd.bounds.algebra.rationals import from_flint, to_flint
from icgd.bounds.algebra.ring_matrices import (
    Matrix,
    Ring,
    diagonal,
    matrix_product,
    matrix_sum,
    scaled,
    transposed,
)
from icgd.bounds.algebra.sphere_moments import sample_moments, sphere_factor
from icgd.bounds.preconditioned import AS_PUBLISHED, Statement


def _pairs(d: int) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(range(d), 2))


def _symmetric(d: int, entries: Sequence[Ring]) -> list[list[Ring]]:
    found = dict(zip(_pairs(d), entries, strict=True))
    return [[found[min(i, j), max(i, j)] for j in range(d)] for i in range(d)]


@dataclass(frozen=True)
class OneLayerLoss:
    """E(w.x_{n+1} - prediction)^2 of one layer over ALL (P, Q), x ~ N(0, S), w ~ N(0, I).

    The query's label depends only on the last row p of P and the first d columns q of Q.
    loss: flint polynomial.  p, q: the generators of (d+1) and (d+1) x d entries.
    eigenvalues, inverse_n: symbols, or the rationals that were given.
    """

    d: int
    loss: Any
    p: tuple[Any, ...]
    q: tuple[tuple[Any, ...], ...]
    eigenvalues: tuple[Ring, ...]
    inverse_n: Ring

    @property
    def numbers(self) -> list[int]:
        """The indices of the generators that are entries of P or Q."""
        return list(range((self.d + 1) ** 2))

    def gradient(self, p: Sequence[Ring], q: Matrix) -> list[Ring]:
        """All partial derivatives at rational matrices, for a loss with a rational covariance."""
        point = [*p, *(entry for row in q for entry in row)]
        named = {number: to_flint(value) for number, value in zip(self.numbers, point, strict=True)}
        return [self.loss.derivative(number).subs(named) for number in self.numbers]


@lru_cache(maxsize=16)
def one_layer_loss(
    d: int,
    covariance: tuple[tuple[Fraction, ...], ...] | None = None,
    n: int | None = None,
    covariates: str = "normal",
) -> OneLayerLoss:
    """The loss with S = diag(lambda_1..lambda_d) and n symbolic, or at a rational covariance and n.

    A diagonal S is no restriction: rotating x, w and the blocks of P and Q does not change the loss.

    >>> len(one_layer_loss(1).loss)
    13
    """
    of_p = [f"p{a}" for a in range(d + 1)]
    of_q = [f"q{a}{j}" for a in range(d + 1) for j in range(d)]
    of_C = [f"C{i}{j}" for i, j in _pairs(d)]
    of_w = [f"w{i}" for i in range(d)]
    of_S = [f"lambda{i}" for i in range(d)]
    context = fmpq_mpoly_ctx.get([*of_p, *of_q, *of_C, *of_w, *of_S, "m"], Ordering.lex)
    gens = dict(zip(context.names(), context.gens(), strict=True))
    zero = context.constant(0)
    p = [gens[name] for name in of_p]
    q = [[gens[f"q{a}{j}"] for j in range(d)] for a in range(d + 1)]
    C = _symmetric(d, [gens[name] for name in of_C])
    w = [[gens[name]] for name in of_w]
    eigenvalues: list[Ring] = [gens[name] for name in of_S]
    inverse_n: Ring = gens["m"] if n is None else context.constant(fmpq(1, n))
    S = diagonal(eigenvalues, zero)
    if covariance is not None:
        S = [[context.constant(to_flint(value)) for value in row] for row in covariance]
    # The labels are w.x, so the tokens' second moments are those of x and of C w.
    Cw = matrix_product(C, w)
    G = [*([*row, *end] for row, end in zip(C, Cw, strict=True))]
    G.append([*(row[0] for row in Cw), sum(x[0] * y[0] for x, y in zip(w, Cw, strict=True))])
    entry = matrix_product(matrix_product([p], G), q)[0]
    error = [value + w[j][0] for j, value in enumerate(entry)]
    numbers = {name: at for at, name in enumerate(context.names())}
    entries = {numbers[name]: pair for name, pair in zip(of_C, _pairs(d), strict=True)}
    normals = [numbers[name] for name in of_w]
    moments = sample_moments(covariates)(S, inverse_n)
    loss = zero
    for i, j in _pairs(d):
        if S[i][j] != 0:
            expected = moments.expect(error[i] * error[j], entries, normals)
            loss += S[i][j] * expected * (1 if i == j else 2)
    q_rows = tuple(tuple(row) for row in q)
    return OneLayerLoss(d, loss, tuple(p), q_rows, tuple(eigenvalues), inverse_n)


@dataclass(frozen=True)
class GlobalMinimum:
    """Whether loss = remainder + a sum of squares that vanishes at the claimed matrices.

    free: the remainder contains no entry of (P, Q), so that it is the minimum.  attained: the sum of squares
    vanishes at the claimed minimiser.  valued: the remainder is the claimed minimum.  terms: their number.
    """

    free: bool
    attained: bool
    valued: bool
    terms: int

    @property
    def proved(self) -> bool:
        return self.free and self.attained and self.valued


def global_minimum(d: int, statement: Statement = AS_PUBLISHED, covariates: str = "normal") -> GlobalMinimum:
    """Theorem 1 for every n and every S at once: the squares are completed and compared.

    With p = (u, v), column j of q = (a_j, c_j), g_j = c_j u + v a_j and H_j = sym(u a_j^T) + v c_j I,
    loss_j = E[(tr C H_j)^2] + 2 (v c_j)^2 E tr C^2 + E|C g_j + e_j|^2: the part even in w and
    the part odd in it.  E[C^2] = S N, so the last is a square around g_j = -N^-1 e_j.
    Coefficients are products of eigenvalues, of 1/n and of N_k > 0, so every summand is non-negative.
    On the sphere moments of four entries of one x are kappa = d / (d + 2) times the normal ones, and
    1 - 1/n + kappa/n is positive, too.

    >>> global_minimum(1).proved
    True
    """
    model = one_layer_loss(d, covariates=covariates)
    u, v, m, values = model.p[:d], model.p[d], model.inverse_n, model.eigenvalues
    trace = sum(values)
    kappa = to_flint(sphere_factor(d, 2) if covariates == "sphere" else 1)
    N = [(1 - m + 2 * kappa * m) * value + kappa * m * trace for value in values]  # of E[C^2] = S N
    claimed = [statement.preconditioner(value, trace, m) for value in values]
    common = prod(claimed)
    rest = [prod(c for k, c in enumerate(claimed) if k != j) for j in range(d)]  # common / claimed[j]
    squares: list[tuple[Ring, Ring]] = []
    for j in range(d):
        a, c = [model.q[k][j] for k in range(d)], model.q[d][j]
        g = [c * u[k] + v * a[k] for k in range(d)]
        H = [[(u[i] * a[k] + u[k] * a[i]) / 2 + (v * c if i == k else 0) for k in range(d)] for i in range(d)]
        of_trace = sum(values[k] * H[k][k] for k in range(d))
        squares.append(((1 - m + kappa * m) * values[j] * common**2, of_trace))
        squares += [
            (2 * kappa * m * values[j] * values[i] * values[k] * common**2, H[i][k])
            for i in range(d)
            for k in range(d)
        ]
        squares += [(2 * values[j] * values[k] * N[k] * common**2, v * c) for k in range(d)]
        squares += [
            (values[j] * values[k] * N[k], common * g[k] - (statement.sign * rest[j] if k == j else 0))
            for k in range(d)
        ]
    remainder = common**2 * model.loss - sum(weight * root**2 for weight, root in squares)
    degrees = remainder.degrees()
    minimum = common**2 * trace - sum(value**2 * common * r for value, r in zip(values, rest, strict=True))
    return GlobalMinimum(
        free=not any(degrees[number] for number in model.numbers),
        valued=bool(remainder == minimum),
        attained=bool(_at_claimed(model, [statement.sign * r for r in rest], common) == minimum),
        terms=len(model.loss),
    )


def _at_claimed(model: OneLayerLoss, diagonal: Sequence[Ring], common: Ring) -> Ring:
    """common^2 times the loss at p = (0, 1), q = (diag(diagonal) / common, 0), free of fractions."""
    context, d = model.loss.context(), model.d
    first = d + 1
    point = [context.constant(0) if number in model.numbers else g for number, g in enumerate(context.gens())]
    point[d] = context.constant(1)
    for j, value in enumerate(diagonal):
        point[first + j * d + j] = context.constant(0) + value
    total = context.constant(0)
    for degree in range(3):
        terms = {
            powers: coefficient
            for powers, coefficient in model.loss.to_dict().items()
            if sum(powers[first : first + d * first]) == degree
        }
        total += common ** (2 - degree) * context.from_dict(terms).compose(*point)
    return total


@dataclass(frozen=True)
class OtherMinimum:
    """The point where the roles of P and Q are swapped: p = (e_1, 0), q = -e_{d+1} e_1^T / N_1.

    The largest eigenvalue comes first.

    critical: whether all partial derivatives vanish.  strict: whether the Hessian is positive definite once
    the scaling of p against q is fixed.  loss: its value there.  least: the global minimum.
    """

    critical: bool
    strict: bool
    loss: Fraction
    least: Fraction


def other_minimum(eigenvalues: Sequence[Fraction], n: int) -> OtherMinimum:
    """Whether one layer's loss has a minimum besides Theorem 1's, in rationals; not in the paper.

    >>> other_minimum((Fraction(2), Fraction(1, 2)), 10).strict
    True
    """
    d, m = len(eigenvalues), Fraction(1, n)
    values = sorted(eigenvalues, reverse=True)
    covariance = tuple(
        tuple(value if i == j else Fraction(0) for j in range(d)) for i, value in enumerate(values)
    )
    model = one_layer_loss(d, covariance, n)
    N = [(1 + m) * value + m * sum(values) for value in values]
    p = [Fraction(int(a == 0)) for a in range(d + 1)]
    q = [[-1 / N[0] if (a, j) == (d, 0) else Fraction(0) for j in range(d)] for a in range(d + 1)]
    point = [*p, *(entry for row in q for entry in row)]
    named = {number: to_flint(value) for number, value in zip(model.numbers, point, strict=True)}
    # Scaling moves p_1, so without p_1 the Hessian covers every direction but that one.
    kept = model.numbers[1:]
    hessian = [[_constant(model.loss.derivative(i).derivative(j).subs(named)) for j in kept] for i in kept]
    minors = (fmpq_mat([row[:k] for row in hessian[:k]]).det() for k in range(1, len(kept) + 1))
    loss = _constant(model.loss.subs(named))
    return OtherMinimum(
        critical=all(value == 0 for value in model.gradient(p, q)),
        strict=all(minor > 0 for minor in minors),
        loss=from_flint(loss),
        least=sum((value - value**2 / k for value, k in zip(values, N, strict=True)), Fraction(0)),
    )


def _constant(polynomial: Any) -> fmpq:
    """The value of a polynomial in which no generator is left."""
    return fmpq(0) + sum(polynomial.to_dict().values(), fmpq(0))


@dataclass(frozen=True)
class FamilyGradient:
    """The gradient of an L-layer loss at A_l = a_l F(S), B_l = b_l I, for d = 2 and every n, S, a and b.

    off: vanishes if the gradient is a multiple of S in each A_l and of I in each B_l; then the whole gradient
    vanishes where the loss of the family is stationary in (a, b).  along: the multiples.
    """

    off: tuple[Any, ...]
    along: tuple[Any, ...]

    @property
    def stationary(self) -> bool:
        return all(value == 0 for value in self.off)


class _Dual:
    """A matrix of polynomials with its derivative in one direction."""

    def __init__(self, value: Matrix, tangent: Matrix) -> None:
        self.value, self.tangent = value, tangent

    def __matmul__(self, other: _Dual) -> _Dual:
        left, right = matrix_product(self.tangent, other.value), matrix_product(self.value, other.tangent)
        return _Dual(matrix_product(self.value, other.value), matrix_sum(left, right))

    def __add__(self, other: _Dual) -> _Dual:
        return _Dual(matrix_sum(self.value, other.value), matrix_sum(self.tangent, other.tangent))

    def times(self, factor: Ring) -> _Dual:
        return _Dual(scaled(factor, self.value), scaled(factor, self.tangent))

    @property
    def T(self) -> _Dual:
        return _Dual(transposed(self.value), transposed(self.tangent))


def family_gradient(
    L: int, transformed: bool, statement: Statement = AS_PUBLISHED, covariates: str = "normal"
) -> FamilyGradient:
    """Theorem 3's stationarity, or Theorem 4's with `transformed`, x ~ N(0, S) and w ~ N(0, S^-1).

    After l layers x has become T_l x and the label of token j is theta_l.x_j (less w.x for the query):
    theta_{l+1} = (I + sign C T_l^T A_l T_l)^T theta_l, T_{l+1} = (I + sign B_l T_l C T_l^T A_l) T_l,
    C the sample covariance of the given x.  S = diag(lambda), and mu_j stands for 1/lambda_j.

    >>> family_gradient(1, False).stationary
    True
    """
    d = 2
    of_C = [f"C{i}{j}" for i, j in _pairs(d)]
    names = [*of_C, "lambda0", "lambda1", "mu0", "mu1", *(f"a{l}" for l in range(L)),
             *(f"b{l}" for l in range(L)), "m"]  # fmt: skip
    context = fmpq_mpoly_ctx.get(names, Ordering.lex)
    gens = dict(zip(names, context.gens(), strict=True))
    zero = context.constant(0)
    values, inverses = [gens["lambda0"], gens["lambda1"]], [gens["mu0"], gens["mu1"]]
    nothing, one = [[zero] * d] * d, diagonal([zero + 1] * d, zero)
    direction = [
        zero + statement.family(value, inverse) for value, inverse in zip(values, inverses, strict=True)
    ]
    C = _Dual(_symmetric(d, [gens[name] for name in of_C]), nothing)
    S, S_inverse, I = (
        _Dual(matrix, nothing) for matrix in (diagonal(values, zero), diagonal(inverses, zero), one)
    )
    entries = dict(enumerate(_pairs(d)))
    moments = sample_moments(covariates)(S.value, gens["m"])

    def derivative(kind: str, layer: int, i: int, j: int) -> Any:
        bump = [[zero + ((r, c) == (i, j)) for c in range(d)] for r in range(d)]

        def matrix(name: str, l: int, base: Sequence[Ring]) -> _Dual:
            value = diagonal([gens[f"{name}{l}"] * entry for entry in base], zero)
            return _Dual(value, bump if (name, l) == (kind, layer) else nothing)

        M, T = I, I
        for l in range(L):
            A = matrix("a", l, direction)
            seen = C @ T.T @ A
            M = M @ (I + (seen @ T).times(statement.sign))
            if transformed:
                B = matrix("b", l, [zero + 1] * d)
                T = (I + (B @ T @ seen).times(statement.sign)) @ T
        integrand = (S_inverse @ M @ S @ M.T).tangent
        return _cancelled(moments.expect(integrand[0][0] + integrand[1][1], entries))

    off, along = [], []
    for kind in ("a", "b") if transformed else ("a",):
        for layer in range(L):
            g = [[derivative(kind, layer, i, j) for j in range(d)] for i in range(d)]
            off += [g[0][1], g[1][0]]
            weight = values if kind == "a" else [zero + 1] * d
            off.append(_cancelled(weight[1] * g[0][0] - weight[0] * g[1][1]))
            along.append(g[0][0])
    return FamilyGradient(tuple(off), tuple(along))


def _cancelled(polynomial: Any) -> Any:
    """A polynomial of family_gradient with every lambda_j mu_j replaced by 1."""
    reduced: dict[tuple[int, ...], Any] = {}
    for powers, coefficient in polynomial.to_dict().items():
        left = list(powers)
        for value, inverse in ((3, 5), (4, 6)):
            common = min(left[value], left[inverse])
            left[value] -= common
            left[inverse] -= common
        reduced[tuple(left)] = reduced.get(tuple(left), 0) + coefficient
    return polynomial.context().from_dict(reduced)
