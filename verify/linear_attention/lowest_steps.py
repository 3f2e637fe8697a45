"""Searches for the lowest loss of Theorem 4's family: many starts at once, until most agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

_AT_ONCE = 128
"""Starts of one round."""

AGREEING = 10
"""The search goes on until so many starts end at the lowest loss, and a whole round finds nothing lower."""

_ROUNDS, _MOST_ROUNDS = 3, 20

_ITERATIONS = 100
_SAME = 1e-6
"""Losses that differ by less, relatively, are those of one point."""


@dataclass(frozen=True)
class LowestSearch:
    """The stationary points that a search reached, by loss.

    points: (a_0..a_{L-1}, b_0..b_{L-2}).  starts, agreeing: how many there were, and ended at the lowest.
    """

    points: tuple[tuple[float, ...], ...]
    losses: tuple[float, ...]
    starts: int
    agreeing: int

    @property
    def is_stable(self) -> bool:
        """Whether the lowest loss was found often enough to be taken for the lowest there is."""
        return self.agreeing >= AGREEING


def lowest_steps(
    t: _Floats, weight: _Floats, first: Sequence[float], seed: int, near: Sequence[float] | None = None
) -> LowestSearch:
    """Minimise sum_k weight_k q(t_k)^2, q as in `icgd.bounds.algebra.best_steps.residual`, over (a, b).

    first: steps a for b = 0, around which starts are drawn.  near: one more start.  Unknowns are a and
    c_l = a_l b_l: in (a, b) most starts end in poor valleys along a_l b_l = const.
    """
    L, generator = len(first), np.random.default_rng(seed)
    ends: list[tuple[float, tuple[float, ...]]] = []
    lowest, agreeing = np.inf, 0
    for number in range(1, _MOST_ROUNDS + 1):
        a = generator.permuted(np.tile(first, (_AT_ONCE, 1)), axis=1)
        a = a * np.exp(0.6 * generator.standard_normal(a.shape))
        c = a[:, :-1] * (0.2 + 0.6 * generator.standard_normal((_AT_ONCE, L - 1)))
        starts = np.concatenate([a, c], axis=1)
        if near is not None and number == 1:
            starts[0] = [*near[:L], *np.multiply(near[: L - 1], near[L:])]
        points, losses = _descend(starts, t, np.sqrt(weight))
        before, lowest = lowest, min(lowest, float(losses.min(initial=np.inf)))
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.concatenate([points[:, :L], points[:, L:] / points[:, : L - 1]], axis=1)
        ends += [
            (float(v), tuple(map(float, z)))
            for v, z in zip(losses, plain, strict=True)
            if np.isfinite(z).all()
        ]
        agreeing = sum(value <= lowest * (1 + _SAME) for value, _ in ends)
        if number >= _ROUNDS and agreeing >= AGREEING and lowest >= before * (1 - _SAME):
            break
    ends.sort()
    distinct = [end for at, end in enumerate(ends) if not at or end[0] > ends[at - 1][0] * (1 + _SAME)]
    points_, losses_ = tuple(z for _, z in distinct), tuple(v for v, _ in distinct)
    return LowestSearch(points_, losses_, number * _AT_ONCE, agreeing)


def _descend(z: _Floats, t: _Floats, root: _Floats) -> tuple[_Floats, _Floats]:
    """Levenberg and Marquardt's method on every row at once; returns rows that became stationary."""
    damping = np.full(len(z), 1e-2)
    r, J = _residuals(z, t, root)
    value = (r**2).sum(axis=1)
    for _ in range(_ITERATIONS):
        slope, normal = np.einsum("bkp,bk->bp", J, r), np.einsum("bkp,bkq->bpq", J, J)
        scale = np.einsum("bpp->bp", normal) + 1e-30
        damped = normal + (damping[:, None] * scale)[:, :, None] * np.eye(z.shape[1])
        trial = z - np.linalg.solve(damped, slope[:, :, None])[:, :, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            r_new, J_new = _residuals(trial, t, root)
            new = (r_new**2).sum(axis=1)
        better = new < value
        z, r = np.where(better[:, None], trial, z), np.where(better[:, None], r_new, r)
        J, value = np.where(better[:, None, None], J_new, J), np.where(better, new, value)
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-12, 1e12)
    slope = np.abs(np.einsum("bkp,bk->bp", J, r)) * np.abs(z)  # as steps are scaled
    still = slope.max(axis=1) <= 1e-5 * value  # rounding alone leaves up to 1e-7
    return z[still], value[still]


def _residuals(z: _Floats, t: _Floats, root: _Floats) -> tuple[_Floats, _Floats]:
    """root q(t), (rows, points), and its derivatives in (a, c), (rows, points, unknowns)."""
    rows, size = z.shape
    L = (size + 1) // 2
    q, tau = np.ones((rows, len(t))), np.ones((rows, len(t)))
    dq, dtau = np.zeros((rows, len(t), size)), np.zeros((rows, len(t), size))
    for l in range(L):
        seen, dseen = t * tau**2, (2 * t * tau)[:, :, None] * dtau
        a = z[:, l, None]
        dq = dq * (1 - a * seen)[:, :, None] - (q * a)[:, :, None] * dseen
        dq[:, :, l] -= q * seen
        q = q * (1 - a * seen)
        if l < L - 1:
            c = z[:, L + l, None]
            dtau = dtau * (1 - c * seen)[:, :, None] - (tau * c)[:, :, None] * dseen
            dtau[:, :, L + l] -= tau * seen
            tau = tau * (1 - c * seen)
    return root * q, root[:, None] * dq
