"""The expected loss of deep linear attention with a mask and its gradient, as polynomials in C and w.

Labels are y = w . x, so that a prompt enters through C = (1/n) sum x x^T and w alone, and the loss is
E sum_e S_e (w_e - w_L,e)^2 with w_L a polynomial: its expectation is taken term by term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement

from flint import Ordering, fmpq, fmpq_mpoly_ctx

from icgd.bounds.algebra.rationals import from_flint, to_flint
from icgd.bounds.algebra.ring_matrices import Ring, diagonal, matrix_product, matrix_sum, scaled, transposed
from icgd.bounds.algebra.sphere_moments import sample_moments
from icgd.bounds.estimate import bytes_text
from icgd.construct.given_linear import Exact, GivenLinear
from icgd.construct.machine.memory import available_bytes

MOST_WORK, MOST_SLOPED = 7e7, 8e5
"""The largest `loss_work` for which a loss is expanded, some 30 s, and for which its gradient is, too."""

_SLOPED = 30
"""How much longer it takes with its gradient."""

_PER_MONOMIAL = 400
"""Bytes for each that is counted, as measured."""

_PER_SECOND = 2.3e6
"""How much of it is done in a second, as measured on models of depth 2 to 4 with d = 1 to 4."""

_NONE = -math.inf
"""The degree of 0."""

Degrees = list[list[float]]


@dataclass(frozen=True)
class DeepLoss:
    """value: the expected loss.  gradient: its partial derivatives in the entries of P and Q, or None."""

    value: Fraction
    gradient: list[Fraction] | None


def most_monomials(given: GivenLinear) -> tuple[int, int]:
    """At least the number of monomials of the squared error, and its degree in C."""
    d = given.d
    of_C, of_w = _degree(given, 1.0, 1.0, 1.0), _degree(given, 0.0, 1.0, 2.0)
    in_C, in_w = 2 * int(max(of_C, 0)), 2 * int(max(of_w, 1))
    entries = d * (d + 1) // 2
    return math.comb(entries + in_C, in_C) * math.comb(d + in_w, in_w), in_C


def loss_work(given: GivenLinear) -> float:
    """What an exact loss takes, in units of `_PER_SECOND`: longer numbers come with the degree."""
    monomials, degree = most_monomials(given)
    return monomials * max(1, degree) ** 1.45


def loss_seconds(given: GivenLinear) -> float:
    """About how long its exact loss takes, with the gradient where that is taken; 0 where it is sampled."""
    work = loss_work(given) if given.masked and given.L > 1 else math.inf
    if work > MOST_WORK:
        return 0.0
    return work * (_SLOPED if work <= MOST_SLOPED else 1) / _PER_SECOND


def said_beforehand(given: GivenLinear) -> str | None:
    """Why a loss is not expanded: one sentence on its size; None where it is, for it is small enough."""
    if loss_work(given) <= MOST_WORK:
        needed = _PER_MONOMIAL * most_monomials(given)[0]
        return None if needed <= available_bytes() else f"an expansion would take about {bytes_text(needed)}"
    seconds = loss_work(given) / _PER_SECOND
    said = f"about {seconds / 60:.2g} minutes" if seconds < 7200 else f"about {seconds / 3600:.2g} hours"
    said = "more than a year" if seconds > 3e7 else said
    return f"an expansion into up to {most_monomials(given)[0]:,} monomials would take {said}"


def _degree(given: GivenLinear, inputs: float, cross: float, labels: float) -> float:
    """The largest degree of the last row of R_L on the inputs, where G has these degrees."""
    width = given.d + 1
    G = [[(labels if j == given.d else cross) if i == given.d or j == given.d else inputs
          for j in range(width)] for i in range(width)]  # fmt: skip
    R = [[0.0 if i == j else _NONE for j in range(width)] for i in range(width)]
    for heads in given.exact:
        seen = _added(_added(R, G), [list(row) for row in zip(*R, strict=True)])
        grown = R
        for P, Q in heads:
            step = _added(_added(_added(_known(P), seen), _known(Q)), R)
            grown = [
                [max(*pair) for pair in zip(*rows, strict=True)] for rows in zip(grown, step, strict=True)
            ]
        R = grown
    return max(R[-1][:-1])


def _known(matrix: Exact) -> Degrees:
    return [[0.0 if value else _NONE for value in row] for row in matrix]


def _added(left: Degrees, right: Degrees) -> Degrees:
    columns = list(zip(*right, strict=True))
    return [[max(a + b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


def deep_loss(
    given: GivenLinear, n: int, S: Sequence[Fraction], *, sloped: bool, covariates: str = "normal"
) -> DeepLoss:
    """The loss of attention with a mask on n examples, of covariance diag(S); sloped: with its gradient.

    With U = R G R^T, K = I + sum P U Q and R' = K R in every layer, adjoints run back: of K, R'^+ R^T; of P,
    K^+ Q^T U; of Q, U P^T K^+; of U, sum P^T K^+ Q^T; and of R, K^T R'^+ + (U^+ + U^+T) R G.
    """
    d = given.d
    pairs = list(combinations_with_replacement(range(d), 2))
    names = [*(f"C{i}_{j}" for i, j in pairs), *(f"w{i}" for i in range(d))]
    context = fmpq_mpoly_ctx.get(names, Ordering.lex)
    gens = context.gens()
    zero = context.constant(0)
    of_C = dict(zip(pairs, gens, strict=False))
    w = list(gens[len(pairs) :])
    C = [[of_C[min(i, j), max(i, j)] for j in range(d)] for i in range(d)]
    b = [sum((C[i][j] * w[j] for j in range(d)), zero) for i in range(d)]
    label = sum((w[i] * b[i] for i in range(d)), zero)
    share = to_flint(given.scale(n) * n)
    G = scaled(share, [*([*row, last] for row, last in zip(C, b, strict=True)), [*b, label]])
    identity = diagonal([zero + 1] * (d + 1), zero)
    layers = [
        [
            tuple([[zero + to_flint(value) for value in row] for row in part] for part in head)
            for head in heads
        ]
        for heads in given.exact
    ]
    states, seen, steps = [identity], [], []
    for heads in layers:
        U = matrix_product(matrix_product(states[-1], G), transposed(states[-1]))
        K = identity
        for P, Q in heads:
            K = matrix_sum(K, matrix_product(matrix_product(P, U), Q))
        seen.append(U)
        steps.append(K)
        states.append(matrix_product(K, states[-1]))
    moments = sample_moments(covariates)(
        [[to_flint(S[i]) if i == j else fmpq(0) for j in range(d)] for i in range(d)], fmpq(1, n)
    )
    entries, normals = dict(enumerate(pairs)), range(len(pairs), len(names))

    def expected(polynomial: Ring) -> Fraction:
        found = moments.expect(zero + polynomial, entries, normals)
        return from_flint(fmpq(0) + sum(found.to_dict().values(), fmpq(0)))

    errors = [w[e] - given.sign * states[-1][d][e] for e in range(d)]
    weighed = [to_flint(s) * error for s, error in zip(S, errors, strict=True)]
    value = expected(sum((s * error for s, error in zip(weighed, errors, strict=True)), zero))
    if not sloped:
        return DeepLoss(value, None)
    back = [[zero] * (d + 1) for _ in range(d)] + [[*(-2 * given.sign * one for one in weighed), zero]]
    gradient: list[Fraction] = []
    for heads, R, U, K in reversed(list(zip(layers, states, seen, steps, strict=False))):
        of_K = matrix_product(back, transposed(R))
        of_U = [[zero] * (d + 1) for _ in range(d + 1)]
        for P, Q in heads:
            of_P = matrix_product(matrix_product(of_K, transposed(Q)), U)
            of_Q = matrix_product(matrix_product(U, transposed(P)), of_K)
            gradient += [expected(entry) for part in (of_P, of_Q) for row in part for entry in row]
            of_U = matrix_sum(of_U, matrix_product(matrix_product(transposed(P), of_K), transposed(Q)))
        both = matrix_sum(of_U, transposed(of_U))
        back = matrix_sum(matrix_product(transposed(K), back), matrix_product(matrix_product(both, R), G))
    return DeepLoss(value, gradient)
