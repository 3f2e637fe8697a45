"""Batches of matrices known up to an error: c + sum_k g_k e_k + r, |e_k| <= 1, rounding included.

What two quantities have in common cancels to first order, so that differences of near ones stay small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDING = 64 * 2.0**-53
"""More than gamma_k of the sums here, of at most 60 terms, with room for the rounding of radii."""


_VANISHED = 1e-290
"""More than underflow loses in any of these sums."""


@dataclass(frozen=True, eq=False)
class Affine:
    """c: (N, rows, columns).  g: (N, K, rows, columns).  r: (N, rows, columns), at least 0."""

    c: np.ndarray
    g: np.ndarray
    r: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """How far an entry may be from c."""
        return np.abs(self.g).sum(1) + self.r

    def __add__(self, other: Affine) -> Affine:
        c, g = self.c + other.c, self.g + other.g
        lost = np.abs(c) + np.abs(g).sum(1)
        return Affine(c, g, (self.r + other.r) * (1 + _ROUNDING) + _ROUNDING * lost + _VANISHED)

    def __neg__(self) -> Affine:
        return Affine(-self.c, -self.g, self.r)

    def __sub__(self, other: Affine) -> Affine:
        return self + (-other)

    def __matmul__(self, other: Affine) -> Affine:
        c = self.c @ other.c
        g = self.c[:, None] @ other.g + self.g @ other.c[:, None]
        mine, others, sizes = self.spread, other.spread, np.abs(self.c)
        r = sizes @ other.r + self.r @ np.abs(other.c) + mine @ others
        lost = (sizes + mine) @ (np.abs(other.c) + others)
        return Affine(c, g, r * (1 + _ROUNDING) + _ROUNDING * lost + _VANISHED)

    @property
    def T(self) -> Affine:
        """The transposes."""
        return Affine(self.c.swapaxes(1, 2), self.g.swapaxes(2, 3), self.r.swapaxes(1, 2))

    def mapped(self, tensor: np.ndarray) -> Affine:
        """S(G)[a, e] = sum_bc S[a, e, b, c] G[b, c]."""
        flat = tensor.reshape(-1, tensor.shape[2] * tensor.shape[3])
        shape = tensor.shape[:2]
        N, K = self.g.shape[:2]
        c = (self.c.reshape(N, -1) @ flat.T).reshape(N, *shape)
        g = (self.g.reshape(N, K, -1) @ flat.T).reshape(N, K, *shape)
        sizes = np.abs(flat.T)
        r = (self.r.reshape(N, -1) @ sizes).reshape(N, *shape)
        lost = ((np.abs(self.c) + self.spread).reshape(N, -1) @ sizes).reshape(N, *shape)
        return Affine(c, g, r * (1 + _ROUNDING) + 2 * _ROUNDING * lost + _VANISHED)

    @classmethod
    def once(cls, matrix: np.ndarray, like: Affine) -> Affine:
        """One matrix, whose entries were rounded once, for every member of the batch."""
        N, K = like.g.shape[:2]
        return cls(
            np.broadcast_to(matrix, (N, *matrix.shape)).copy(),
            np.zeros((N, K, *matrix.shape)),
            np.broadcast_to(_ROUNDING * np.abs(matrix) + _VANISHED, (N, *matrix.shape)).copy(),
        )
