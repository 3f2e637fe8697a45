"""The constants of the paper's lemmas, and the ladder from them down to what a search finds, with heads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from icgd.bounds.claims import Number
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.published import Published, published
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
    "error e, as the paper gives no C(k).  The paper's own routes divide eps as its proof does.  Heads of "
    "the plain recurrence take one range for all hidden layers, the widest; those of cells each layer's own"
)
TITLE_OF_CONSTANTS = "Constants of the paper's lemmas"
_CONSTANT_COLUMNS = ("constant", "as printed", "repaired bound", "what it is, and where")
_CONSTANTS = (
    "R_1", "R_2", "R_3", "B_r", "B_{r'}", "B_l", "P", "B_s", "E_r", "E_s^r", "E_s^{r'}", "E_s^l",
    "C_l", "C_r", "C_{r'}", "epsilon_l", "epsilon_r", "epsilon_{r'}", "heads",
)  # fmt: skip
_NORMS: Mapping[str, str] = {"nu_2": "Lemma 2", "nu_3": "Lemma 3", "nu_4": "Lemma 4", "nu_7": "C.7"}
"""The norms of layers by their names in `Published`, with their places; the paper has no letters for them."""
_NOTE_OF_CONSTANTS = (
    "as printed, some are no bounds.  B_l is our reading, as Lemma 4 defines none: the largest |u[k]| over "
    "|p(N)[k]| <= B_r and norm2(y) <= B_y.  Lemma 7's C(k) is never given: heads count our own features, "
    "2 ln 2 (A/e)^2 a unit with error e, and the norms of Lemmas 2 to 4 have their masses A in place of C"
)
_MOST_LAYERS = 5
"""Deeper networks take minutes to divide the tolerance on cells."""
_PULLED, _POOL = 0.25, 1024


def constants_of_lemmas(problem: Problem) -> Grid | None:
    """Every constant of the paper's route, as printed and repaired; None where r breaks a hypothesis."""
    if violated(problem):
        return None
    try:
        printed, repaired = (published(problem, repaired=one) for one in (False, True))
    except ProblemError:
        return None
    named = {name: _plain(name) for name in _CONSTANTS}
    named |= {name: f"norm, {place}" for name, place in _NORMS.items()}
    rows = tuple(
        (shown, _shown(printed[name]), _shown(repaired[name]), _plain(_meant(printed, name)))
        for name, shown in named.items()
    )
    return Grid(TITLE_OF_CONSTANTS, _CONSTANT_COLUMNS, rows, _NOTE_OF_CONSTANTS)


def _meant(made: Published, name: str) -> str:
    return made.constants[made.symbol(name)][1]


def _plain(text: str) -> str:
    return text.replace("{r'}", "r'").replace("epsilon", "eps")


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
    """A number; a float where readers of JSON would round an integer, nothing where it exceeds floats."""
    if isinstance(count, int) and count <= 2**53:
        return count
    return float(count) if count <= sys.float_info.max else None


def _heads(problem: Problem) -> Cell:
    return next(claim.value for claim in claims(problem) if claim.quantity == "heads")


def _built(problem: Problem, construction: Construction) -> Cell:
    return next(claim.value for claim in built(problem, construction) if claim.quantity == "heads")
