"""The literal matrices of the theorem, stored sparse until they are needed in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem

if TYPE_CHECKING:
    from icgd.construct.block.stream import Stream

MatrixEntry = tuple[int, int, float]
"""Row, column, value."""

Order = Literal[1, 2]
"""Of an operator norm: 1 is the largest column sum (arXiv 2411.16549, B.1), 2 the largest singular value."""

Entries = npt.NDArray[np.float64]
"""Entries, one per row: (E, 3).  Indices are exact in float64 up to 2**53."""


class Sparse:
    """A sparse real matrix, built from (row, column, value) entries; entries at equal positions add up.

    Memory is proportional to the number of entries, whatever the shape.
    """

    def __init__(self, shape: tuple[int, int], entries: Iterable[MatrixEntry] | Entries) -> None:
        listed = entries if isinstance(entries, np.ndarray) else np.array(list(entries), dtype=np.float64)
        row, column, value = listed.reshape(-1, 3).T
        places, which = np.unique(
            row.astype(np.int64) * shape[1] + column.astype(np.int64), return_inverse=True
        )
        sums = np.bincount(which, weights=value, minlength=len(places)).astype(np.float64)
        kept = sums != 0.0
        self.shape = shape
        self.rows, self.columns = np.divmod(places[kept], max(shape[1], 1))
        self.values = sums[kept]

    @property
    def nonzeros(self) -> int:
        return len(self.values)

    def dense(self) -> Float[Tensor, "rows columns"]:
        """The full matrix in float64."""
        full = torch.zeros(self.shape, dtype=torch.float64)
        full[torch.from_numpy(self.rows), torch.from_numpy(self.columns)] = torch.from_numpy(self.values)
        return full

    def norm(self, order: Order = 2) -> float:
        """The operator norm: 2 from the Gram matrix over the nonzero rows and columns, 1 from column sums."""
        if not self.nonzeros:
            return 0.0
        if order == 1:
            return float(np.bincount(self.columns, np.abs(self.values)).max())
        rows, i = np.unique(self.rows, return_inverse=True)
        columns, j = np.unique(self.columns, return_inverse=True)
        if min(len(rows), len(columns)) == 1:
            return float(np.linalg.norm(self.values))
        part = scipy.sparse.csr_array((self.values, (i, j)), shape=(len(rows), len(columns)))
        gram = part @ part.T if len(rows) <= len(columns) else part.T @ part
        if gram.nnz == gram.shape[0]:  # diagonal, as no row or column is 0
            return float(np.sqrt(gram.data.max()))
        return float(np.sqrt(np.linalg.eigvalsh(gram.toarray())[-1]))


@dataclass(frozen=True)
class Head:
    """One attention head: value V, query Q and key K, each D x D."""

    Q: Sparse
    K: Sparse
    V: Sparse

    @classmethod
    def of(cls, D: int, Q: Iterable[MatrixEntry], K: Iterable[MatrixEntry], V: Iterable[MatrixEntry]) -> Head:
        return cls(Sparse((D, D), Q), Sparse((D, D), K), Sparse((D, D), V))


@dataclass(frozen=True)
class LiteralLayer:
    """One layer as the paper writes it: attention heads, then an MLP; either may be absent.

    diagonal: whether each token attends to itself alone (our reading of the paper's EWML).
    W1: (hidden, D), W2: (D, hidden).
    """

    heads: tuple[Head, ...]
    W1: Sparse
    W2: Sparse
    diagonal: bool

    @property
    def hidden(self) -> int:
        return self.W1.shape[0]

    @property
    def sublayers(self) -> int:
        return bool(self.heads) + bool(self.hidden)

    def norm(self, order: Order = 2) -> float:
        """max_m max(|Q_m|, |K_m|) + sum_m |V_m| + |W1| + |W2|.

        Bai et al. 2023, equation 2, with the 2-norm; arXiv 2411.16549, (B.1), with the 1-norm.
        """
        reach = max((max(head.Q.norm(order), head.K.norm(order)) for head in self.heads), default=0.0)
        values = sum(head.V.norm(order) for head in self.heads)
        return reach + values + self.W1.norm(order) + self.W2.norm(order)

    def bytes(self, D: int) -> int:
        """Memory of the matrices in full."""
        return 8 * D * (3 * len(self.heads) * D + 2 * self.hidden)

    def parameters(self) -> int:
        """Nonzero entries of all matrices."""
        heads = sum(head.Q.nonzeros + head.K.nonzeros + head.V.nonzeros for head in self.heads)
        return heads + self.W1.nonzeros + self.W2.nonzeros


class Block(Protocol):
    """One gradient step with literal matrices.  attention: relu (divided by the token count) or softmax."""

    @property
    def name(self) -> str: ...

    @property
    def attention(self) -> str: ...

    @property
    def problem(self) -> Problem: ...

    @property
    def stream(self) -> Stream: ...

    def literal(self) -> Iterator[LiteralLayer]: ...
