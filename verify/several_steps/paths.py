"""Iterates beside those of exact descent, and their distances beside every bound on them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.convergence import Curvature, diameter, distance
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.claims import allowed_after
from icgd.construct.prompt import Prompt
from icgd.verify.results import Curve, Grid, Plot
from icgd.verify.several_steps.proof import SeveralStepsProof


@dataclass(frozen=True, eq=False)
class Path:
    """Iterates on one batch of prompts: approximate ones, and those of exact descent from the same w(0)."""

    source: str
    prompt: Prompt
    iterates: Float[Tensor, "iterates B D_w"]
    exact: Float[Tensor, "iterates B D_w"]

    @property
    def apart(self) -> Float[Tensor, "iterates B"]:
        """norm2(w(l) - w_GD(l))."""
        distance: Tensor = torch.linalg.vector_norm(self.iterates - self.exact, dim=-1)
        return torch.nan_to_num(distance, nan=torch.inf)


def rates(problem: Problem, found: Curvature) -> tuple[float, float]:
    """What replaces Lambda in the two bounds that use no cells: Lambda itself, and mu."""
    return found.lam, found.rate(problem.eta)


def least_bound(problem: Problem, found: Curvature, proof: SeveralStepsProof | None, step: int) -> float:
    """The least of the bounds on the distance after so many steps."""
    bounds = [distance(problem, found.rate(problem.eta), step)]
    with contextlib.suppress(ProblemError):
        bounds.append(allowed_after(problem, step))
    return min(*bounds, proof.tube.at(step) if proof and proof.tube else bounds[0])


def distance_table(
    problem: Problem, found: Curvature, paths: Sequence[Path], proof: SeveralStepsProof | None
) -> tuple[Grid, Plot]:
    """The largest distance after every step and all bounds on it, as a table and as curves."""
    steps = range(len(paths[0].exact))
    measured = [path.apart.amax(dim=1).tolist() for path in paths]
    allowed = [
        [distance(problem, rate, step) if step else 0.0 for step in steps] for rate in rates(problem, found)
    ]
    names = ["bound, Lambda", "bound, mu"]
    with contextlib.suppress(ProblemError):
        allowed.append([allowed_after(problem, step) if step else 0.0 for step in steps])
        names.append("bound, cells")
    if proof and proof.tube:
        allowed.append([proof.tube.at(step) for step in steps])
        names.append("proved")
    columns = ("l", *(f"largest distance, {path.source}" for path in paths), *names)
    rows = tuple((step, *(line[step] for line in (*measured, *allowed))) for step in steps)
    note = (
        "norm2(w(l) - w_GD(l)); each bound is the least of the accumulated errors, the length of both paths "
        f"and the diameter of W, {diameter(problem):.6g}, at which it says nothing"
    )
    title = "Distance from exact descent"
    x = tuple(float(step) for step in steps if step)
    curves = tuple(
        Curve(label, x, tuple(line[1:]))
        for label, line in zip(columns[1:], (*measured, *allowed), strict=True)
    )
    return Grid(title, columns, rows, note), Plot(title, "step l", "distance, 2-norm", curves, "y")
