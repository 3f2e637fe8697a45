r"""The least norm of a layer over rescalings that leave its map unchanged, and the layer that attains it.

A ReLU is positively homogeneous, and so is EWML, with or without a ReLU.  So for all a, c, b_h > 0 a head
with a Q, c K, V / (a c), and an MLP with row h of W1 times b_h and column h of W2 divided by b_h, are the
same map (softmax is not homogeneous, and is refused).  The least of (B.1) over them, with q, k, v the norms
of a head:

Attention.  Let S = sum_m q_m k_m v_m, and t the largest |a Q| or |c K|.  Then a c <= t^2 / (q k) in every
head, so the norm is at least t + S / t^2 = t/2 + t/2 + S / t^2 >= 3 (S/4)^(1/3) = (3/2) (2S)^(1/3), by the
inequality of the means.  Equality: every head has |a Q| = |c K| = t = (2S)^(1/3).  A head with q k v = 0 adds
nothing; it counts, and is written, as 0, which rescalings approach.
MLP, one factor b.  b |W1| + |W2| / b >= 2 sqrt(|W1| |W2|), with equality for b^2 = |W2| / |W1|.
MLP, 1-norm, a factor for each unit.  Let w_h = |column h of W2|_1 and s = max_h w_h / b_h = |W2|_1.  Then
b_h >= w_h / s, so |W1|_1 >= A / s with A = max_i sum_h w_h |W1[h, i]|, and A / s + s >= 2 sqrt(A).  Equality:
b_h = w_h / sqrt(A).  A unit whose row or column is 0 adds nothing, as above.
Both.  The norms of a layer add up and their factors are free of each other: the least is the sum of the two.

In the 1-norm every unit has its factor; in the 2-norm every MLP has one, as a factor for each unit has no
closed form there (and cannot bring an MLP below 2 sqrt(|W2 W1|)).

Scratch slots may be stored in other units as well: with a positive diagonal matrix E that is 1 outside the
scratch, the layers Q / E, K / E, E V / E, W1 / E, E W2 map E H to E (what the old ones make of H).  Scratch
starts and ends at 0, so the whole block is the same map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.literal import Block, Head, LiteralLayer, Order, Sparse
from icgd.construct.block.stream import Stream

HOMOGENEOUS = ("relu", "linear")
"""The kinds of attention whose weights are in proportion to positive factors of the scores."""

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerNorms:
    """The norms of all matrices of a layer, as built, and the least norm over rescalings.

    order: of the operator norm.  q, k, v: (M,), by head.  first, second: of W1 and W2.
    through: the largest column sum of |W2|, |W1|, one after the other: A above (1-norm only).

    >>> layer = LiteralLayer((), Sparse((1, 1), [(0, 0, 8.0)]), Sparse((1, 1), [(0, 0, 2.0)]), False)
    >>> norms = LayerNorms.of(layer, 1)
    >>> norms.built, norms.least
    (10.0, 8.0)
    """

    order: Order
    q: _Values
    k: _Values
    v: _Values
    first: float
    second: float
    through: float

    @classmethod
    def of(cls, layer: LiteralLayer, order: Order) -> LayerNorms:
        """Measured on the literal matrices."""
        q, k, v = (
            np.array([getattr(head, part).norm(order) for head in layer.heads], dtype=np.float64)
            for part in "QKV"
        )
        first, second = layer.W1.norm(order), layer.W2.norm(order)
        through = _through(layer) if order == 1 else first * second
        return cls(order, q, k, v, first, second, through)

    @cached_property
    def strength(self) -> float:
        """S, the sum of q k v over the heads."""
        return float((self.q * self.k * self.v).sum())

    @property
    def built(self) -> float:
        """(B.1) for the matrices as they are."""
        reach = max(float(self.q.max(initial=0.0)), float(self.k.max(initial=0.0)))
        return reach + float(self.v.sum()) + self.first + self.second

    @property
    def least(self) -> float:
        """The least of (B.1) over the rescalings of heads and hidden units."""
        return least_attention(self.strength) + 2 * math.sqrt(self.through)


def least_attention(strength: float) -> float:
    """(3/2) (2S)^(1/3), the least norm of heads with sum q k v = S over their rescalings.

    >>> least_attention(4.0)
    3.0
    """
    return 1.5 * float(np.cbrt(2 * strength))


def _weights(layer: LiteralLayer) -> _Values:
    """w_h: the 1-norm of every column of W2."""
    sums = np.bincount(layer.W2.columns, np.abs(layer.W2.values), minlength=layer.hidden)
    return sums.astype(np.float64)  # of nothing, they are integers


def _through(layer: LiteralLayer) -> float:
    """A: the largest over i of sum_h w_h |W1[h, i]|."""
    sums = np.bincount(layer.W1.columns, np.abs(layer.W1.values) * _weights(layer)[layer.W1.rows])
    return float(sums.max(initial=0.0))


def balanced_layer(layer: LiteralLayer, order: Order) -> LiteralLayer:
    """The same map with the least norm over rescalings, as literal matrices."""
    norms = LayerNorms.of(layer, order)
    t = np.cbrt(2 * norms.strength)
    with np.errstate(all="ignore"):  # what leaves float64 is refused
        heads = tuple(
            Head(_scaled(head.Q, t / q), _scaled(head.K, t / k), _scaled(head.V, (q / t) * (k / t)))
            for head, q, k, v in zip(layer.heads, norms.q, norms.k, norms.v, strict=True)
            if q and k and v
        )
    if not norms.through:
        return replace(layer, heads=heads, W1=Sparse(layer.W1.shape, []), W2=Sparse(layer.W2.shape, []))
    if order == 1:
        factors = _weights(layer) / math.sqrt(norms.through)
        back = np.divide(1.0, factors, out=np.zeros_like(factors), where=factors > 0)
    else:
        factors = np.full(layer.hidden, math.sqrt(norms.second / norms.first))
        back = 1 / factors
    return replace(
        layer,
        heads=heads,
        W1=_scaled(layer.W1, factors[layer.W1.rows]),
        W2=_scaled(layer.W2, back[layer.W2.columns]),
    )


def in_units(layer: LiteralLayer, units: _Values) -> LiteralLayer:
    """The layer on a stream whose coordinate i holds units[i] times what it held before; units: (D,)."""

    def read(matrix: Sparse) -> Sparse:
        return _scaled(matrix, 1 / units[matrix.columns])

    def written(matrix: Sparse) -> Sparse:
        return _scaled(matrix, units[matrix.rows])

    heads = tuple(Head(read(head.Q), read(head.K), written(read(head.V))) for head in layer.heads)
    return replace(layer, heads=heads, W1=read(layer.W1), W2=written(layer.W2))


def unit_vector(stream: Stream, units: Mapping[str, float]) -> _Values:
    """The unit of every coordinate, from those of named slots; the others are 1.  (D,)."""
    found = np.ones(stream.D)
    for name, unit in units.items():
        found[stream[name].start : stream[name].stop] = unit
    return found


def _scaled(matrix: Sparse, factors: _Values | float) -> Sparse:
    """A matrix with its nonzero values times `factors`; raises ProblemError where they leave float64."""
    values = matrix.values * factors
    normal = (np.abs(values) >= np.finfo(np.float64).tiny) & np.isfinite(values)
    if not (normal | (np.asarray(factors) == 0)).all():
        raise ProblemError("weights", "rescaled", "a rescaled matrix leaves the range of float64")
    return Sparse(matrix.shape, np.column_stack([matrix.rows, matrix.columns, values]))


def norm_above(layer: LiteralLayer, order: Order) -> float:
    """A number that (B.1) of the matrices as stored does not exceed, rounding included."""

    def above(matrix: Sparse) -> float:
        return _column_sum_above(matrix) if order == 1 else _singular_value_above(matrix)

    reach = max((max(above(head.Q), above(head.K)) for head in layer.heads), default=0.0)
    parts = [reach, *(above(head.V) for head in layer.heads), above(layer.W1), above(layer.W2)]
    return math.nextafter(math.fsum(parts), math.inf) if any(parts) else 0.0


def _column_sum_above(matrix: Sparse) -> float:
    """The 1-norm, rounded up: fsum is off by half an ulp."""
    order = np.argsort(matrix.columns, kind="stable")
    starts = np.flatnonzero(np.diff(matrix.columns[order], prepend=-1))
    columns = np.split(np.abs(matrix.values[order]), starts[1:]) if len(starts) else []
    return max((math.nextafter(math.fsum(column.tolist()), math.inf) for column in columns), default=0.0)


def _singular_value_above(matrix: Sparse) -> float:
    """A bound on the 2-norm, tight to rounding, that trusts no eigenvalue routine.

    For G = A A^T and any Q and diagonal matrix L of its size, |G| <= |L| |Q|^2 + |G - Q L Q^T| and
    |Q|^2 <= 1 + |Q^T Q - I|; Frobenius norms bound the differences, gamma_k the rounding of the products
    (Higham, Accuracy and Stability, 3.1).
    """
    if not matrix.nonzeros:
        return 0.0
    rows, i = np.unique(matrix.rows, return_inverse=True)
    columns, j = np.unique(matrix.columns, return_inverse=True)
    part = scipy.sparse.csr_array((matrix.values, (i, j)), shape=(len(rows), len(columns)))
    if len(rows) > len(columns):
        part = part.T
    size, longest = part.shape
    gram = (part @ part.T).toarray()
    values, vectors = np.linalg.eigh(gram)
    largest = float(np.abs(values).max())
    gamma = (size + longest + 4) * 2.0**-53 / (1 - (size + longest + 4) * 2.0**-53)
    ones = np.linalg.norm(vectors.T @ vectors - np.eye(size)) + gamma * np.linalg.norm(vectors) ** 2
    off = np.linalg.norm(gram - (vectors * values) @ vectors.T)
    off += gamma * (float((matrix.values**2).sum()) + largest * float(np.linalg.norm(vectors)) ** 2)
    # The sums above round a few times more: these are gamma of their own sizes, doubled to be safe.
    square = largest * (1 + 2 * float(ones)) + 2 * float(off)
    return math.sqrt(square) * (1 + 2.0**-50)


@dataclass(frozen=True)
class BalancedBlock:
    """A block with every layer balanced: the same map with the least norms over rescalings.

    order: of the operator norm.  units: how many of its own units each scratch slot holds for 1 of the
    original's, by name; the others are 1.  Raises ProblemError if its attention is not homogeneous, or for
    units of what is no scratch.
    """

    original: Block
    order: Order
    units: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.original.attention not in HOMOGENEOUS:
            kinds = " and ".join(HOMOGENEOUS)
            raise ProblemError(
                "attention", self.original.attention, f"only heads of {kinds} attention can be rescaled"
            )
        scratch = dict(self.stream.scratch)
        for name, unit in self.units.items():
            if name not in scratch or not 0 < unit < math.inf:
                raise ProblemError("units", f"{name}: {unit}", "positive units of scratch slots are needed")

    @property
    def name(self) -> str:
        return self.original.name

    @property
    def attention(self) -> str:
        return self.original.attention

    @property
    def problem(self) -> Problem:
        return self.original.problem

    @property
    def stream(self) -> Stream:
        return self.original.stream

    def literal(self) -> Iterator[LiteralLayer]:
        """The balanced matrices, layer by layer."""
        units = unit_vector(self.stream, self.units)
        for layer in self.original.literal():
            yield balanced_layer(in_units(layer, units) if self.units else layer, self.order)


def balanced(block: Block, order: Order = 1, units: Mapping[str, float] | None = None) -> BalancedBlock:
    """The block with every layer balanced; see `BalancedBlock`."""
    return BalancedBlock(block, order, dict(units or {}))
