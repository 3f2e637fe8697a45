"""From the paper's own error constants down to what a search finds: one ladder, with heads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import torch

from icgd.bounds.claims import Number
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.relu_icgd import built, claims, local_tolerance, violated
from icgd.bounds.step_error.budget import Construction, approximated
from icgd.bounds.step_error.plan import Plan, plan
from icgd.bounds.step_error.sampled_division import sampled_division
from icgd.verify.results import Cell, Grid, Sandwich
from icgd.verify.search.free_signs import free_signs

TITLE_OF_LADDER = "From the paper's constants to what is built"
_COLUMNS = (
    "route",
    "step error / eta per unit of equal local error",
    "step error / eta at its own local errors",
    "heads of the largest layer",
)
_NOTE = (
    "per unit: r, r' and u each off by the same error; heads: sampled features, 2 ln 2 (A/e)^2 a unit with "
    "error e, as the paper gives no C(k).  The paper's own routes divide eps as its proof does"
)
_MOST_LAYERS = 5
"""Deeper networks take minutes to divide the tolerance on cells."""
_PULLED, _POOL = 0.25, 1024


def ladder(planned: Plan, sandwich: Sandwich, certified: bool, generator: torch.Generator) -> Grid | None:
    """The ladder of one problem, from the plan of its `paper` block; None where r breaks a hypothesis.

    sandwich: of that block.  certified: whether a checker accepted its bound.
    """
    problem = planned.problem
    if violated(problem):
        return None
    try:
        rows = tuple(_rows(planned, sandwich, certified, generator))
    except ProblemError:
        return None
    return Grid(TITLE_OF_LADDER, _COLUMNS, rows, _NOTE)


def _rows(
    planned: Plan, sandwich: Sandwich, certified: bool, generator: torch.Generator
) -> Iterator[tuple[Cell, ...]]:
    problem = planned.problem
    for repaired in (False, True):
        made = published(problem, repaired=repaired)
        name = "the paper's lemmas, repaired" if repaired else "the paper's lemmas, as printed"
        yield name, made.per_unit, problem.eps, _shown(made["heads"])
    bent = approximated(problem, "paper")
    yield "plain recurrence", local_tolerance(problem).C if bent else None, problem.eps, _heads(problem)
    if bent and problem.N <= _MOST_LAYERS:
        yield from _by_cells(problem)
    if bent:
        e = 1e-3 * problem.eps
        alike = replace(planned, errors=dict.fromkeys(bent, e))
        pulled = free_signs(alike, generator, effort=_PULLED, pool=_POOL)
        yield "attacked, every sign free", pulled.largest / problem.eta / e, None, None
    word = "certified" if certified else "bound"
    yield f"paper, as built: {word}", None, planned.bound, _built(problem, "paper")
    yield "paper, as built: attacked", None, sandwich.attacked / problem.eta, None
    try:
        lean = plan(problem, "lean")
    except ProblemError:
        return
    yield "lean, as built: bound", None, lean.bound, _built(problem, "lean")


def _by_cells(problem: Problem) -> Iterator[tuple[Cell, ...]]:
    """Both divisions of the tolerance on cells; nothing where the bound does not reach so large an eps."""
    for equal in (True, False):
        try:
            best = sampled_division(problem, equal=equal)
        except ProblemError:
            return
        unit = best.bound / max(best.errors.values()) if equal else None
        name = "cells, equal local errors" if equal else "cells, best division of eps"
        yield name, unit, best.bound, _shown(best.largest)


def _shown(count: Number) -> Cell:
    """A count; a float where readers of JSON would round an integer, nothing where it exceeds floats."""
    if isinstance(count, int) and count <= 2**53:
        return count
    return float(count) if count <= sys.float_info.max else None


def _heads(problem: Problem) -> Cell:
    return next(claim.value for claim in claims(problem) if claim.quantity == "heads")


def _built(problem: Problem, construction: Construction) -> Cell:
    return next(claim.value for claim in built(problem, construction) if claim.quantity == "heads")
