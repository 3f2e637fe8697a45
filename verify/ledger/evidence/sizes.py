"""Evidence for findings about the sizes in arXiv 2411.16549, Theorem 1, with the constants it omits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import sympy

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.claims import D_w, K, N, d, d_out
from icgd.bounds.functions.pieces import certified_error, fit
from icgd.bounds.functions.random_features import feature_mass, sample_features, sampled_heads
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import built, claims
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.census import census
from icgd.construct.block.transformer import Transformer
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.entries import Numbers


def _claimed(problem: Problem, quantity: str) -> Any:
    return next(claim for claim in claims(problem) if claim.quantity == quantity).value


def _heads(depth: int, eps: float) -> int:
    return int(_claimed(Problem(N=depth, eps=eps), "heads"))


def _crossing(depth: int, limit: float) -> float:
    """The eps at which the promised number of heads is `limit`, to a thousandth; both sides are checked."""
    eps = 0.05
    for _ in range(12):  # the number of heads grows nearly like eps^-2
        ratio = math.sqrt(_heads(depth, eps) / limit)
        if abs(ratio - 1) < 2e-4:
            break
        eps *= ratio
    if not _heads(depth, eps * (1 - 1e-3)) > limit >= _heads(depth, eps * (1 + 1e-3)):
        raise ArithmeticError(f"heads do not cross {limit:g} near eps = {eps:g}")
    return eps


def heads_beyond(limit: float = 1e9, depths: Sequence[int] = (1, 2, 3, 4), judged: int = 3) -> Numbers:
    """The eps at which the theorem's head count exceeds a limit, and the size of our construction there."""
    eps = {depth: _crossing(depth, limit) for depth in depths}
    posed = Problem(N=judged, eps=eps[judged])
    planned = plan(posed)
    sizes = {claim.quantity: claim.value for claim in built(posed)}
    # Bytes of Q, K and V in float64 for `limit` heads, at the width of the theorem's own construction.
    width = _claimed(posed, "width")
    return {
        **{f"eps_N{depth}": value for depth, value in eps.items()},
        "N": judged,
        "heads": int(sizes["heads"]),
        "units": planned.units,
        "fewest": planned.fewest_units,
        "certified": planned.bound,
        "K": posed.K,
        "d": posed.d,
        "terabytes": limit * 3 * width**2 * 8 / 1e12,
        "shows": planned.bound <= posed.eps and int(sizes["heads"]) < limit,
    }


def hidden_constant(fine: float = 1e-6, coarse: float = 1e-4, target: float = 0.05) -> Numbers:
    """The factor of eps^-2 on the default problem: at a target eps, and its limit as eps decreases.

    It converges towards its value at `fine`, so there is no logarithm.
    """
    tolerances = (target, coarse, fine)
    heads = [_claimed(Problem(eps=eps), "heads") for eps in tolerances]
    there, between, constant = (count * eps**2 for count, eps in zip(heads, tolerances, strict=True))
    drift, fall = between / constant - 1, 1 - between / there
    return {
        "constant": constant,
        "constant_there": there,
        "heads": int(heads[0]),
        "eps": target,
        "coarse": coarse,
        "fine": fine,
        "drift": drift,
        "drift_percent": 100 * fall,
        "shows": constant > 1e6 and abs(drift) < 1e-5 and 0 < fall < 1e-2,
    }


def no_logarithm(error: float = 0.2, seed: int = 0, radius: float = 1.0) -> Numbers:
    """2 ln 2 (A/e)^2 sampled features are certified within e; a cover needs 18 (A/e)^2 ln(2 ceil 3A/e)."""
    g = ACTIVATIONS["tanh"].r
    mass = feature_mass(g, radius)
    count = int(sampled_heads(mass, error))
    drawn = sample_features(g, radius, count, np.random.default_rng(seed))
    found = certified_error(drawn, g, -radius, radius)
    ratio = mass / error
    covered = math.ceil(18 * ratio**2 * math.log(2 * math.ceil(3 * ratio)))
    return {
        "error": error,
        "radius": radius,
        "count": count,
        "covered": covered,
        "found": found,
        "shows": found <= error and count < covered,
    }


def exponent(coarse: float = 1e-4, fine: float = 1e-6) -> Numbers:
    """For r' of tanh: the promised heads, the pieces of our fit, and the lower bound on pieces."""
    slope = ACTIVATIONS["tanh"].r.derivative
    mass = feature_mass(slope, 1.0)
    fits = [fit(slope, -1.0, 1.0, error) for error in (coarse, fine)]
    promised = [int(sampled_heads(mass, error)) for error in (coarse, fine)]
    scale = math.log(coarse / fine)
    return {
        "fine": fine,
        "promised": promised[1],
        "pieces": fits[1].pieces,
        "fewest": fits[1].fewest,
        "promised_power": math.log(promised[1] / promised[0]) / scale,
        "pieces_power": math.log(fits[1].fewest / fits[0].fewest) / scale,
        "shows": fits[1].error <= fine and fits[1].fewest <= fits[1].pieces < promised[1],
    }


def width(sizes: Sequence[int] = (2, 12)) -> Numbers:
    """How the built width grows with d and K: by its formula, and counted from the matrices."""
    posed = Problem(N=2, K=3, eps=0.5)
    formula = next(claim for claim in built(posed) if claim.quantity == "width").bound
    rest = sympy.expand(formula - D_w)
    in_d = sympy.limit(rest.subs({d_out: d}) / (N * K**2), d, sympy.oo)
    grown = [replace(posed, d=size, d_out=size) for size in sizes]
    counted = [census(build(one)).width - one.D_w for one in grown]
    wanted = [int(rest.subs({N: 2, K: 3, d: size, d_out: size})) for size in sizes]
    return {
        "width": str(sympy.expand(formula)).replace("**", "^").replace("*", " ").replace("d_{out}", "d_out"),
        "limit": str(in_d).replace("oo", "∞"),
        "degree_in_K": int(sympy.degree(rest, K)),
        "counted_small": counted[0],
        "counted_large": counted[1],
        "nk2": posed.N * posed.K**2,
        "shows": in_d == sympy.oo and sympy.degree(rest, K) == 1 and counted == wanted,
    }


def weights_have_one_count() -> Numbers:
    """w has D_w coordinates; with the last layer's weights alone, the width is too small for large d.

    By the formula D_w = d K + (N-2) K^2 + K d, which is checked on problems of three sizes.
    """
    posed = Problem()
    last = posed.dims[-1] * posed.dims[-2]
    rest = d * K + (N - 2) * K**2  # all weights but the K d of the last layer
    limit = sympy.limit(rest / (N * K**2), d, sympy.oo)
    sizes = [posed, replace(posed, N=2, K=3, d=5, d_out=5), replace(posed, N=5, K=2, d=3, d_out=3)]
    counted = all(
        (rest + K * d).subs({N: one.N, K: one.K, d: one.d}) == one.D_w == _weights_of(one) for one in sizes
    )
    return {
        "D_w": posed.D_w,
        "last": last,
        "limit": str(limit).replace("oo", "∞"),
        "shows": posed.D_w > last and counted and limit == sympy.oo,
    }


def _weights_of(problem: Problem) -> int:
    """The entries of all V_j, counted layer by layer."""
    return sum(after * before for before, after in pairwise(problem.dims))


def depth(depths: Sequence[int] = (1, 2)) -> Numbers:
    """Layers of one step, counted from the matrices of both constructions, as layers and as sublayers."""
    found = {
        (kind, one): census(build(Problem(N=one, K=3, eps=0.5), kind))
        for kind in ("paper", "lean")
        for one in depths
    }
    most = depths[-1]
    return {
        "N": most,
        "paper_layers": found["paper", most].layers,
        "lean_layers": found["lean", most].layers,
        "lean_sublayers": found["lean", most].sublayers,
        "shows": all(
            found["paper", one].sublayers == 2 * one + 4 and found["lean", one].layers == 2 * one + 1
            for one in depths
        ),
    }


def norm(widths: Sequence[int] = (4, 16, 64), eta: float = 1e-9) -> Numbers:
    """The norm of the theorem's own layers as eta vanishes, compared with the promised C_w + 1."""
    found = {size: _claimed(Problem(K=size, eta=eta), "norm") for size in widths}
    posed = Problem(eta=eta)
    projection = max(math.sqrt(2), posed.B_v * math.sqrt(2 * posed.units)) + math.sqrt(2)
    first, last = widths[0], widths[-1]
    return {
        "norm": found[first],
        "allowed": projection + 1,
        "last_K": last,
        "last_norm": found[last],
        "per_unit": (found[last] - found[widths[1]]) / (last - widths[1]),
        "shows": found[first] > projection + 1 and found[last] > found[widths[1]] > found[first],
    }


def examples_factor(n: int = 8, eps: float = 0.05) -> Numbers:
    """A mean over n + 1 columns without the factor (n+1)/n: its effect, and where it breaks eps."""
    values = [Fraction(3 * i + 1, 7) for i in range(n)]
    attended = sum(values, Fraction(0)) / (n + 1)  # the query's column adds 0
    shrunk = attended / (sum(values, Fraction(0)) / n)
    # One weight, tanh, x = 1, w = 1, y = -1: the gradient of l/2.
    gradient = (math.tanh(1.0) + 1) * (1 - math.tanh(1.0) ** 2)
    broken = math.ceil(gradient / eps - 1) - 1  # gradient / (n + 1) > eps
    return {
        "n": n,
        "eps": eps,
        "shrunk": str(shrunk),
        "lost": str(1 - shrunk),
        "broken": broken,
        "shows": shrunk == Fraction(n, n + 1) and gradient / (broken + 1) > eps >= gradient / (broken + 2),
    }


def loops(steps: Sequence[int] = (1, 7)) -> Numbers:
    """The matrices of one block for different numbers of steps, compared entry by entry."""
    short, long = (build(Problem(N=1, eps=0.5, L=count)) for count in steps)

    def entries(built_here: Transformer) -> list[tuple[Any, ...]]:
        matrices = [
            matrix
            for layer in built_here.literal()
            for matrix in (layer.W1, layer.W2, *(m for one in layer.heads for m in (one.Q, one.K, one.V)))
        ]
        return [(m.shape, m.rows.tolist(), m.columns.tolist(), m.values.tolist()) for m in matrices]

    return {
        "first": steps[0],
        "last": steps[-1],
        "parameters": census(long).parameters,
        "shows": steps[0] < steps[-1] and entries(short) == entries(long),
    }
