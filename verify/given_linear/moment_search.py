"""How far from descent linear attention is at most, by branch and bound over the second moments of prompts.

Of the examples a masked model sees only G, the mean of z z^T: positive semidefinite, its trace at most 1 on
the inputs and at most 1 on the label once tokens are scaled.  Without a mask it sees q q^T / n, too, q the
query.  Boxes of their entries that cover all of them are split where the bound on norm2(D), the difference of
regression weights, or on |q| norm2(D) is largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement

import numpy as np

from icgd.verify.given_linear.affine_forms import Affine

AT_ONCE = 3_000
"""Boxes that are split at once."""

WORK = 1e10
"""How many multiplications a search may take, about."""

MOST_ENTRIES = 10
"""With more entries of second moments than this, boxes do not become small enough, and none is tried."""

GOAL = 1.2
"""A search ends when no box is above this times the largest distance that a prompt reaches."""


@dataclass(frozen=True, eq=False)
class ScaledLayer:
    """A layer for tokens of radius 1, every entry rounded once.

    S: (D, D, D, D), what it adds to R, from G.  descent: the same for descent.  T: their difference.
    A: of descent, (d, d).  given_A: A less its difference, which is all there is where both are descents.
    """

    S: np.ndarray
    descent: np.ndarray
    T: np.ndarray
    A: np.ndarray
    given_A: np.ndarray


Evaluate = Callable[
    [Sequence[ScaledLayer], np.ndarray, np.ndarray, Sequence[tuple[int, int]]], tuple[np.ndarray, np.ndarray]
]


def largest_difference(
    layers: Sequence[ScaledLayer], reached: float, work: float = WORK, share: float = 0.0
) -> float:
    """At least norm2(D) over all second moments; best first, until `GOAL` or until the work is done.

    reached: what a prompt reaches, at which further splits are useless.  share: 0 with a mask.  Without
    one 1/n, and |q^T D| is bounded, q the query: layers see G + H / n, H = q q^T, which is split, too.
    Then d is 1, since with more nothing is gained.
    """
    d = len(layers[0].A)
    only_steps = all(
        not any(
            part.any() for part in (layer.T[:d], layer.T[d, d], layer.T[d, :d, :d, :d], layer.T[d, :, d, d])
        )
        for layer in layers
    )
    only_steps &= not share
    size = d if only_steps else d + 1
    pairs = list(combinations_with_replacement(range(size), 2))
    if share:
        pairs += combinations_with_replacement(range(size, size + d), 2)
    if len(pairs) > MOST_ENTRIES or (share and d > 1):
        return math.inf
    low = np.array([[0.0 if i == j else -1.0 for i, j in pairs]])
    high = np.ones((1, len(pairs)))
    evaluate: Evaluate = _steps_bound if only_steps else partial(_general_bound, share=share)
    cost = len(layers) * (len(pairs) + 3) * (8 * size**3 + (0 if only_steps else 3 * size**4))
    with np.errstate(all="ignore"):  # what overflows is bounded by infinity
        return _best_first(layers, reached, pairs, evaluate, int(work / cost), low, high)


def _best_first(
    layers: Sequence[ScaledLayer],
    reached: float,
    pairs: Sequence[tuple[int, int]],
    evaluate: Evaluate,
    budget: int,
    low: np.ndarray,
    high: np.ndarray,
) -> float:
    d = len(layers[0].A)
    low, high, _ = _tightened(low, high, pairs, d)
    bounds, shares = evaluate(layers, low, high, pairs)
    goal = GOAL * reached
    settled = 0.0
    while len(bounds) and budget > 0:
        order = np.argsort(-bounds)
        if bounds[order[0]] <= goal:
            break
        take = order[: min(AT_ONCE, len(order))]
        take = take[bounds[take] > goal]
        rest = np.setdiff1d(np.arange(len(bounds)), take, assume_unique=True)
        at = shares[take].argmax(1)
        rows = np.arange(len(take))
        middle = (low[take, at] + high[take, at]) / 2
        lows, highs = np.repeat(low[take], 2, 0), np.repeat(high[take], 2, 0)
        highs[2 * rows, at], lows[2 * rows + 1, at] = middle, middle
        lows, highs, kept = _tightened(lows, highs, pairs, d)
        parents = np.repeat(bounds[take], 2)[kept]
        found, split = evaluate(layers, lows, highs, pairs) if len(lows) else (parents, shares[:0])
        budget -= len(lows)
        found = np.minimum(found, parents)
        done = found <= goal
        settled = max(settled, float(found[done].max(initial=0.0)))
        low, high = np.concatenate([low[rest], lows[~done]]), np.concatenate([high[rest], highs[~done]])
        bounds = np.concatenate([bounds[rest], found[~done]])
        shares = np.concatenate([shares[rest], split[~done]])
    return max(settled, float(bounds.max(initial=0.0)))


def _tightened(
    low: np.ndarray, high: np.ndarray, pairs: Sequence[tuple[int, int]], d: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smaller boxes with the same moments in them, and which were kept; a box without any is left out.

    The diagonal is bounded by the trace, the rest by |G_ij|^2 <= G_ii G_jj; every step has room for rounding.
    """
    room = 1e-12
    low, high = low.copy(), high.copy()
    on = [k for k, (i, j) in enumerate(pairs) if i == j]
    of_inputs = on[:d]
    free = 1.0 - low[:, of_inputs].sum(1, keepdims=True)
    high[:, of_inputs] = np.minimum(high[:, of_inputs], low[:, of_inputs] + np.maximum(free, 0.0) + room)
    kept = free[:, 0] >= -room
    for k, (i, j) in enumerate(pairs):
        if i != j:
            most = np.sqrt(high[:, on[i]] * high[:, on[j]]) * (1 + room) + room
            low[:, k], high[:, k] = np.maximum(low[:, k], -most), np.minimum(high[:, k], most)
            kept &= low[:, k] <= high[:, k]
    low, high = low[kept], high[kept]
    places = np.nonzero(kept)[0]
    center, radius = _matrices((low + high) / 2, pairs), _matrices((high - low) / 2, pairs)
    v = np.linalg.eigh(center)[1][:, :, 0]
    least = np.einsum("ni,nij,nj->n", v, center, v) + np.einsum("ni,nij,nj->n", np.abs(v), radius, np.abs(v))
    inside = least >= -room
    return low[inside], high[inside], places[inside]


def _matrices(entries: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    size = max(j for _, j in pairs) + 1
    found = np.zeros((len(entries), size, size))
    for k, (i, j) in enumerate(pairs):
        found[:, i, j] = found[:, j, i] = entries[:, k]
    return found


def _moments(low: np.ndarray, high: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Affine:
    center, half = (low + high) / 2, (high - low) / 2 * (1 + 1e-15) + 1e-300
    c = _matrices(center, pairs)
    g = np.zeros((len(low), len(pairs), *c.shape[1:]))
    for k, (i, j) in enumerate(pairs):
        g[:, k, i, j] = g[:, k, j, i] = half[:, k]
    return Affine(c, g, 1e-15 * np.ones_like(c))


def _general_bound(
    layers: Sequence[ScaledLayer],
    low: np.ndarray,
    high: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    share: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """norm2(D) over each box: R - R' grows by S(G_l)(R - R') + (T(G_l) + S'(G_l - G'_l)) R' in a layer."""
    G = _moments(low, high, pairs)
    d = len(layers[0].A)
    whole, G = G, _padded(G, slice(0, d + 1), d + 1)
    reference = Affine.once(np.eye(d + 1), G)
    difference = Affine.once(np.zeros((d + 1, d + 1)), G)
    for layer in layers:
        seen = reference @ G @ reference.T
        crossed = difference @ G @ reference.T
        apart = crossed + crossed.T + difference @ G @ difference.T
        if share:  # descent does not see the query
            ours = reference + difference
            scaled = ours @ Affine.once(share * np.eye(d + 1), G)
            apart = apart + scaled @ _padded(whole, slice(d + 1, None), d + 1) @ ours.T
        given = seen + apart
        moved = given.mapped(layer.T) + apart.mapped(layer.descent)
        difference = difference + given.mapped(layer.S) @ difference + moved @ reference
        reference = reference + seen.mapped(layer.descent) @ reference
    last = Affine(difference.c[:, d:, :d], difference.g[:, :, d:, :d], difference.r[:, d:, :d])
    bound, shares = _size(last, high - low)
    if share:
        length = sum(high[:, k] for k, (i, j) in enumerate(pairs) if i == j > d)
        bound *= np.sqrt(np.minimum(length, 1.0)) * (1 + 1e-12)
    return bound, shares


def _padded(form: Affine, part: slice, size: int) -> Affine:
    """A block on the diagonal, with 0 in what it lacks to this many rows and columns."""
    c, g, r = form.c[:, part, part], form.g[:, :, part, part], form.r[:, part, part]
    lack = (0, size - c.shape[1])
    return Affine(*(np.pad(one, [(0, 0)] * (one.ndim - 2) + [lack] * 2) for one in (c, g, r)))


def _steps_bound(
    layers: Sequence[ScaledLayer], low: np.ndarray, high: np.ndarray, pairs: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """norm2(D) over each box where both are descents: D = K b, b = C^(1/2) g, so norm2(K C K^T)^(1/2)."""
    C = _moments(low, high, pairs)
    d = len(layers[0].A)
    identity = Affine.once(np.eye(d), C)
    held = Affine.once(np.zeros((d, d)), C)
    difference = Affine.once(np.zeros((d, d)), C)
    for layer in layers:
        extra = Affine.once(-2 * layer.T[d, :d, :d, d], C)
        left = identity - C @ held
        difference = difference - Affine.once(layer.given_A, C) @ C @ difference + extra @ left
        held = held + Affine.once(layer.A, C) @ left
    square, shares = _size(difference @ C @ difference.T, high - low, spectral=True)
    return np.sqrt(square) * (1 + 1e-12), shares


def _size(form: Affine, wide: np.ndarray, spectral: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """At least the 2-norm over each box, and how much each e_k adds to it.

    The rest, of second order, is shared by width, since only narrower boxes make it smaller.
    """
    each = np.sqrt(np.square(form.g).sum((2, 3)))
    rest = np.sqrt(np.square(form.r).sum((1, 2)))
    if spectral:
        center = np.abs(np.linalg.eigvalsh((form.c + form.c.swapaxes(1, 2)) / 2)).max(1)
        center += 1e-13 * np.sqrt(np.square(form.c).sum((1, 2)))
    else:
        center = np.sqrt(np.square(form.c).sum((1, 2)))
    # A sum of signs times g_k is at most as long as the signs that add up everywhere.
    spread = np.minimum(each.sum(1), np.sqrt(np.square(np.abs(form.g).sum(1)).sum((1, 2))))
    bound = (center + spread + rest) * (1 + 1e-12) + 1e-150  # squares of floats below vanish
    bound = np.nan_to_num(bound, nan=np.inf, posinf=np.inf)
    return bound, each + 2 * rest[:, None] * wide / wide.max(1, keepdims=True)
