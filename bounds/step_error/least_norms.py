"""The norms that layers of a construction have at least, after balancing, in the letters of the problem.

construct/block/balance.py proves the closed forms, and measures them on literal matrices.
"""

from __future__ import annotations

from typing import NamedTuple

from sympy import Expr, Max, Rational, cbrt, sqrt

from icgd.bounds.claims import B_v, K, N, d, d_out, eta, n
from icgd.bounds.problem import Problem

NEURONS = (N - 1) * K + d_out
"""The number of neurons of the simulated network."""


class LeastNorms(NamedTuple):
    """A norm of balanced layers in symbols: with the 1-norms of matrices, and with their 2-norms."""

    one: Expr
    two: Expr


def balanced_heads(strength: Expr) -> Expr:
    """The norm of balanced heads with sum |Q| |K| |V| = strength.

    >>> balanced_heads(4 * N**3)
    3*N
    """
    return Rational(3, 2) * cbrt(2 * strength)


def projection_norms(problem: Problem) -> LeastNorms:
    """The least C_w for the box over rescalings, with clearing included: 2 sqrt(|W1| |W2|).

    W1 has rows +-w - h, each weight in two of them, so its column sums are 2 and 2 sum h, and its columns are
    orthogonal; W2 has one entry +-1 a unit and two a row.  h = B_v / sqrt(dims[j-1]) in layer j.
    """
    inner = sqrt(d) * K + (N - 2) * sqrt(K) * K + sqrt(K) * d_out
    sides = inner if problem.N > 1 else sqrt(d) * d_out
    return LeastNorms(*(2 * sqrt(2 * Max(1, B_v * size, evaluate=False)) for size in (sides, sqrt(NEURONS))))


def update_norms(offset: Expr) -> LeastNorms:
    """The update of w, balanced, with masking offset `offset`.

    One head per unit with key s + (2t - 1) offset, and one per layer that subtracts offset * sum p.
    """
    scale = eta * (n + 1) / (2 * n)
    removed = offset * ((N - 1) * sqrt(K) + sqrt(d_out))
    return LeastNorms(
        balanced_heads(scale * NEURONS * (Max(1, 2 * offset, evaluate=False) + offset)),
        balanced_heads(scale * (NEURONS * sqrt(1 + 5 * offset**2) + removed)),
    )
