"""What the signals of a chain are on random prompts: which multipliers matter, and where a search begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import fmpq_mat

from icgd.verify.given_linear.exact_bounds import floats
from icgd.verify.given_linear.signal_chain import OperatorPairs, SignalChain

_PROMPTS, _EXAMPLES = 24, 3
"""How many prompts, and of how many examples each."""


@dataclass(frozen=True, eq=False)
class FamilySamples:
    """Of the pairs of one operator.

    outer: (pairs, rows, W).  hidden: (pairs, H).  slack: (pairs, pairs), of forward pairs the mean of
    <s_i, s_j> - <b_i, b_j> and of adjoint ones that of <u_i, u_j> - <z_i, z_j>.  power: (pairs,), the
    mean square of s or u.  weight: (pairs,), how much what comes out moves the difference, at most.
    """

    outer: np.ndarray
    hidden: np.ndarray
    slack: np.ndarray
    power: np.ndarray
    weight: np.ndarray
    forward: int


@dataclass(frozen=True, eq=False)
class SignalSamples:
    """families: those that have pairs.  known: (W, W), mean products of coordinates.

    hidden: (H, H), the mean inner products of vectors for a prompt.  numbers: (t, t), those of numbers.
    """

    families: list[FamilySamples]
    known: np.ndarray
    hidden: np.ndarray
    numbers: np.ndarray


def signal_samples(chain: SignalChain) -> SignalSamples:
    """Means over random prompts, always the same, in radii 1."""
    rng = np.random.default_rng(0)
    d, W = chain.difference.nrows(), chain.difference.ncols()
    D, families = floats(chain.difference), [_family(one, W) for one in chain.families]
    known, hidden, numbers = (np.zeros((size, size)) for size in (W, chain.hidden, chain.numbers))
    start = W + chain.hidden * _EXAMPLES  # of the numbers, in one vector of all that is unknown
    total = start + chain.numbers
    first, read = np.zeros(total), np.zeros((d, total))
    first[0], read[:, :W] = 1.0, D
    for index in range(_PROMPTS):
        operators = _random_operators(rng, d, index)
        made = np.zeros((total, total))
        for operator, family, width, at in zip(
            operators, families, (_EXAMPLES, _EXAMPLES, 1), (W, W, start), strict=True
        ):
            for pair, (outer, vector) in enumerate(zip(family.outer, family.hidden, strict=True)):
                if pair < family.forward:
                    for place in np.flatnonzero(vector).tolist():
                        columns = slice(at + place * width, at + (place + 1) * width)
                        made[outer.argmax(1), columns] += vector[place] * operator
                else:
                    place = int(vector.argmax())
                    made[at + place * width : at + (place + 1) * width, :W] += operator.T @ outer
        left = np.eye(total) - made
        values, moved = np.linalg.solve(left, first), np.linalg.solve(left.T, read.T).T
        c, s, t = values[:W], values[W:start].reshape(chain.hidden, _EXAMPLES), values[start:, None]
        known += np.outer(c, c) / _PROMPTS
        hidden += s @ s.T / _PROMPTS
        numbers += t @ t.T / _PROMPTS
        of_vectors = moved[:, W:start].reshape(d, chain.hidden, _EXAMPLES)
        for family, vectors, sensitive in zip(
            families, (s, s, t), (of_vectors, of_vectors, moved[:, start:, None]), strict=True
        ):
            if len(family.outer):
                _add(family, family.outer @ c, family.hidden @ vectors, moved[:, :W], sensitive)
    return SignalSamples([one for one in families if len(one.outer)], known, hidden, numbers)


def _family(pairs: OperatorPairs, W: int) -> FamilySamples:
    count = len(pairs.outer)
    outer = np.array([floats(one) for one in pairs.outer]) if count else np.zeros((0, 1, W))
    hidden = floats(fmpq_mat([list(one) for one in pairs.hidden])) if count else np.zeros((0, 0))
    zero = np.zeros(count)
    return FamilySamples(outer, hidden, np.zeros((count, count)), zero, zero.copy(), pairs.forward)


def _random_operators(rng: np.random.Generator, d: int, index: int) -> tuple[np.ndarray, ...]:
    """Inputs, labels and the query; in some prompts all examples are the same, or inside the radii."""
    x, q = rng.normal(size=(d, _EXAMPLES)), rng.normal(size=(d, 1))
    x, q = (part / np.linalg.norm(part, axis=0) for part in (x, q))
    y = np.where(rng.random((1, _EXAMPLES)) < 0.5, -1.0, 1.0)
    if index % 4 == 0:
        x[:], y[:] = x[:, :1], y[:, :1]
    if index % 4 == 3:
        x *= rng.random((1, _EXAMPLES)) ** (1 / d)
        y *= rng.random((1, _EXAMPLES))
    return x / _EXAMPLES**0.5, y / _EXAMPLES**0.5, q


def _add(
    family: FamilySamples, outer: np.ndarray, hidden: np.ndarray, known: np.ndarray, vectors: np.ndarray
) -> None:
    """One prompt's share.

    outer: (pairs, rows).  hidden: (pairs, n).  known: (d, W) and vectors: (d, H, n), the derivatives of the
    difference in what is added to coordinates and to vectors.
    """
    kept = family.forward
    apart = (hidden @ hidden.T - outer @ outer.T) / _PROMPTS
    family.slack[:kept, :kept] += apart[:kept, :kept]
    family.slack[kept:, kept:] -= apart[kept:, kept:]
    family.power[:kept] += np.square(hidden[:kept]).sum(1) / _PROMPTS
    family.power[kept:] += np.square(outer[kept:]).sum(1) / _PROMPTS
    for pair in range(len(outer)):
        if pair < kept:
            size, sensitive = np.linalg.norm(outer[pair]), known[:, family.outer[pair].argmax(1)]
        else:
            size, sensitive = np.linalg.norm(hidden[pair]), vectors[:, family.hidden[pair].argmax()]
        family.weight[pair] = max(family.weight[pair], float(size * np.linalg.norm(sensitive)))


def chosen_pairs(family: FamilySamples, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Which multipliers of a family are searched: of pairs that weigh at least this together, and a few more.

    These are the squares of every pair, and what ties a vector to what it is applied to.
    """
    rows, columns = np.triu_indices(len(family.weight))
    kept = family.forward
    tied = (rows < kept) & (columns >= kept) & ((family.hidden @ family.hidden.T)[rows, columns] != 0)
    heavy = family.weight[rows] * family.weight[columns] >= least
    taken = (rows == columns) | tied | heavy
    return rows[taken], columns[taken]


def least_weight(families: list[FamilySamples], most: int) -> float:
    """The least product of weights with which at most this many multipliers are searched, about."""
    products = []
    for family in families:
        rows, columns = np.triu_indices(len(family.weight))
        products.append(family.weight[rows] * family.weight[columns])
    each = np.sort(np.concatenate(products))
    return float(each[-most]) if len(each) > most else 0.0
