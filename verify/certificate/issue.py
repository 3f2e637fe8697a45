"""Issues certificates: proofs that the step error is at most eps, as plain data for the checker.

A certificate contains the problem, the program with its exact float64 weights, every local lemma (on which
range a sum of ReLUs is within which error of which function), the ranges and local errors that follow, and
the cells that cover every network of W.  JSON keeps floats bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icgd.bounds.functions.pieces import Fit
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import ROUNDOFFS, Problem
from icgd.bounds.step_error.cover import Cover
from icgd.bounds.step_error.plan import Plan, in_arithmetic
from icgd.bounds.step_error.product import Product
from icgd.bounds.step_error.recurrence import LayerRanges, Term, TermKind
from icgd.bounds.step_error.rounding import LEMMA_ROOM
from icgd.bounds.step_error.worst_case import Setting
from icgd.construct.machine.json_files import json_text, load_json
from icgd.verify.certificate.program import describe
from icgd.verify.certificate.shape import RELU_LAYER, Shape, flaw
from icgd.verify.checker.power_series import NAMED
from icgd.verify.checker.relu import FORMAT, LOSSES, STATEMENT


def certificate(planned: Plan, precision: str | None = None) -> dict[str, Any]:
    """The certificate of a plan, for its weights in float64 or rounded to float32.

    precision: another than that for which it was planned, whose rounding may then take it above eps.
    Raises ProblemError if rounding in that arithmetic takes numbers out of the range of the fits, or if a
    checker would refuse the certificate for its size.
    """
    program, precision = describe(planned), precision or planned.problem.precision
    if precision != planned.problem.precision:
        planned = in_arithmetic(planned, ROUNDOFFS[precision])
    cover, setting = planned.cover, planned.setting
    if cover is None:
        raise ProblemError("construction", planned.construction, "only plans based on cells can be certified")
    found = header(planned.problem, planned.construction, precision, program, STATEMENT)
    found |= {"lemmas": lemmas(planned.fits, planned.products, planned.layers)}
    found |= reasons(setting, cover, planned.errors) | {"certified": planned.bound}
    return issued(found, RELU_LAYER)


def header(
    problem: Problem, construction: str, arithmetic: str, program: Mapping[str, Any], statement: str
) -> dict[str, Any]:
    """The first fields of every certificate: format, problem, statement, program and its digest."""
    return {
        "format": FORMAT,
        "problem": posed_letters(problem),
        "construction": construction,
        "arithmetic": arithmetic,
        "statement": statement,
        "program": program,
        "weights": digest(program),
    }


def issued(found: dict[str, Any], layer: Mapping[str, Shape]) -> dict[str, Any]:
    """The same certificate; raises ProblemError where its shape is not the one that its checker requires."""
    if reason := flaw(found, found["problem"], found["construction"], layer):
        raise ProblemError("certificate", found["construction"], f"no checker would accept it: {reason}")
    return found


def reasons(setting: Setting, cover: Cover, errors: Mapping[Term, float]) -> dict[str, Any]:
    """The steps from the program to the bound: ranges, local errors, multipliers, cells."""
    ends = zip(cover.root.low[:, 0].tolist(), cover.root.high[:, 0].tolist(), strict=True)
    return {
        "layers": [
            {name: getattr(layer, name) for name in _RANGES} | {"jerk": jerk}
            for layer, jerk in zip(setting.layers, setting.jerk, strict=True)
        ],
        "errors": {str(term): error for term, error in errors.items()},
        "steepness": setting.steepness if setting.problem.loss.rho == 0 else None,
        **({} if setting.problem.loss.name in LOSSES else {"lip": setting.loss_slope[1] * (1 + 2.0**-40)}),
        "multipliers": [
            {quantity: lam.tolist() for quantity, lam in table.multipliers.items()}
            for table in setting.envelopes
        ],
        "joint": setting.joint and {name: pairs.tolist() for name, pairs in setting.joint.pairs.items()},
        "root": [[low, high] for low, high in ends],
        "splits": cover.splits.tolist(),
    }


_RANGES = ("p_in", "z", "r", "curvature", "dr_low", "dr_high", "g", "s", "s_norm")


def posed_letters(problem: Problem) -> dict[str, int | float | str]:
    """The letters as the checker compares them; a function that it does not know by name is a formula."""
    functions = (("activation", problem.activation, NAMED), ("loss", problem.loss, LOSSES))
    written = {letter: one.formula for letter, one, known in functions if one.name not in known}
    return problem.as_dict() | written


def digest(program: Any) -> str:
    """SHA-256 of a program: equal digests mean equal weights, bit for bit."""
    return hashlib.sha256(json.dumps(program, sort_keys=True).encode()).hexdigest()


def lemmas(
    fits: Mapping[Term, Fit], products: Mapping[Term, Product], layers: Sequence[LayerRanges]
) -> dict[str, dict[str, float]]:
    """Every sum of ReLUs that a program computes: the range on which it is used, and its error there."""
    found = [(term, fitted.hi, fitted.error) for term, fitted in fits.items()]
    for term, product in products.items():
        if product.square is not None:
            found.append((term, product.square.hi, product.square.error))
    for j, layer in enumerate(layers, start=1):
        lines: dict[TermKind, float] = {
            "r": layer.slope * layer.z + layer.r,
            "dr": layer.curvature * layer.z + layer.dr,
        }
        for kind, size in lines.items():
            if Term(kind, j) not in fits:
                found.append((Term(kind, j), layer.z, 2.0**-48 * size))
    room = 1 + (LEMMA_ROOM - 1) / 2
    return {str(term): {"reach": reach, "error": error * room} for term, reach, error in found}


def certificate_text(found: Mapping[str, Any]) -> str:
    """A certificate as the text of its file."""
    return json_text(found) + "\n"


def as_read(found: Mapping[str, Any]) -> dict[str, Any]:
    """A certificate after a round trip through the text of its file, sharing no objects with the original."""
    return dict(json.loads(certificate_text(found)))


def load_certificate(path: Path | str) -> dict[str, Any]:
    """A certificate from a file; raises ProblemError where it is not one, whatever it would prove."""
    found = load_json(path, "certificate")
    if not isinstance(found, dict) or not str(found.get("format")).startswith("icgd certificate"):
        raise ProblemError("certificate", path, "it is not a certificate that icgd audit wrote")
    return found
