r"""Evidence about the norm (B.1) in arXiv 2411.16549, with the operator 1-norms that the paper defines.

`lemmas`: the layers as the paper writes them.  `theorem`: the same layers, balanced, and in other units.

C_w.  Far from a bounded W an MLP that projects subtracts w, so for a coordinate vector e of w, as ReLUs are
homogeneous, W2 relu(W1 e) = -e and W2 relu(-W1 e) = e.  So 2 <= |W2| |W1 e| <= |W2| |W1|, and every such MLP
has |W1| + |W2| >= 2 sqrt 2.  Clearing the scratch with rows +-b and columns -+1/b costs nothing: with
b = 1 / |W2| the column sums become max(|W1|, 2 / |W2|) = |W1| and max(|W2|, 1/b) = |W2|.

Units.  Keep scratch slots in units so small that every layer which writes them has norm at most
c = 1 + 2 sqrt 2 (what a layer writes is in proportion to sum q k v of its heads, or to A of its MLP).  The
update reads these small numbers, but it is in proportion to eta: its norm is c (eta / eta_0)^(1/3) for some
eta_0 > 0, and eta_0 does not depend on eps where the sums |c| of all sums of ReLUs do not.  As C_w + 1 >= c,
B <= max(C_w, c max(1, eta / eta_0)) <= C_w + 1 + eta c / eta_0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from icgd.bounds.functions.pieces import certified_error
from icgd.bounds.functions.random_features import feature_mass, sample_features, sampled_heads
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.least_norms import projection_norms
from icgd.construct.block.balance import LayerNorms, balanced, in_units, norm_above, unit_vector
from icgd.construct.block.dense import DenseLayer
from icgd.construct.block.literal import Block, Order
from icgd.construct.block.transformer import Transformer
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.entries import Numbers
from icgd.verify.search.prompts import random_prompts, seeded

_Matrix = npt.NDArray[np.float64]
_LEAST_ALLOWED = 1 + 2 * math.sqrt(2)
"""C_w + 1 is at least this, for every MLP that projects onto a bounded W."""


def lemmas(tolerances: Sequence[float] = (0.2, 0.05), seed: int = 0) -> Numbers:
    """(B.1) of the matrices of Lemmas 2 to 5 and of the update, as written, beside what the paper says.

    On the default problem with the logistic loss, with random features as Lemma 7 takes them: norm1(a) <= 1,
    and sum |c| is certified.  Those of u keep a tolerance, for which `certified_error` vouches.
    """
    posed = replace(Problem(), loss=LOSSES["logistic"])
    rng, r = np.random.default_rng(seed), posed.activation.r
    # R_1 = R_2 = R_3 = 1, as |tanh| <= 1 and B_x = B_y = B_v = 1.
    first, second = (_rows(sample_features(g, 1.0, 200, rng)) for g in (r, r.derivative))
    written, within = [], []
    for eps in tolerances:
        phi = posed.loss.phi
        count = int(sampled_heads(feature_mass(phi, 1.0), eps))
        drawn = sample_features(phi, 1.0, count, rng)
        within.append(certified_error(drawn, phi, -1.0, 1.0) <= eps)
        written.append(_as_written(posed, first, second, _rows(drawn)))
    coarse, fine = written
    said = {"2": fine["said_2"], "3": fine["said_3"]}
    kept = fine["lemma_2"] <= said["2"] * (1 + 1e-12) and fine["update"] <= fine["said_update"]
    broken = fine["lemma_3"] > said["3"] and coarse["lemma_4"] > coarse["said_4"]
    grows = fine["lemma_4"] > 8 * coarse["lemma_4"] and fine["balanced_4"] < 1.05 * coarse["balanced_4"]
    return {
        **fine,
        "coarse": tolerances[0],
        "fine": tolerances[1],
        "units_4": int(fine["units_4"]),
        "units_coarse": int(coarse["units_4"]),
        "coarse_4": coarse["lemma_4"],
        "allowed": _LEAST_ALLOWED,
        "shows": all(within) and kept and broken and grows and min(said.values()) > _LEAST_ALLOWED,
    }


def _rows(relus: ReluSum) -> _Matrix:
    """Rows (c, a1, a2) of sum c relu(a1 t + a2); the constant is c relu(1)."""
    rows = np.column_stack([relus.c, relus.a, relus.b])
    return np.vstack([rows, [relus.constant, 0.0, 1.0]]) if relus.constant else rows


def _mass(rows: _Matrix) -> float:
    return float(np.abs(rows[:, 0]).sum())


def _one(matrix: _Matrix) -> float:
    return float(np.linalg.norm(matrix, 1))


def _as_written(posed: Problem, first: _Matrix, second: _Matrix, slope: _Matrix) -> dict[str, float]:
    """(B.1), lemma by lemma, of full matrices on the coordinates that each layer touches."""
    N, K, outputs, n, eta = posed.N, posed.K, posed.d_out, posed.n, posed.eta
    neurons = posed.units

    def read(count: int, rows: _Matrix) -> float:  # (C.8), (C.12): coordinates p (K), 1; the row v_k of w
        reach = max(_one(np.diag([*[a] * K, b])) for _, a, b in rows)
        key = _one(np.eye(K + 1))
        return max(reach, key) + count * sum(_one(np.array([[c]])) for c, *_ in rows)

    R_3 = 1.0
    W1, W2 = _of_slope(outputs, slope, R_3)
    weights = np.abs(W2).sum(0)
    gates = 1.0 + K  # (C.15): coordinates are selected, one head a unit
    scale = eta * (n + 1) / (2 * n)
    return {
        "C_1": _mass(first),
        "C_2": _mass(second),
        "C_3": _mass(slope) + 2,
        "lemma_2": read(K, first),
        "said_2": 1 + K * _mass(first),
        "lemma_3": read(neurons, second),
        "said_3": 1 + K * (N - 1) * _mass(second),
        "lemma_4": _one(W1) + _one(W2),
        "said_4": max(R_3 + 1, _mass(slope) + 2),
        "units_4": len(W1),
        "balanced_4": 2 * math.sqrt(_one(weights[:, None] * np.abs(W1))),
        "lemma_5": gates,
        "update": 1 + 2 * neurons * scale,
        "said_update": 1 + 2 * eta * N * K,
    }


def _of_slope(outputs: int, rows: _Matrix, R_3: float) -> tuple[_Matrix, _Matrix]:
    """W1 and W2 of (C.14) for u[k] = phi(p[k]) - y[k], on the coordinates p, y, 1, t."""
    W1, W2 = [], []
    for k in range(outputs):
        on_p, on_y = (np.eye(2 * outputs)[i] for i in (k, outputs + k))
        for c, a, b in rows:
            W1.append([*(a * on_p), b - R_3, R_3])
            W2.append(c * np.eye(outputs)[k])
        for sign in (1.0, -1.0):  # -y = -relu(y) + relu(-y)
            W1.append([*(sign * on_y), -R_3, R_3])
            W2.append(-sign * np.eye(outputs)[k])
    return np.array(W1), np.array(W2).T


def theorem(width: int = 16, eta: float = 1e-9, B_v: float = 0.05) -> Numbers:
    """The layers of `paper`, as built, balanced and in other units, beside C_w + 1 with the least C_w.

    width, eta: of a wide problem with a small step.  B_v: of one whose W is small.
    """
    default, wide = Problem(), Problem(K=width, eta=eta)
    small = Problem(B_v=B_v)
    built = {posed: build(posed, "paper") for posed in (default, wide, small)}
    ones, twos = (
        {posed: _norms(one, order) for posed, one in built.items() if order == 1 or posed is not small}
        for order in (1, 2)
    )
    units = _small_units(built[default])
    eta_0 = _largest_eta(built[default], units)
    finer = _largest_eta(build(replace(default, eps=default.eps / 10), "paper"), units)
    at = replace(default, eta=eta_0)
    moved = balanced(build(at, "paper"), 1, units)
    reached = [norm_above(layer, 1) for layer in moved.literal()]
    apart = _apart(moved)
    by_lemmas = lemmas()
    before, wide_before = _before(ones[default]), _before(ones[wide])
    growth = math.log(wide_before / before) / math.log(width / default.K)
    allowed, wide_allowed = (_allowed(posed, 1) for posed in (default, wide))
    return {
        "lemma_2": by_lemmas["said_2"],
        "lemma_3": by_lemmas["lemma_3"],
        "built_2": max(norms.built for norms in twos[default]),
        "balanced_2": _before(twos[default]),
        "allowed_2": _allowed(default, 2),
        "built": max(norms.built for norms in ones[default][:-1]),
        "balanced": before,
        "allowed": allowed,
        "width": width,
        "wide": wide_before,
        "wide_allowed": wide_allowed,
        "wide_2": _before(twos[wide]),
        "wide_allowed_2": _allowed(wide, 2),
        "growth": growth,
        "B_v": B_v,
        "small": _before(ones[small]),
        "small_allowed": _allowed(small, 1),
        "eta_0": eta_0,
        "slope": _LEAST_ALLOWED / eta_0,
        "reached": max(reached[:-1]),
        "least_allowed": _LEAST_ALLOWED,
        "apart": apart,
        "shows": bool(by_lemmas["shows"])
        and before < allowed
        and wide_before < wide_allowed
        and _before(ones[small]) > _allowed(small, 1) > _LEAST_ALLOWED * (1 - 1e-12)
        and _before(twos[wide]) > _allowed(wide, 2)
        and max(reached[:-1]) <= _LEAST_ALLOWED * (1 + 1e-9)
        and reached[-1] <= (_allowed(default, 1) - 1) * (1 + 1e-9)
        and abs(finer / eta_0 - 1) < 1e-2
        and apart < 1e-12,
    }


def _norms(block: Block, order: Order) -> list[LayerNorms]:
    return [LayerNorms.of(layer, order) for layer in block.literal()]


def _before(norms: Iterable[LayerNorms]) -> float:
    """The largest balanced norm of the layers before the projection."""
    return max(one.least for one in list(norms)[:-1])


def _allowed(posed: Problem, order: Order) -> float:
    """C_w + 1, C_w the least norm of our projection over rescalings."""
    least = projection_norms(posed)[order - 1]
    values: dict[Any, Any] = {symbol: getattr(posed, symbol.name, None) for symbol in least.free_symbols}
    values |= {symbol: posed.d_out for symbol in least.free_symbols if symbol.name == "d_{out}"}
    return float(least.subs(values)) + 1


_ROOM = (2 * _LEAST_ALLOWED / 3) ** 3 / 2
"""The sum q k v of heads that have the norm 1 + 2 sqrt 2 once they are balanced."""


def _small_units(block: Transformer) -> dict[str, float]:
    """Units of the scratch slots, powers of two, in which no layer that writes them exceeds 1 + 2 sqrt 2."""
    units: dict[str, float] = {}
    for index in range(len(block.layers) - 2):
        part = block.layer(index)
        norms = LayerNorms.of(in_units(part.literal(block.stream), unit_vector(block.stream, units)), 1)
        room = _ROOM / norms.strength if part.heads else (_LEAST_ALLOWED / 2) ** 2 / norms.through
        written = {one.target for one in (*part.heads, *part.ridges)}
        units |= dict.fromkeys(written, 2.0 ** math.floor(math.log2(room)))
    return units


def _largest_eta(block: Transformer, units: Mapping[str, float]) -> float:
    """The step size at which the update has norm 1 + 2 sqrt 2: its sum q k v is in proportion to it."""
    update = block.layer(len(block.layers) - 2).literal(block.stream)
    norms = LayerNorms.of(in_units(update, unit_vector(block.stream, units)), 1)
    return block.problem.eta * _ROOM / norms.strength


def _apart(block: Block, seed: int = 0) -> float:
    """How far one step of a rescaled block is from that of the block, on random prompts."""
    original = build(block.problem, "paper")
    stream = block.stream
    before = after = stream.pack(stream.open(random_prompts(block.problem, 8, seeded(seed))))
    for layer, other in zip(original.literal(), block.literal(), strict=True):
        before, after = DenseLayer(layer, stream.D)(before), DenseLayer(other, stream.D)(after)
    return float(torch.abs(before - after).max())
