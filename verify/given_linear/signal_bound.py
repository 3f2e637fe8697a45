"""A bound on a chain of signals by multipliers: sums of squares that are found in floats and proved in balls.

For operators of norm at most 1 with forward pairs (b = X s) and adjoint pairs (z = X^T u),

    <s_i, z_j> = <b_i, u_j>,    [<s_i, s_j> - <b_i, b_j>] >= 0,    [<u_i, u_j> - <z_i, z_j>] >= 0

hold as they stand and as matrices.  With a symmetric matrix of multipliers for each operator, whose block of
forward pairs is positive definite and whose block of adjoint ones is negative definite, the bound is the
least b with b - norm2(D)^2 a sum of two forms that are not negative: one of what is known on the side of
inputs, one of the vectors for examples.  Without a mask it is b - t^2, t = q^T D, and a third form is that of
the numbers that the query makes.

Source: N. Bousselmi, J. M. Hendrickx and F. Glineur, Interpolation conditions for linear operators and
applications to performance estimation problems, SIAM Journal on Optimization 34 (2024), 3033-3063, arXiv
2302.08781.  By their Theorem 3.1 these conditions (there for singular values up to L) are necessary and
sufficient for an operator with these pairs to exist.  Only that they are necessary is used here, which takes
a line: X^T is the adjoint of X, and I - X^T X and I - X X^T are positive semidefinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from flint import arb, arb_mat, fmpq_mat

from icgd.bounds.algebra.rationals import to_flint
from icgd.bounds.functions.scalar import upper_float
from icgd.verify.given_linear.cone_search import Cone, ConeBlock, feasible_points
from icgd.verify.given_linear.exact_bounds import floats
from icgd.verify.given_linear.signal_chain import OperatorPairs, SignalChain
from icgd.verify.given_linear.signal_samples import chosen_pairs, least_weight, signal_samples

CLOSE_ENOUGH = 1.1
"""The search ends this near to the largest value that is reached."""

MOST_SEARCHED = 2_000
"""How many multipliers are searched, about; the others are 0."""

_TRIES = 4
"""How many of the points that are found are tried, best first."""

_SIZE = 1e-6
"""What multipliers cost, so that they stay bounded, over the mean square of what they are applied to."""

_SPREAD, _FLOOR = 0.1, 1e-6
"""What is added to means over prompts, so that they are definite: a share of each and of the largest."""


@np.errstate(all="ignore")  # multipliers that overflow prove nothing
def chain_bound(chain: SignalChain, reached: float) -> float:
    """At least norm2 of the difference for all prompts; infinity where no multipliers are found.

    reached: what a prompt reaches, above 0.
    """
    if not any(chain.difference.entries()):
        return 0.0
    chain = _per_unit(chain, reached)
    for tables in _searched(chain):
        if _is_proved(chain, tables):
            return upper_float(arb(float(tables[0][0, 0])).sqrt() * arb(reached))
    return math.inf


def _searched(chain: SignalChain) -> Iterator[list[np.ndarray]]:
    """Tables of multipliers whose forms are positive definite in floats, the least bound first."""
    samples = signal_samples(chain)
    D = floats(chain.difference)
    first = np.zeros((1, 1, D.shape[1]))
    first[0, 0, 0] = 1.0
    least = least_weight(samples.families, MOST_SEARCHED)
    chosen, cost = [(np.zeros(1, dtype=int),) * 2], [np.ones(1)]
    outer, blocks, duals = {0: first}, [], []
    sides: tuple[dict[int, np.ndarray], dict[int, np.ndarray]] = {}, {}
    for f, (family, (_, of_query)) in enumerate(zip(samples.families, _used(chain), strict=True), start=1):
        rows, columns = chosen_pairs(family, least)
        chosen.append((rows, columns))
        signs = np.where(np.arange(len(family.power)) < family.forward, 1.0, -1.0)
        cost.append(np.where(rows == columns, _SIZE * (signs * _lifted(family.power))[rows], 0.0))
        outer[f], sides[of_query][f] = family.outer, family.hidden[:, None]
        eye = np.eye(len(family.power))[:, None]
        for part, sign in ((slice(0, family.forward), 1.0), (slice(family.forward, None), -1.0)):
            if size := len(family.power[part]):
                blocks.append(ConeBlock(np.zeros((size, size)), sign, {f: eye[..., part]}))
                duals.append(_definite(family.slack[part, part], family.power[part]))
    aim = np.zeros((chain.numbers,) * 2)
    aim[-1:, -1:] = -1.0
    for base, sign, vectors, mean in (
        (np.zeros_like(samples.known) if chain.numbers else -D.T @ D, 1.0, outer, samples.known),
        (np.zeros_like(samples.hidden), -1.0, sides[0], samples.hidden),
        (aim, -1.0, sides[1], samples.numbers),
    ):
        if len(base):
            blocks.append(ConeBlock(base, sign, vectors))
            duals.append(_definite(mean, np.diag(mean)))
    cone = Cone(blocks, [1, *(len(one.power) for one in samples.families)], chosen)
    found = feasible_points(cone, np.concatenate(cost), duals, CLOSE_ENOUGH**2)
    yield from (cone.tables(y) for y in found[: -_TRIES - 1 : -1])


def _lifted(power: np.ndarray) -> np.ndarray:
    return power + _FLOOR * (power.max() or 1.0)


def _definite(mean: np.ndarray, power: np.ndarray) -> np.ndarray:
    return mean + np.diag(_SPREAD * power + _FLOOR * (power.max() or 1.0))


def _per_unit(chain: SignalChain, reached: float) -> SignalChain:
    """The chain of the difference over what is reached."""
    difference = chain.difference * (1 / to_flint(reached))
    families = list(chain.families)
    if chain.numbers:  # the last t is made from the difference
        families[2] = replace(families[2], outer=(*families[2].outer[:-1], difference))
    return replace(chain, difference=difference, families=tuple(families))


def _used(chain: SignalChain) -> list[tuple[OperatorPairs, bool]]:
    """The families that have pairs, and which of them is the query."""
    return [(one, at == 2) for at, one in enumerate(chain.families) if one.outer]


def _is_proved(chain: SignalChain, tables: Sequence[np.ndarray]) -> bool:
    """Whether multipliers, taken as exact, are symmetric and their forms positive definite, in balls.

    The chain is over what is reached.
    """
    if not all(np.array_equal(table, table.T) for table in tables):
        return False
    known = _balls(chain.difference)
    width = known.ncols()
    total = arb_mat(width, width) if chain.numbers else -(known.transpose() * known)
    total[0, 0] += arb(float(tables[0][0, 0]))
    sides = [arb_mat(chain.hidden, chain.hidden), arb_mat(chain.numbers, chain.numbers)]
    if chain.numbers:
        sides[1][chain.numbers - 1, chain.numbers - 1] = arb(-1)
    for (family, of_query), table in zip(_used(chain), tables[1:], strict=True):
        values = table.tolist()
        kept, count = family.forward, len(values)
        signed = [[row[:kept] for row in values[:kept]], [[-v for v in row[kept:]] for row in values[kept:]]]
        if not all(is_surely_positive(arb_mat(part)) for part in signed if part):
            return False
        outer = [_balls(one) for one in family.outer]
        for p in range(count):
            moved = arb_mat(outer[p].nrows(), outer[p].ncols())
            for q in range(count):
                if values[p][q]:
                    moved = moved + outer[q] * arb(values[p][q])
            total = total + outer[p].transpose() * moved
        vectors = _balls(fmpq_mat([list(one) for one in family.hidden]))
        sides[of_query] = sides[of_query] - vectors.transpose() * arb_mat(values) * vectors
    return all(is_surely_positive(form) for form in (total, *sides))


def _balls(matrix: fmpq_mat) -> arb_mat:
    return arb_mat([[arb(value) for value in row] for row in matrix.tolist()])


def is_surely_positive(matrix: arb_mat) -> bool:
    """Whether elimination in balls shows that a symmetric matrix is positive definite; reads its lower half.

    >>> is_surely_positive(arb_mat([[2, 1], [1, 2]])), is_surely_positive(arb_mat([[1, 1], [1, 1]]))
    (True, False)
    """
    rows = matrix.tolist()
    size = len(rows)
    for k in range(size):
        pivot = rows[k][k]
        if not pivot > 0:
            return False
        column = [rows[i][k] / pivot for i in range(k + 1, size)]
        for i in range(k + 1, size):
            if not rows[i][k].is_zero():
                for j in range(k + 1, i + 1):
                    rows[i][j] -= column[i - k - 1] * rows[j][k]
    return True
