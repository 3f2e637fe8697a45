"""The certificate of a block of the paper's kind whose author chose their own sums of ReLUs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from icgd.bounds.functions.pieces import Fit, certified_error
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import approximated, radius
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.plan import Plan, in_arithmetic
from icgd.bounds.step_error.recurrence import LayerRanges, Term, ranges
from icgd.bounds.step_error.rounding import LEMMA_ROOM, offset_above, rounding_errors
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.relu_icgd import check_construction
from icgd.verify.certificate.issue import as_read, header, issued, lemmas, reasons
from icgd.verify.certificate.program import heading, loss_slope, plain
from icgd.verify.certificate.shape import RELU_LAYER
from icgd.verify.checker.matrices import expected
from icgd.verify.checker.program import NetworkLayer, Program, layout
from icgd.verify.checker.relu import STATEMENT
from icgd.verify.given_block.dataflow import Part, disorder, parts_of, parts_of_literal, renumbered, unlike
from icgd.verify.given_block.own_sums import OwnSums, Unreadable, read_sums

_ROOMS = (2.0**-16, 2.0**-16, 2.0**-10, 2.0**-7, 2.0**-4, 0.5)
"""How much farther than their ranges the sums are examined, in turn; the first ranges know no errors."""


def own_certificate(block: GivenBlock) -> dict[str, Any]:
    """The certificate of the block's own sums, whose program its matrices are, part by part.

    Raises Unreadable, with the first part that does not fit, or ProblemError where there is no certificate.
    """
    problem = block.problem
    check_construction(problem, "paper")
    planned = ranges(problem, {})
    parts = parts_of_literal(list(block.literal()))
    sums = read_sums(block, parts, [layer.z for layer in planned])
    program = _program(problem, sums, _as_fits(problem, sums, planned, examined=False), planned)
    if reason := _difference(block, parts, program, sums):
        raise Unreadable(reason)
    return _issued(problem, sums)


def own_difference(block: GivenBlock, program: Program) -> str | None:
    """The first part of the block that is not that of a program of the construction `paper`, or None."""
    parts = parts_of_literal(list(block.literal()))
    try:
        sums = read_sums(block, parts, [layer.z for layer in ranges(block.problem, {})])
        return _difference(block, parts, program, sums)
    except Unreadable as reason:
        return str(reason)


def _difference(block: GivenBlock, parts: Sequence[Part], program: Program, sums: OwnSums) -> str | None:
    try:
        renamed = renumbered(parts, _numbering(block, program, sums))
    except KeyError as place:
        return f"coordinate {place} is used and belongs to no part of the network"
    names, wanted = layout(program), parts_of(expected(program))
    w = {at for j in range(1, program["N"] + 1) for at in names[f"V{j}"]}
    given = {at for name in ("x", "y", "one", "t") for at in names[name]}
    for found in (renamed, wanted):
        if reason := disorder(found, w, given):
            return f"{reason} (coordinates as in the program)"
    reason = unlike(wanted, renamed)
    return reason and f"{reason} (coordinates as in the program)"


def _numbering(block: GivenBlock, program: Program, sums: OwnSums) -> dict[int, int]:
    """The program's coordinate of each coordinate of the block that has a part in the network."""
    at, w = block.stream, list(block.stream.w)
    mine = {"x": at.x, "y": at.y, "one": [at.one], "t": [at.t], **sums.places}
    to: dict[int, int] = {}
    for name, places in layout(program).items():
        own = mine.get(name)
        if own is None:
            own, w = w[: len(places)], w[len(places) :]
        for one, place in zip(own, places, strict=True):
            if to.setdefault(one, place) != place:
                raise Unreadable(f"coordinate {one} has two parts in the network")
    return to


def _program(
    problem: Problem, sums: OwnSums, fits: Mapping[Term, Fit], layers: tuple[LayerRanges, ...]
) -> Program:
    rows = [
        NetworkLayer(
            face=half,
            above_z=offset_above(layer.z),
            above_g=offset_above(layer.g),
            above_s=above,
            r=plain(r),
            dr=plain(dr),
            product=None,
        )
        for half, layer, above, r, dr in zip(sums.faces, layers, sums.above, sums.r, sums.dr, strict=True)
    ]
    loss = loss_slope(problem, fits, from_z=False)
    return {**heading(problem, "paper", loss), "layers": rows}


def _as_fits(
    problem: Problem,
    sums: OwnSums,
    layers: tuple[LayerRanges, ...],
    room: float = 0.0,
    *,
    examined: bool = True,
) -> dict[Term, Fit]:
    """The sums as fits on these ranges, with their largest errors there; 0 if they are not examined."""
    fits = {}
    for term, g in approximated(problem, "paper").items():
        own = sums.u if term.kind == "u" else (sums.r if term.kind == "r" else sums.dr)[term.layer - 1]
        assert own is not None
        reach = radius(problem, "paper", layers, term) * (1 + room)
        error = certified_error(own, g, -reach, reach) if examined else 0.0
        fits[term] = Fit(g, -reach, reach, error, own, error, own.units + 1, 1, ())
    return fits


def _issued(problem: Problem, sums: OwnSums) -> dict[str, Any]:
    made = _plan(problem, sums)
    layers = made.layers
    for j, (layer, above) in enumerate(zip(layers, sums.above, strict=True), start=1):
        if not above >= layer.s:
            reason = f"the constant {above:g} does not keep s[{j}] above 0: it reaches {layer.s:.6g}"
            raise Unreadable(reason)
    # An update rounds like its offset, however far that is above s.
    far = tuple(replace(layer, s=above) for layer, above in zip(layers, sums.above, strict=True))
    rounded = rounding_errors(problem, far, made.fits, {}, by_heads=True)
    errors = {
        term: (rounded.get(term, 0.0) + (made.fits[term].error if term in made.fits else 0.0)) * LEMMA_ROOM
        for term in {**rounded, **made.fits}
    }
    for j, half in enumerate(sums.faces, start=1):
        within = 2 * max(0.0, face(problem, j) - half) * math.sqrt(problem.dims[j] * problem.dims[j - 1])
        errors[Term("update", j)] = errors.get(Term("update", j), 0.0) + 1.001 * within / problem.eta
    made = replace(made, errors=errors)
    if made.bound > problem.eps:
        reason = (
            f"with the errors of their own sums the bound is {made.bound:.4g}, above eps = {problem.eps:g}"
        )
        raise Unreadable(reason)
    assert made.cover is not None
    program = _program(problem, sums, made.fits, made.layers)
    found = header(problem, "paper", problem.precision, program, STATEMENT)
    found |= {"lemmas": lemmas(made.fits, {}, made.layers)}
    found |= reasons(made.setting, made.cover, made.errors) | {"certified": made.bound}
    return as_read(issued(found, RELU_LAYER))


def _plan(problem: Problem, sums: OwnSums) -> Plan:
    """The plan of these sums, on ranges that their errors and all rounding stay in."""
    errors: dict[Term, float] = {}
    for room in _ROOMS:
        planned = ranges(problem, errors)
        fits = _as_fits(problem, sums, planned, room)
        errors = {term: fitted.error for term, fitted in fits.items()}
        try:
            made = Plan(problem, "paper", errors, ranges(problem, errors), fits, {}, {})
            return in_arithmetic(made, problem.roundoff)
        except ProblemError as reason:
            last = reason
        except (ValueError, ArithmeticError) as reason:
            raise Unreadable(f"their own sums have no finite error ({reason})") from None
    raise last
