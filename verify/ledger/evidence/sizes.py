"""Evidence for findings about the sizes in arXiv 2411.16549, Theorem 1, with the constants it omits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.claims import D_w, K, N, d, d_out
from icgd.bounds.functions.pieces import certified_error, fit
from icgd.bounds.functions.random_features import feature_mass, sample_features, sampled_heads
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.relu_icgd import built, claims
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.sampled_division import sampled_division
from icgd.construct.block.census import census
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.entries import Numbers


def _claimed(problem: Problem, quantity: str) -> Any:
    return next(claim for claim in claims(problem) if claim.quantity == quantity).value


def _crossing(depth: int, limit: float) -> float:
    """The eps at which the best division of the tolerance on cells asks for this many heads, to 1 %."""
    eps, heads = 0.05, 0
    for _ in range(4):  # the number of heads grows nearly like eps^-2
        heads = sampled_division(Problem(N=depth, eps=eps)).largest
        following = eps * math.sqrt(heads / limit)
        if abs(heads / limit - 1) < 2e-2:
            return following
        eps = following
    raise ArithmeticError(f"heads do not settle at {limit:g}: {heads:g} near eps = {eps:g}")


def _built_heads(problem: Problem, construction: Construction) -> int:
    return int(next(one for one in built(problem, construction) if one.quantity == "heads").value)


def heads_beyond(limit: float = 1e9, depths: Sequence[int] = (1, 2, 3), judged: int = 3) -> Numbers:
    """The eps at which heads pass a limit: by the printed constants, by ours; and what is built there."""
    tight = {depth: _crossing(depth, limit) for depth in depths}
    printed = {
        depth: 0.05 * math.sqrt(published(Problem(N=depth))["heads"] / limit) for depth in depths
    }  # printed constants do not depend on eps
    again = [published(Problem(N=depth, eps=eps))["heads"] / limit for depth, eps in printed.items()]
    posed = Problem(N=judged, eps=float(f"{tight[judged]:.3g}"))  # weights depend on every digit
    planned = plan(posed)
    # Bytes of Q, K and V in float64 for `limit` heads, at the width of the theorem's own construction.
    width = _claimed(posed, "width")
    return {
        **{f"printed_N{depth}": value for depth, value in printed.items()},
        **{f"tight_N{depth}": value for depth, value in tight.items()},
        "N": judged,
        "heads": _built_heads(posed, "lean"),
        "units": planned.units,
        "fewest": planned.fewest_units,
        "certified": planned.bound,
        "K": posed.K,
        "d": posed.d,
        "terabytes": limit * 3 * width**2 * 8 / 1e12,
        "shows": planned.bound <= posed.eps
        and _built_heads(posed, "lean") < limit
        and all(abs(ratio - 1) < 1e-6 for ratio in again)
        and all(printed[depth] > tight[depth] for depth in depths),
    }


def hidden_constant(target: float = 0.05, fine: float = 1e-4) -> Numbers:
    """Heads of the largest layer on the default problem, side by side, and two factors of eps^-2.

    By the paper's own lemmas and constants, as printed and repaired; by the best division of the tolerance on
    cells; and as built.  The first factor is the same at `fine`.
    """
    posed = Problem(eps=target)
    printed, repaired = (published(posed, repaired=how) for how in (False, True))
    tight = sampled_division(posed)
    exact = published(Problem(eps=fine))["heads"] * fine**2 / (printed["heads"] * target**2)
    paper, lean = (_built_heads(posed, kind) for kind in ("paper", "lean"))
    return {
        "eps": target,
        "fine": fine,
        "printed": float(printed["heads"]),
        "repaired": float(repaired["heads"]),
        "tight": float(tight.largest),
        "paper": paper,
        "lean": lean,
        "printed_constant": printed["heads"] * target**2,
        "tight_constant": tight.largest * target**2,
        "shows": repaired["heads"] > printed["heads"] > tight.largest > paper > lean
        and abs(exact - 1) < 1e-6,
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
