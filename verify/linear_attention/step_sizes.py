"""The best step sizes at every depth: exact for Theorem 3; for Theorem 4 enclosed, proved least at L = 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.optimize
import torch

from icgd.bounds.algebra.best_steps import (
    Critical,
    best_steps,
    enclose_critical,
    spectral_rule,
    transformed_loss,
)
from icgd.bounds.algebra.least_transformed import lower_point
from icgd.bounds.preconditioned import MOST_TRANSFORMED, PreconditionedProblem
from icgd.verify.linear_attention.lowest_steps import LowestSearch, lowest_steps
from icgd.verify.results import Curve, Grid, Plot

LEAST_ROOM = Fraction(1, 10**9)
"""A loss is proved to be the least up to this part of it."""

_AGAIN = 4
"""How often a point that is lower than all that were found may be the start of another search."""


@dataclass(frozen=True)
class Depth:
    """The best steps at one depth.

    one_step_size: the loss with one a for all layers.  criticals: enclosures of Theorem 4's critical points
    in (a, b), ordered by loss; only the lowest at L = 3, none where L is 1 or above 3.  search: what found
    them.  is_least: whether no (a, b) has a loss below that of the first, less LEAST_ROOM, provably.
    """

    L: int
    a: tuple[float, ...]
    loss: float
    one_step_size: float
    criticals: tuple[Critical, ...]
    search: LowestSearch | None = None
    is_least: bool = False


def best_at(problem: PreconditionedProblem, L: int, generator: torch.Generator) -> Depth:
    """The exact best a at depth L, and the critical points (a, b) of Theorem 4 that searches reach.

    At L = 2 exact algebra names a lower point or proves that there is none, so the seed does not matter.
    """
    n, d, law = problem.n, problem.d, problem.covariates
    steps = best_steps(n, d, L, law)
    transforms = 2 <= L <= MOST_TRANSFORMED and law == "normal"
    degree = (3**L - 1) // 2 if transforms else L
    t, weight = (np.array(part) for part in spectral_rule(n, d, degree + 1, law))

    def same(a: float) -> float:
        return float(weight @ (1 - a * t) ** (2 * L))

    one = float(scipy.optimize.minimize_scalar(same, bounds=(0, 2), method="bounded").fun)
    if not transforms:
        return Depth(L, steps.a, float(steps.loss), one, ())

    seed = int(torch.randint(2**31, (), generator=generator))
    near: tuple[float, ...] | None = None
    for _ in range(_AGAIN):
        search = lowest_steps(t, weight, steps.a, seed, near)
        criticals = _enclosed(search, n, d, L)
        if L != 2 or not criticals:
            return Depth(L, steps.a, float(steps.loss), one, criticals, search)
        try:
            lower = lower_point(n, d, Fraction(criticals[0].value[0]) * (1 - LEAST_ROOM))
        except ValueError:
            break
        if lower is None:
            return Depth(L, steps.a, float(steps.loss), one, criticals, search, is_least=True)
        near = tuple(map(float, lower))
    return Depth(L, steps.a, float(steps.loss), one, criticals, search)


def _enclosed(search: LowestSearch, n: int, d: int, L: int) -> tuple[Critical, ...]:
    """Boxes around the points of a search, the lowest first; at L = 3 only around the lowest."""
    polynomial = transformed_loss(n, d, L)
    found = [
        enclose_critical(polynomial, point) for point in (search.points if L == 2 else search.points[:1])
    ]
    return tuple(sorted((box for box in found if box), key=lambda box: box.value))


def depth_grid(problem: PreconditionedProblem, depths: Sequence[Depth]) -> Grid:
    """The table of losses and step sizes over depth."""
    if problem.covariates == "sphere":
        return Grid(
            "Expected loss by depth",
            ("L", "one step size", "best steps", "a_l"),
            tuple((depth.L, depth.one_step_size, depth.loss, _listed(depth.a)) for depth in depths),
            f"inputs on the sphere, w ~ N(0, S^-1), d = {problem.d}, n = {problem.n}; loss {problem.d} "
            "without a layer.  Best steps: exact minimum over a.",
        )
    rows = []
    for depth in depths:
        best = depth.criticals[0] if depth.criticals else None
        rows.append(
            (
                depth.L,
                depth.one_step_size,
                depth.loss,
                _listed(depth.a),
                best.value[0] if best else None,
                _listed(best.centre[: depth.L]) if best else None,
                _listed(best.centre[depth.L :]) if best else None,
            )
        )
    return Grid(
        "Expected loss by depth",
        ("L", "one step size", "Theorem 3", "a_l", "Theorem 4", "a_l, transformed", "b_l"),
        tuple(rows),
        f"w ~ N(0, S^-1), d = {problem.d}, n = {problem.n}; loss {problem.d} without a layer.  Theorem 3: "
        "exact minimum over a.  Theorem 4, enclosed: " + least_said(depths),
    )


def least_said(depths: Sequence[Depth]) -> str:
    """How it is known at each depth that no (a, b) of Theorem 4's family has a lower loss."""
    parts = []
    for depth in depths:
        if depth.is_least:
            part = f"no (a, b) has a loss lower by more than {float(LEAST_ROOM):g} of it"
            parts.append(f"L = {depth.L}: {part}, by the real roots of a discriminant, in rationals")
        elif depth.search:
            found = (
                f"the lowest of {depth.search.starts:,} starts, {depth.search.agreeing} of which end there"
            )
            parts.append(f"L = {depth.L}: {found}; not proved to be the least")
    return "; ".join(parts)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def depth_plot(depths: Sequence[Depth], covariates: str) -> Plot:
    """The plot of the expected loss over depth."""
    layers = tuple(float(depth.L) for depth in depths)
    curves = [
        Curve("one step size", layers, tuple(depth.one_step_size for depth in depths)),
        Curve(
            "Theorem 3" if covariates == "normal" else "best steps",
            layers,
            tuple(depth.loss for depth in depths),
        ),
    ]
    transformed = [(float(depth.L), depth.criticals[0].value[0]) for depth in depths if depth.criticals]
    if transformed:
        curves.append(Curve("Theorem 4", *zip(*transformed, strict=True)))
    return Plot("Expected loss by depth", "layers", "expected loss", tuple(curves), "y")
