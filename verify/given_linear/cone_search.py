"""The least cost . y for which symmetric forms that are affine in y are positive definite, in floats.

A form and its dual are moved together, in the scaling of Nesterov and Todd and with Mehrotra's correction,
from a guess that need not be feasible.  Nothing is proved here.

Source: M. J. Todd, K. C. Toh and R. H. Tütüncü, On the Nesterov-Todd direction in semidefinite programming,
SIAM Journal on Optimization 8 (1998), 769-796.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

CONE_STEPS = 60
"""Steps of a search at most."""

_FIRST_GAP, _LAST_GAP = 0.1, 0.01
"""The product of a form and its dual at the start, and the gap over the cost at the end."""

_HELD_GAP = 0.1
"""Where the gap over the cost is below this at a point that is not feasible, only this is mended."""

_INSIDE = 0.9
"""How far towards the boundary a step goes."""


@dataclass(frozen=True, eq=False)
class ConeBlock:
    """base + sign sum_f sum_pq T_f[p, q] V_f[p]^T V_f[q], positive definite.  V: (pairs, rows, size) by f."""

    base: np.ndarray
    sign: float
    V: Mapping[int, np.ndarray]


class Cone:
    """Blocks over the entries y of symmetric tables T_f; entries that are not chosen are 0.

    chosen: for every table the rows and the columns, rows <= columns, of its entries in y.
    """

    def __init__(
        self,
        blocks: Sequence[ConeBlock],
        sizes: Sequence[int],
        chosen: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self.blocks, self.sizes, self.chosen = list(blocks), list(sizes), list(chosen)
        starts = np.cumsum([0, *(len(rows) for rows, _ in chosen)]).tolist()
        self.places = [slice(start, stop) for start, stop in pairwise(starts)]
        self.count = starts[-1]
        self.weights = [np.where(rows == columns, 1.0, 2.0) for rows, columns in chosen]

    def tables(self, y: np.ndarray) -> list[np.ndarray]:
        """The symmetric tables whose chosen entries are y."""
        found = []
        for size, (rows, columns), place in zip(self.sizes, self.chosen, self.places, strict=True):
            table = np.zeros((size, size))
            table[rows, columns] = table[columns, rows] = y[place]
            found.append(table)
        return found

    def moves(self, y: np.ndarray) -> list[np.ndarray]:
        """What y adds to the base of every block."""
        tables, found = self.tables(y), []
        for block in self.blocks:
            total = np.zeros_like(block.base)
            for f, V in block.V.items():
                moved = np.tensordot(tables[f], V, 1)
                total += block.sign * V.reshape(-1, V.shape[2]).T @ moved.reshape(-1, V.shape[2])
            found.append(_symmetric(total))
        return found

    def values(self, y: np.ndarray) -> list[np.ndarray]:
        """Every block at y."""
        return [block.base + move for block, move in zip(self.blocks, self.moves(y), strict=True)]

    def slopes(self, duals: Sequence[np.ndarray], V: Sequence[Mapping[int, np.ndarray]]) -> np.ndarray:
        """The derivatives in y of sum <dual, block>, the V of blocks replaced by these."""
        found = np.zeros(self.count)
        for block, dual, vectors in zip(self.blocks, duals, V, strict=True):
            for f, left in vectors.items():
                met = (left @ dual).reshape(len(left), -1) @ left.reshape(len(left), -1).T
                found[self.places[f]] += block.sign * self.weights[f] * _symmetric(met)[self.chosen[f]]
        return found

    def curvature(self, V: Sequence[Mapping[int, np.ndarray]]) -> np.ndarray:
        """sum tr F_i F_j, F_i the derivative of a block in y_i, the V of blocks replaced by these."""
        found = np.zeros((self.count, self.count))
        for vectors in V:
            for f, left in vectors.items():
                for g, right in vectors.items():
                    if g >= f:
                        found[self.places[f], self.places[g]] += self._met(f, g, left, right)
        for f, here in enumerate(self.places):
            for there in self.places[:f]:
                found[here, there] = found[there, here].T
        return found

    def _met(self, f: int, g: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """tr F_pq F_rs for the chosen pairs of two tables."""
        (K, a, size), (J, b, _) = left.shape, right.shape
        (p, q), (r, s) = self.chosen[f], self.chosen[g]
        W = (left.reshape(-1, size) @ right.reshape(-1, size).T).reshape(K, a, J, b)
        if a * b == 1:
            flat = W[:, 0, :, 0]
            found = flat[q][:, r] * flat[p][:, s]
            found += flat[p][:, r] * flat[q][:, s]
        else:
            each = np.ascontiguousarray(W.transpose(0, 2, 1, 3)).reshape(K, J, a * b)
            found = np.empty((len(p), len(r)))
            for one in np.unique(q):  # one at a time, since all K^2 J^2 products are much memory
                at = np.nonzero(q == one)[0]
                others, where = np.unique(p[at], return_inverse=True)
                met = each[one] @ each[others].reshape(-1, a * b).T
                first = where[:, None] * J
                found[at] = met[r[None], first + s[None]] + met[s[None], first + r[None]]
        found *= 0.5 * self.weights[f][:, None]
        found *= self.weights[g][None]
        return found


@dataclass(frozen=True, eq=False)
class _Scaling:
    """G with G^T Z G = G^-1 X G^-T = diag(at), for each block, Z its slack and X its dual."""

    G: list[np.ndarray]
    at: list[np.ndarray]

    @classmethod
    def of(cls, X: Sequence[np.ndarray], Z: Sequence[np.ndarray]) -> _Scaling:
        G, at = [], []
        for dual, slack in zip(X, Z, strict=True):
            root = np.linalg.cholesky(dual)
            left, values, _ = np.linalg.svd(root.T @ np.linalg.cholesky(slack))
            G.append(root @ left / np.sqrt(values))
            at.append(values)
        return cls(G, at)

    @property
    def gap(self) -> float:
        """The mean of the products of slack and dual."""
        return sum(float(np.square(one).sum()) for one in self.at) / sum(map(len, self.at))

    def length(self, move: Sequence[np.ndarray]) -> float:
        """How many times a scaled move leads to the boundary."""
        least = min(
            float(np.linalg.eigvalsh(part / np.sqrt(np.outer(at, at)))[0])
            for part, at in zip(move, self.at, strict=True)
        )
        return 1 / max(-least, 1e-9)


@np.errstate(all="ignore")  # what overflows ends a search
def feasible_points(
    cone: Cone, cost: np.ndarray, X: Sequence[np.ndarray], enough: float, steps: int = CONE_STEPS
) -> list[np.ndarray]:
    """Points y, of falling y_0, at which all blocks are positive definite in floats; none if none is found.

    X: positive definite guesses of the duals, a form for each block, which need not be feasible either.
    enough: the search ends at y_0 <= enough.
    """
    found: list[np.ndarray] = []
    y, X, held = np.zeros(cone.count), list(X), False
    try:
        Z = [_FIRST_GAP * _symmetric(np.linalg.inv(dual)) for dual in X]
        for _ in range(steps):
            y, X, Z, gap = _step(cone, cost, y, X, Z, held)
            if min(float(np.linalg.eigvalsh(value)[0]) for value in cone.values(y)) > 0:
                if not found or y[0] < found[-1][0]:
                    found.append(y)
                if y[0] <= enough or gap < _LAST_GAP * abs(float(y[0])):
                    break
            held = not found and gap < _HELD_GAP * abs(float(y[0]))
    except np.linalg.LinAlgError:
        pass
    return found


def _step(
    cone: Cone, cost: np.ndarray, y: np.ndarray, X: list[np.ndarray], Z: list[np.ndarray], held: bool
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray], float]:
    """y, X and Z after one step, and the sum of products of slack and dual before it.

    held: the products stay as they are on average.
    """
    scaling = _Scaling.of(X, Z)
    missing = [slack - value for slack, value in zip(Z, cone.values(y), strict=True)]
    scaled_missing = [G.T @ part @ G for G, part in zip(scaling.G, missing, strict=True)]
    halves = [{f: V @ G for f, V in block.V.items()} for block, G in zip(cone.blocks, scaling.G, strict=True)]
    left = cost - cone.slopes(X, [block.V for block in cone.blocks])
    curve = cone.curvature(halves)
    size = np.sqrt(np.diag(curve)) + 1e-300
    curve /= size[:, None]
    curve /= size
    curve[np.diag_indices(cone.count)] += 1e-12
    root, failed = torch.linalg.cholesky_ex(torch.from_numpy(curve))
    if failed:
        raise np.linalg.LinAlgError

    def direction(wanted: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """The moves of y and, scaled, of X and Z, the sum of the last two as wanted."""
        sides = [one + part for one, part in zip(wanted, scaled_missing, strict=True)]
        right = torch.from_numpy((cone.slopes(sides, halves) - left) / size)[:, None]
        dy = torch.cholesky_solve(right, root)[:, 0].numpy() / size
        dZ = [
            _symmetric(G.T @ move @ G) - part
            for G, move, part in zip(scaling.G, cone.moves(dy), scaled_missing, strict=True)
        ]
        return dy, [one - part for one, part in zip(wanted, dZ, strict=True)], dZ

    _, dX, dZ = direction([-np.diag(at) for at in scaling.at])
    a, b = min(1.0, scaling.length(dX)), min(1.0, scaling.length(dZ))
    gap, total = scaling.gap, sum(map(len, scaling.at))
    ahead = sum(
        float(np.sum((np.diag(at) + a * one) * (np.diag(at) + b * other)))
        for at, one, other in zip(scaling.at, dX, dZ, strict=True)
    )
    centring = max(min(1.0, ahead / total / gap) ** 3, 1e-4)
    if min(a, b) < 0.1:
        centring = max(centring, 0.5)
    centring = 1.0 if held else centring
    wanted = [
        2 * (np.diag(centring * gap - at**2) - _symmetric(one @ other)) / np.add.outer(at, at)
        for at, one, other in zip(scaling.at, dX, dZ, strict=True)
    ]
    dy, dX, dZ = direction(wanted)
    a, b = min(1.0, _INSIDE * scaling.length(dX)), min(1.0, _INSIDE * scaling.length(dZ))
    X = [_symmetric(dual + a * G @ move @ G.T) for dual, G, move in zip(X, scaling.G, dX, strict=True)]
    Z = [
        _symmetric(slack + b * (move - part))
        for slack, move, part in zip(Z, cone.moves(dy), missing, strict=True)
    ]
    return y + b * dy, X, Z, gap * total


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2
