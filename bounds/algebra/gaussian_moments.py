"""Exact moments of Gaussian samples: Isserlis' theorem with the number of samples a symbol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import TypeAlias

from icgd.bounds.algebra.ring_matrices import Matrix, Ring

Pair: TypeAlias = tuple[int, int]


class SampleCovariance:
    """Moments of the entries of C = (1/n) sum_i x_i x_i^T, x_i ~ N(0, S) independent.

    S: covariance, as rows.  inverse_n: 1/n in the same ring, a symbol to keep n symbolic.
    Isserlis' pairings of the first factor give the recursion
    E[C_ij prod C] = S_ij E[prod C] + (1/n) sum over the other factors C_kl of
    S_ik E[C_jl ...] + S_il E[C_jk ...], so coincidences of sample indices need not be enumerated.

    >>> from fractions import Fraction
    >>> SampleCovariance([[Fraction(2)]], Fraction(1, 4)).moment(((0, 0), (0, 0)))  # S^2 (1 + 2/n)
    Fraction(6, 1)
    """

    def __init__(self, S: Matrix, inverse_n: Ring) -> None:
        self.S, self.inverse_n = S, inverse_n
        self._known: dict[tuple[Pair, ...], Ring] = {}

    def moment(self, factors: Sequence[Pair]) -> Ring:
        """E of the product of C_ij over the pairs (i, j)."""
        key = tuple(sorted((min(pair), max(pair)) for pair in factors))
        if not key:
            return 1
        if key not in self._known:
            (i, j), rest = key[0], key[1:]
            total = self.S[i][j] * self.moment(rest)
            for at, (k, l) in enumerate(rest):
                others = rest[:at] + rest[at + 1 :]
                paired = self.S[i][k] * self.moment(((j, l), *others))
                paired += self.S[i][l] * self.moment(((j, k), *others))
                total += self.inverse_n * paired
            self._known[key] = total
        return self._known[key]

    def expect(self, polynomial: Ring, entries: Mapping[int, Pair], normals: Sequence[int] = ()) -> Ring:
        """E of a flint polynomial over C and over standard normal variables.

        entries: index of a generator -> the entry of C it stands for.  normals: generators ~ N(0, 1).
        """
        context = polynomial.context()
        groups: dict[tuple[tuple[int, ...], tuple[int, ...]], dict[tuple[int, ...], Ring]] = defaultdict(dict)
        random = {*entries, *normals}
        for exponents, coefficient in polynomial.to_dict().items():
            powers = tuple(exponents[g] for g in entries), tuple(exponents[g] for g in normals)
            rest = tuple(0 if g in random else e for g, e in enumerate(exponents))
            groups[powers][rest] = groups[powers].get(rest, 0) + coefficient
        total = context.constant(0)
        pairs = list(entries.values())
        for (of_C, of_w), terms in groups.items():
            if any(power % 2 for power in of_w):
                continue
            factors = [pair for pair, power in zip(pairs, of_C, strict=True) for _ in range(power)]
            weight = prod(odd for power in of_w for odd in range(1, power, 2))
            total += context.from_dict(terms) * self.moment(factors) * weight
        return total


def wishart_traces(n: int, d: int, top: int) -> list[int]:
    """E tr W^k for k = 0..top, W = sum of n outer products of N(0, I_d) vectors.

    Gaussian integration by parts over products of traces, cached by partition:
    E[t_k T] = (n + k - 1) E[t_{k-1} T] + sum_{p=0}^{k-2} E[t_{p+1} t_{k-2-p} T]
    + sum over the factors t_m of T of 2 m E[t_{k+m-1} T / t_m], t_k = tr W^k.

    >>> wishart_traces(5, 2, 3)  # d, n d, n d (n + d + 1), ...
    [2, 10, 80, 840]
    """

    @cache
    def expected(parts: tuple[int, ...]) -> int:
        if not parts:
            return 1
        k, rest = parts[0], parts[1:]

        def times(*traces: int) -> int:
            kept = sorted([*rest, *(t for t in traces if t)], reverse=True)
            return int(d ** traces.count(0)) * expected(tuple(kept))

        total = (n + k - 1) * times(k - 1)
        total += sum(times(p + 1, k - 2 - p) for p in range(k - 1))
        for at, m in enumerate(rest):
            merged = sorted([*rest[:at], *rest[at + 1 :], k + m - 1], reverse=True)
            total += 2 * m * expected(tuple(merged))
        return total

    return [d, *(expected((k,)) for k in range(1, top + 1))]
