"""The best step sizes at every depth: exact for Theorem 3, enclosed critical points for Theorem 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.algebra.best_steps import (
    Critical,
    best_steps,
    enclose_critical,
    residual,
    spectral_rule,
    transformed_loss,
)
from icgd.bounds.preconditioned import MOST_TRANSFORMED, PreconditionedProblem
from icgd.verify.linear_attention.training import train
from icgd.verify.results import Curve, Grid, Plot

SEARCHES = 10


@dataclass(frozen=True)
class Depth:
    """The best steps at one depth.

    one_step_size: the loss with one a for all layers.  criticals: enclosures of Theorem 4's critical points
    in (a, b), ordered by loss; only the lowest at L = 3, none where L is 1 or above 3.
    """

    L: int
    a: tuple[float, ...]
    loss: float
    one_step_size: float
    criticals: tuple[Critical, ...]


def best_at(problem: PreconditionedProblem, L: int, generator: torch.Generator) -> Depth:
    """The exact best a at depth L, and the critical points (a, b) of Theorem 4 that random searches reach."""
    n, d = problem.n, problem.d
    steps = best_steps(n, d, L)
    degree = (3**L - 1) // 2 if 2 <= L <= MOST_TRANSFORMED else L
    t, weight = (torch.tensor(part, dtype=torch.float64) for part in spectral_rule(n, d, degree + 1))

    def same(a: float) -> float:
        return float(weight @ (1 - a * t) ** (2 * L))

    one = float(scipy.optimize.minimize_scalar(same, bounds=(0, 2), method="bounded").fun)
    if not 2 <= L <= MOST_TRANSFORMED:
        return Depth(L, steps.a, float(steps.loss), one, ())

    def loss(z: Float[Tensor, " size"]) -> Float[Tensor, ""]:
        return weight @ residual(L, t, list(z[:L]), list(z[L:])).square()

    first = torch.tensor(steps.a[::-1], dtype=torch.float64)
    runs = []
    for _ in range(SEARCHES):
        stretch = 0.5 + 1.5 * torch.rand(2 * L - 1, generator=generator, dtype=torch.float64)
        start = torch.cat([first * stretch[:L], 0.6 * (stretch[L:] - 0.5)])
        runs.append(train(loss, start, lambda z: 0.0))
    ends = sorted(runs, key=lambda run: run.loss)
    distinct = [run for at, run in enumerate(ends) if not at or run.loss > ends[at - 1].loss * (1 + 1e-6)]
    found = [
        enclose_critical(transformed_loss(n, d, L), run.point.tolist())
        for run in (distinct if L == 2 else distinct[:1])
    ]
    return Depth(L, steps.a, float(steps.loss), one, tuple(box for box in found if box))


def depth_grid(problem: PreconditionedProblem, depths: Sequence[Depth]) -> Grid:
    """The table of losses and step sizes over depth."""
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
        f"exact minimum over a.  Theorem 4: lowest critical point of {SEARCHES} searches, enclosed",
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def depth_plot(depths: Sequence[Depth]) -> Plot:
    """The plot of the expected loss over depth."""
    layers = tuple(float(depth.L) for depth in depths)
    curves = [
        Curve("one step size", layers, tuple(depth.one_step_size for depth in depths)),
        Curve("Theorem 3", layers, tuple(depth.loss for depth in depths)),
    ]
    transformed = [(float(depth.L), depth.criticals[0].value[0]) for depth in depths if depth.criticals]
    if transformed:
        curves.append(Curve("Theorem 4", *zip(*transformed, strict=True)))
    return Plot("Expected loss by depth", "layers", "expected loss", tuple(curves), "y")
