"""The expected loss of linear attention, inputs normal or on a sphere: exact where feasible, and sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations_with_replacement, permutations

import torch
from flint import Ordering, fmpq, fmpq_mpoly_ctx
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.algebra.gaussian_moments import SampleCovariance
from icgd.bounds.algebra.rationals import from_flint, to_flint
from icgd.bounds.algebra.ring_matrices import diagonal, matrix_product
from icgd.construct.given_linear import Exact, GivenLinear
from icgd.verify.given_linear.deep_loss import (
    MOST_SLOPED,
    deep_loss,
    loss_work,
    said_beforehand,
)
from icgd.verify.given_linear.layer_form import descent_of, linear_form

MOST_TERMS = 60_000
"""The largest number of monomials, by a bound on it, for which the loss of a descent is expanded."""

DRAWN, CHUNK = 60_000, 1 << 21
"""Prompts of a sampled loss, and the numbers that are drawn at once."""

_CONFIDENT = 3.2905
"""Standard errors of an interval that covers with probability 0.999, if means are normal."""


@dataclass(frozen=True)
class ExpectedLoss:
    """E (w . x_q - prediction)^2, x ~ N(0, diag(S)), w ~ N(0, I), y = w . x.

    value: exact, or None, and then why.  gradient: norm2 of the exact gradient in the entries of P and Q.
    sampled: mean over `DRAWN` prompts, and half the width of its interval, for which means are normal; where
    rare prompts make most of the loss, as in deep attention that is not descent, they are not.
    covariates: "sphere" for x = S^(1/2) u, u uniform on the sphere of radius sqrt(d), in place of normal x.
    """

    value: Fraction | None
    gradient: float | None
    sampled: tuple[float, float]
    why: str = ""
    covariates: str = "normal"


def random_prompt_loss(
    given: GivenLinear, n: int, S: Sequence[Fraction], generator: torch.Generator, covariates: str = "normal"
) -> ExpectedLoss:
    """The loss on n examples, for normal inputs or those on the sphere."""
    if covariates == "normal":
        return gaussian_loss(given, n, S, generator)
    sampled = sampled_loss(given, n, S, generator, covariates)
    why = said_beforehand(given) if given.masked else "without a mask only Gaussian prompts are expanded"
    if why is not None:
        return ExpectedLoss(None, None, sampled, why, covariates)
    found = deep_loss(given, n, S, sloped=loss_work(given) <= MOST_SLOPED, covariates=covariates)
    return ExpectedLoss(found.value, _length(found.gradient), sampled, "", covariates)


def gaussian_loss(
    given: GivenLinear, n: int, S: Sequence[Fraction], generator: torch.Generator
) -> ExpectedLoss:
    """The loss on n examples: exact for one layer, and deeper with a mask and few enough monomials."""
    sampled = sampled_loss(given, n, S, generator)
    if given.L == 1:
        gradient = one_layer_gradient(given, n, S)
        return ExpectedLoss(one_layer_loss_of(given, n, S), _length(gradient), sampled)
    if not given.masked:
        return ExpectedLoss(None, None, sampled, "without a mask only one layer is expanded")
    A, why = descent_of(given, n), said_beforehand(given)
    if why is None:
        found = deep_loss(given, n, S, sloped=loss_work(given) <= MOST_SLOPED)
        return ExpectedLoss(found.value, _length(found.gradient), sampled)
    if A is not None and descent_terms(given.d, given.L) <= MOST_TERMS:  # fewer: scaling P and Q is left out
        return ExpectedLoss(descent_loss(A, n, S), None, sampled)
    return ExpectedLoss(None, None, sampled, why)


def _length(gradient: list[Fraction] | None) -> float | None:
    """norm2 of a gradient; as large as a float goes where it is larger."""
    if gradient is None:
        return None
    square = sum((value * value for value in gradient), Fraction(0))
    return math.sqrt(square) if square < Fraction(10) ** 300 else math.inf


def one_layer_loss_of(given: GivenLinear, n: int, S: Sequence[Fraction]) -> Fraction:
    """The loss of one layer, of any heads, with or without a mask, by Isserlis' theorem up to sixth moments.

    The error is sum_e x_e v_e + (1/n) T(x, x, x), x the query, v_e = w_e + <S_e, G>: of v_e, the part even in
    w is tr C (K + mu w w^T), the odd one w_e + 2 m . C w, for S_e = [[K, m], [m^T, mu]]; T is 0 with a mask.
    """
    form = linear_form(given, n)
    d, share = form.d, Fraction(1, n)
    trace, squares = sum(S, Fraction(0)), sum((s * s for s in S), Fraction(0))
    fourth = trace**2 + 2 * squares  # E (w^T S w)^2
    total, means = Fraction(0), []
    for e, matrix in enumerate(form.layers[0][0]):
        K = [row[:d] for row in matrix[:d]]
        m, mu = [row[d] for row in matrix[:d]], matrix[d][d]
        first = sum((S[a] * K[a][a] for a in range(d)), Fraction(0))
        second = sum((S[a] * S[b] * K[a][b] ** 2 for a in range(d) for b in range(d)), Fraction(0))
        mixed = sum((S[a] ** 2 * K[a][a] for a in range(d)), Fraction(0))
        even = first**2 + 2 * mu * first * trace + mu**2 * fourth
        even += 2 * share * (second + 2 * mu * mixed + mu**2 * fourth)
        odd = 1 + 4 * S[e] * m[e]
        odd += 4 * sum(
            (((1 + share) * S[a] ** 2 + share * trace * S[a]) * m[a] ** 2 for a in range(d)), Fraction(0)
        )
        total += S[e] * (even + odd)
        means.append(first + mu * trace)
    if form.masked:
        return total
    T = {
        three: sum((form.layers[0][0][e][b][c] for e, b, c in permutations(three)), Fraction(0)) * share / 6
        for three in combinations_with_replacement(range(d), 3)
    }

    def t(*three: int) -> Fraction:
        return T[tuple(sorted(three))]  # type: ignore[index]

    contracted = [sum((t(a, a, b) * S[a] for a in range(d)), Fraction(0)) for b in range(d)]
    total += 6 * sum((S[e] * means[e] * contracted[e] for e in range(d)), Fraction(0))
    total += 9 * sum((S[b] * contracted[b] ** 2 for b in range(d)), Fraction(0))
    cubes = (t(a, b, c) ** 2 * S[a] * S[b] * S[c] for a in range(d) for b in range(d) for c in range(d))
    return total + 6 * sum(cubes, Fraction(0))


def one_layer_gradient(given: GivenLinear, n: int, S: Sequence[Fraction]) -> list[Fraction]:
    """The nonzero partial derivatives in the entries of P and Q of one layer.

    The loss is quadratic in each entry, so that a central difference is exact.
    """
    found = []
    for head, pair in enumerate(given.exact[0]):
        for at, matrix in enumerate(pair):
            places = [(given.d, j) for j in range(given.d + 1)]
            if at:
                places = [(i, j) for i in range(given.d + 1) for j in range(given.d)]
            for i, j in places:
                ends = []
                for step in (1, -1):
                    moved = [list(row) for row in matrix]
                    moved[i][j] += step
                    heads = list(given.exact[0])
                    heads[head] = (moved, pair[1]) if at == 0 else (pair[0], moved)
                    ends.append(one_layer_loss_of(replace(given, exact=(tuple(heads),)), n, S))
                found.append((ends[0] - ends[1]) / 2)
    return found


def descent_terms(d: int, L: int) -> int:
    """At least the number of monomials of a squared error after L steps, in the entries of C."""
    return math.comb(d * (d + 1) // 2 + 2 * L, 2 * L)


def descent_loss(A: Sequence[Exact], n: int, S: Sequence[Fraction]) -> Fraction:
    """E norm2(S^(1/2) prod (I - A_l C))_F^2, the loss of descent with labels y = w . x, in rationals."""
    d = len(S)
    pairs = list(combinations_with_replacement(range(d), 2))
    context = fmpq_mpoly_ctx.get([f"C{i}{j}" for i, j in pairs], Ordering.lex)
    gens = dict(zip(pairs, context.gens(), strict=True))
    zero = context.constant(0)
    C = [[gens[min(i, j), max(i, j)] for j in range(d)] for i in range(d)]
    error = diagonal([zero + 1] * d, zero)
    for step in A:
        rows = [[context.constant(to_flint(value)) for value in row] for row in step]
        moved = matrix_product(matrix_product(rows, C), error)
        error = [[x - y for x, y in zip(*pair, strict=True)] for pair in zip(error, moved, strict=True)]
    squared = zero
    for s, row in zip(S, error, strict=True):
        for entry in row:
            squared += entry * entry * to_flint(s)
    covariance = [[to_flint(S[i]) if i == j else fmpq(0) for j in range(d)] for i in range(d)]
    moments = SampleCovariance(covariance, fmpq(1, n))
    value = moments.expect(squared, dict(enumerate(pairs)))
    return from_flint(fmpq(0) + sum(value.to_dict().values(), fmpq(0)))


def random_inputs(
    count: int, n: int, S: Sequence[Fraction], covariates: str, generator: torch.Generator
) -> Float[Tensor, "count n d"]:
    """Inputs of covariance diag(S), normal or on the sphere."""
    root = torch.tensor([math.sqrt(s) for s in S], dtype=torch.float64)
    x = torch.randn(count, n, len(S), generator=generator, dtype=torch.float64)
    if covariates == "sphere":
        x = math.sqrt(len(S)) * x / x.norm(dim=-1, keepdim=True)
    return x * root


def sampled_loss(
    given: GivenLinear, n: int, S: Sequence[Fraction], generator: torch.Generator, covariates: str = "normal"
) -> tuple[float, float]:
    """The mean loss over random prompts, and half the width of its interval."""
    errors, left = [], DRAWN
    while left:
        count = min(left, max(1, CHUNK // (n * (given.d + 1))))
        x = random_inputs(count, n + 1, S, covariates, generator)
        w = torch.randn(count, given.d, 1, generator=generator, dtype=torch.float64)
        y = (x @ w)[..., 0]
        errors.append((y[:, -1] - given(x[:, :-1], y[:, :-1], x[:, -1])).square())
        left -= count
    every = torch.cat(errors)
    return float(every.mean()), _CONFIDENT * float(every.std()) / math.sqrt(len(every))
