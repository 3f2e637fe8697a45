"""Exact moments of samples x = S^(1/2) u, u uniform on the sphere of radius sqrt(d), so that E x x^T = S.

A normal vector is such a u times an independent length, so moments of one sample are those of N(0, S) divided
by those of the length; samples are then told apart one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise
from math import factorial, prod

from icgd.bounds.algebra.gaussian_moments import Pair, SampleCovariance
from icgd.bounds.algebra.rationals import to_flint
from icgd.bounds.algebra.ring_matrices import Matrix, Ring

_Parts = tuple[int, ...]
"""A multiset of positive whole numbers, in descending order."""


def sphere_factor(d: int, factors: int) -> Fraction:
    """d^b / (d (d + 2) .. (d + 2 b - 2)): a product of b entries of u u^T over the one for normal vectors.

    >>> sphere_factor(2, 2), sphere_factor(1, 2)
    (Fraction(1, 2), Fraction(1, 3))
    """
    return Fraction(d**factors, prod(d + 2 * k for k in range(factors)))


class SphereCovariance(SampleCovariance):
    """Moments of the entries of C = (1/n) sum_i x_i x_i^T for inputs on the sphere.

    S, inverse_n: as for normal inputs, over a ring of flint.  The factors are shared out among the samples in
    every way; those of one sample have a moment of their own.

    >>> from flint import fmpq
    >>> SphereCovariance([[fmpq(2)]], fmpq(1, 4)).moment(((0, 0), (0, 0)))  # at d = 1, C is S
    4
    """

    def __init__(self, S: Matrix, inverse_n: Ring) -> None:
        super().__init__(S, inverse_n)
        self._of_one = SampleCovariance(S, 1)
        self._shared: dict[tuple[tuple[Pair, ...], int], Ring] = {}

    def moment(self, factors: Sequence[Pair]) -> Ring:
        """E of the product of C_ij over the pairs (i, j)."""
        return self._shared_out(tuple(sorted((min(pair), max(pair)) for pair in factors)), 0)

    def _shared_out(self, factors: tuple[Pair, ...], used: int) -> Ring:
        """The sum over all ways to give the factors to samples other than the `used` ones."""
        if not factors:
            return 1
        key = factors, used
        if key not in self._shared:
            others = range(1, len(factors))
            total = 0 * self.inverse_n
            for size in range(len(factors)):
                # Of the n samples the first factor has n - used to choose from, the chosen ones follow it.
                weight = (1 - used * self.inverse_n) * self.inverse_n**size
                weight *= to_flint(sphere_factor(len(self.S), size + 1))
                for chosen in combinations(others, size):
                    together = (factors[0], *(factors[k] for k in chosen))
                    rest = tuple(factors[k] for k in others if k not in chosen)
                    total += weight * self._of_one.moment(together) * self._shared_out(rest, used + 1)
            self._shared[key] = total
        return self._shared[key]


def sample_moments(covariates: str) -> type[SampleCovariance]:
    """The class of moments for inputs that are "normal", or on the "sphere"."""
    return SphereCovariance if covariates == "sphere" else SampleCovariance


def sphere_traces(n: int, d: int, top: int) -> list[Fraction]:
    """E tr V^k for k = 0..top, V = sum of u u^T over n vectors uniform on the sphere of radius sqrt(d).

    >>> [int(value) for value in sphere_traces(5, 2, 3)]  # d, n d, n d (n - 1 + d), ...
    [2, 10, 60, 400]
    """
    return sample_traces(n, d, tuple(sphere_factor(d, b) for b in range(top + 1)))


def sample_traces(n: int, d: int, factor: tuple[Fraction, ...]) -> list[Fraction]:
    """E tr V^k for k < len(factor), V = sum of x x^T over n vectors of one law that rotations leave alone.

    factor[b]: E |x|^(2 b) over that of N(0, I); all 1 give `wishart_traces`.
    Samples are added one by one.  With y_m = x^T V^m x,
    tr (V + x x^T)^k = tr V^k - k [z^k] log(1 - sum_m y_m z^(m+1)), and E over x of a product of y is a sum
    over pairings of products of tr V^m.  E tr V^k is a polynomial in n of degree k, so its values for 0..k
    samples give it for all n.
    """
    top = len(factor) - 1

    @cache
    def over_x(powers: _Parts) -> dict[_Parts, int]:
        """E of the product of y_m for a standard normal x, in products of tr V^m, with tr V^0 = d."""
        if not powers:
            return {(): 1}
        found: Counter[_Parts] = Counter()
        first, rest = powers[0], powers[1:]
        for parts, weight in over_x(rest).items():
            found[_ordered((*parts, first))] += weight
        for k, other in enumerate(rest):
            for parts, weight in over_x(_ordered((first + other, *rest[:k], *rest[k + 1 :]))).items():
                found[parts] += 2 * weight
        return dict(found)

    @cache
    def added(parts: _Parts) -> dict[_Parts, Fraction]:
        """The product of tr (V + x x^T)^k, expected over x, in products of tr V^m with m > 0."""
        terms: dict[tuple[_Parts, _Parts], int] = {((), ()): 1}
        for k in parts:
            grown: Counter[tuple[_Parts, _Parts]] = Counter()
            for (traces, powers), weight in terms.items():
                grown[(*traces, k), powers] += weight
                for number, more in _logarithm(k):
                    grown[traces, _ordered((*powers, *more))] += weight * number
            terms = grown
        found: dict[_Parts, Fraction] = {}
        for (traces, powers), weight in terms.items():
            for more, times in over_x(powers).items():
                kept = _ordered(tuple(k for k in (*traces, *more) if k))
                value = weight * times * d ** more.count(0) * factor[len(powers)]
                found[kept] = found.get(kept, Fraction(0)) + value
        return found

    @cache
    def expected(samples: int, parts: _Parts) -> Fraction:
        if samples == 0 or not parts:
            return Fraction(not parts)
        return sum((w * expected(samples - 1, kept) for kept, w in added(parts).items()), Fraction(0))

    return [Fraction(d), *(_at([expected(m, (k,)) for m in range(k + 1)], n) for k in range(1, top + 1))]


def _logarithm(k: int) -> Iterator[tuple[int, _Parts]]:
    """The terms of k [z^k] -log(1 - sum_m y_m z^(m+1)): coefficient and the m of its factors y_m."""
    for parts in _partitions(k, k):
        repeated = prod(factorial(count) for count in Counter(parts).values())
        yield k * factorial(len(parts) - 1) // repeated, tuple(part - 1 for part in parts)


def _partitions(total: int, most: int) -> Iterator[_Parts]:
    if total == 0:
        yield ()
    for first in range(min(total, most), 0, -1):
        for rest in _partitions(total - first, first):
            yield (first, *rest)


def _ordered(parts: _Parts) -> _Parts:
    return tuple(sorted(parts, reverse=True))


def _at(values: Sequence[Fraction], n: int) -> Fraction:
    """The polynomial with these values at 0, 1, .., at n, by Newton's forward differences."""
    total, differences, binomial = Fraction(0), list(values), 1
    for k in range(len(values)):
        total += binomial * differences[0]
        differences = [after - before for before, after in pairwise(differences)]
        binomial = binomial * (n - k) // (k + 1)
    return total
