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
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from flint import arb, arb_mat, fmpq_mat

from icgd.bounds.algebra.rationals import to_flint
from icgd.bounds.functions.scalar import upper_float
from icgd.verify.given_linear.exact_bounds import floats
from icgd.verify.given_linear.signal_chain import OperatorPairs, SignalChain

CLOSE_ENOUGH = 1.1
"""The search ends this near to the largest value that is reached."""

NEWTON_STEPS = 120
"""Newton steps of the search."""

_GAPS, _SMALLER, _CENTRED = (0.01, 0.1), 0.2, 1.0
"""When the barrier is weak enough to end, at first and in a second try; by what it is made weaker; how
near to its minimum it is then."""

_SIZE, _OVER, _APART = 1e-4, 0.1, 1e8
"""What multipliers cost, so that they stay bounded, and what is missing to positive definite ones."""


@dataclass(frozen=True, eq=False)
class _Block:
    """base + sign sum_f sum_pq T_f[p, q] V_f[p]^T V_f[q], positive definite.  V: (pairs, rows, size) by f."""

    base: np.ndarray
    sign: float
    V: dict[int, np.ndarray]

    def at(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """Its value at the multipliers."""
        total = self.base.copy()
        for f, V in self.V.items():
            moved = np.tensordot(tables[f], V, 1)
            size = V.shape[2]
            total += self.sign * V.reshape(-1, size).T @ moved.reshape(-1, size)
        return total


class _Barrier:
    """The log barrier of all blocks, in the upper entries of the tables and one more, t, that adds t I."""

    def __init__(self, blocks: Sequence[_Block], sizes: Sequence[int]) -> None:
        self.blocks = blocks
        self.upper = [np.triu_indices(size) for size in sizes]
        self.sizes = list(sizes)
        self.starts = np.cumsum([0, *(len(rows) for rows, _ in self.upper)])
        self.weights = [np.where(rows == columns, 1.0, 2.0) for rows, columns in self.upper]

    def tables(self, x: np.ndarray) -> list[np.ndarray]:
        """The symmetric tables of the entries x."""
        found = []
        for f, (rows, columns) in enumerate(self.upper):
            table = np.zeros((self.sizes[f],) * 2)
            table[rows, columns] = table[columns, rows] = x[self.starts[f] : self.starts[f + 1]]
            found.append(table)
        return found

    def values(self, x: np.ndarray) -> list[np.ndarray]:
        """Every block at x, whose last entry is t."""
        tables = self.tables(x)
        return [block.at(tables) + x[-1] * np.eye(len(block.base)) for block in self.blocks]

    def slope_and_curvature(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """The gradient and the Hessian of -sum log det, and the inverse Cholesky factors of the blocks."""
        slope, curve = np.zeros(len(x)), np.zeros((len(x),) * 2)
        roots = []
        for block, value in zip(self.blocks, self.values(x), strict=True):
            root = np.linalg.inv(np.linalg.cholesky(value))
            roots.append(root)
            slope[-1] -= np.square(root).sum()
            inverse = root.T @ root
            curve[-1, -1] += np.square(inverse).sum()
            halves = {f: V @ root.T for f, V in block.V.items()}
            for f, left in halves.items():
                rows, columns = self.upper[f]
                here = slice(self.starts[f], self.starts[f + 1])
                met = np.einsum("pam,qam->pq", left, left)
                slope[here] -= block.sign * self.weights[f] * met[rows, columns]
                twice = left @ root
                met = np.einsum("pam,qam->pq", twice, twice)
                curve[here, -1] += block.sign * self.weights[f] * met[rows, columns]
                for g, right in halves.items():
                    if g >= f:
                        there = slice(self.starts[g], self.starts[g + 1])
                        curve[here, there] += self._curvature(f, g, left, right)
        for f in range(len(self.sizes)):
            here = slice(self.starts[f], self.starts[f + 1])
            for g in range(f):
                there = slice(self.starts[g], self.starts[g + 1])
                curve[here, there] = curve[there, here].T
            curve[-1, here] = curve[here, -1]
        return slope, curve, roots

    def _curvature(self, f: int, g: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """tr M^-1 F_pq M^-1 F_rs for the upper pairs of two tables, F_pq the derivative of M."""
        (K, a, size), (J, b, _) = left.shape, right.shape
        W = (left.reshape(-1, size) @ right.reshape(-1, size).T).reshape(K, a, J, b).transpose(0, 2, 1, 3)
        flat = W.reshape(K * J, a * b)
        T = (flat @ flat.T).reshape(K, J, K, J)  # [q, r, p, s]
        (p, q), (r, s) = self.upper[f], self.upper[g]
        p, q, r, s = p[:, None], q[:, None], r[None], s[None]
        found = T[q, r, p, s] + T[p, r, q, s]
        return 0.5 * self.weights[f][:, None] * self.weights[g][None] * found

    def step(self, x: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, float]:
        """One Newton step on cost . x and the barrier, with its best length, and its decrement."""
        slope, curve, roots = self.slope_and_curvature(x)
        slope = slope + cost
        free = cost[-1] != 0  # t moves only while it is what is made small
        count = len(x) if free else len(x) - 1
        size = np.sqrt(np.diag(curve)[:count]) + 1e-300
        scaled = curve[:count, :count] / size[:, None] / size + 1e-13 * np.eye(count)
        move = np.zeros(len(x))
        move[:count] = -np.linalg.solve(scaled, slope[:count] / size) / size
        zero = np.zeros(len(x))
        lines = zip(roots, self.values(move), self.values(zero), strict=True)
        rates = np.concatenate([np.linalg.eigvalsh(root @ (at - base) @ root.T) for root, at, base in lines])
        return x + _length(rates, float(cost @ move)) * move, float(-slope @ move)


def _length(rates: np.ndarray, along: float) -> float:
    """Where along a - sum log(1 + a rate) is least, a > 0, inside its domain."""
    low, high = 0.0, 0.999 / max(-float(rates.min()), 1e-12)
    a = min(1.0, high / 2)
    for _ in range(50):
        each = rates / (1 + a * rates)
        slope = along - each.sum()
        low, high = (low, a) if slope > 0 else (a, high)
        better = a - slope / np.square(each).sum()
        better = better if low < better < high else (low + high) / 2
        if abs(better - a) < 1e-6 * a:
            break
        a = better
    return a


@np.errstate(all="ignore")  # multipliers that overflow prove nothing
def chain_bound(chain: SignalChain, reached: float, steps: int = NEWTON_STEPS) -> float:
    """At least norm2 of the difference for all prompts; infinity where no multipliers are found.

    reached: what a prompt reaches, above 0.
    """
    if not any(chain.difference.entries()):
        return 0.0
    chain = _per_unit(chain, reached)
    D = floats(chain.difference)
    first = np.zeros((1, 1, D.shape[1]))
    first[0, 0, 0] = 1.0
    outer, blocks = {0: first}, []
    sides: tuple[dict[int, np.ndarray], dict[int, np.ndarray]] = {}, {}
    for f, (family, of_query) in enumerate(_used(chain), start=1):
        outer[f] = np.array([floats(one) for one in family.outer])
        vectors = np.array([[float(int(v.p) / int(v.q)) for v in one] for one in family.hidden])
        sides[of_query][f] = vectors[:, None]
        eye = np.eye(len(family.outer))[:, None]
        for part, sign in ((eye[..., : family.forward], 1.0), (eye[..., family.forward :], -1.0)):
            if part.size:
                blocks.append(_Block(np.zeros((part.shape[2],) * 2), sign, {f: part}))
    blocks.append(_Block(np.zeros((D.shape[1],) * 2) if chain.numbers else -D.T @ D, 1.0, outer))
    blocks.append(_Block(np.zeros((chain.hidden,) * 2), -1.0, sides[0]))
    if chain.numbers:
        aim = np.zeros((chain.numbers,) * 2)
        aim[-1, -1] = -1.0
        blocks.append(_Block(aim, -1.0, sides[1]))
    families = [one for one, _ in _used(chain)]
    barrier = _Barrier(blocks, [1, *(len(one.outer) for one in families)])
    for gap in _GAPS:  # near the least bound, forms may be positive definite in floats alone
        try:
            tables = _searched(barrier, [one.forward for one in families], steps, gap)
        except np.linalg.LinAlgError:
            continue
        if tables is None:
            break
        if _is_proved(chain, tables):
            return upper_float(arb(float(tables[0][0, 0])).sqrt() * arb(reached))
    return math.inf


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


def _searched(barrier: _Barrier, forward: Sequence[int], steps: int, gap: float) -> list[np.ndarray] | None:
    """The tables of the smallest bound that is found; None where there is none."""
    x, cost, sizes = np.zeros((3, barrier.starts[-1] + 1))
    x[0] = cost[0] = 1.0
    for f, kept in enumerate(forward, start=1):
        rows, columns = barrier.upper[f]
        at = barrier.starts[f] + np.nonzero(rows == columns)[0]
        x[at] = np.where(np.arange(len(at)) < kept, 1.0, -1.0)
        sizes[at] = x[at]
    least = min(float(np.linalg.eigvalsh(value)[0]) for value in barrier.values(x))
    size = sum(len(block.base) for block in barrier.blocks)
    done = 0
    if least <= 0:
        x[-1] = 1.1 * -least + 1e-3
        cost[-1] = _APART
        mu = cost[-1] * x[-1] / size
        while x[-1] >= 0 and done < steps:
            x, decrement = barrier.step(x, cost / mu + min(_SIZE / mu, _OVER) * sizes)
            done += 1
            mu *= _SMALLER if decrement < _CENTRED else 1.0
        if x[-1] >= 0:
            return None
    x[-1] = cost[-1] = 0.0
    best = x
    mu = 0.1 * x[0] / size
    while done < steps and best[0] > CLOSE_ENOUGH**2:
        x, decrement = barrier.step(x, cost / mu + min(_SIZE / mu, _OVER) * sizes)
        done += 1
        best = x if x[0] < best[0] else best
        if decrement < _CENTRED:
            if mu * size < gap * x[0]:
                break
            mu *= _SMALLER
    return barrier.tables(best)


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
