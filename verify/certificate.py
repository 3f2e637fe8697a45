"""A proof that the step error is at most eps, as plain data that `verify.checker` can follow on its own.

A certificate holds the problem, the program with its exact float64 weights, every local lemma (which sum of
ReLUs is within which error of which function, and how far), the ranges and local errors that follow, and the
cells that cover every network of W.  JSON keeps floats bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from bounds.domain import UNIT_ROUNDOFF
from bounds.plan import LEMMA_ROOM, Plan, in_arithmetic
from bounds.problem import Problem, ProblemError
from bounds.recurrence import Term
from verify.checker import FORMAT, STATEMENT
from verify.program import describe

Arithmetic = Literal["float64", "float32"]
UNITS: dict[Arithmetic, float] = {"float64": UNIT_ROUNDOFF, "float32": 2.0**-24}


def certificate(made: Plan, arithmetic: Arithmetic = "float64") -> dict[str, Any]:
    """The certificate of a plan, for its weights in float64 or rounded to float32.

    Raises ProblemError if the rounding of that arithmetic takes numbers out of the fits' range.
    """
    program = describe(made)
    if arithmetic != "float64":
        made = in_arithmetic(made, UNITS[arithmetic])
    cover, setting = made.cover, made.setting
    if cover is None:
        raise ProblemError("construction", made.construction, "only plans against the cells are certified")
    ends = zip(cover.root.low[:, 0].tolist(), cover.root.high[:, 0].tolist(), strict=True)
    return {
        "format": FORMAT,
        "problem": letters(made.problem),
        "construction": made.construction,
        "arithmetic": arithmetic,
        "statement": STATEMENT,
        "program": program,
        "weights": digest(program),
        "lemmas": {str(term): {"reach": reach, "error": error} for term, reach, error in _lemmas(made)},
        "layers": [
            {name: getattr(layer, name) for name in _RANGES} | {"jerk": jerk}
            for layer, jerk in zip(made.layers, setting.jerk, strict=True)
        ],
        "errors": {str(term): error for term, error in made.errors.items()},
        "steepness": setting.steepness if made.problem.loss.rho == 0 else None,
        "multipliers": [
            {quantity: lam.tolist() for quantity, lam in table.multipliers.items()}
            for table in setting.envelopes
        ],
        "root": [[low, high] for low, high in ends],
        "splits": cover.splits.tolist(),
        "certified": made.certified,
    }


_RANGES = ("p_in", "z", "r", "curvature", "dr_low", "dr_high", "g", "s", "s_norm")


def letters(problem: Problem) -> dict[str, int | float | str]:
    """The letters of a problem as the checker compares them."""
    return problem.as_dict()


def digest(program: Any) -> str:
    """SHA-256 of a program: equal digests mean equal weights, bit for bit."""
    return hashlib.sha256(json.dumps(program, sort_keys=True).encode()).hexdigest()


def _lemmas(made: Plan) -> list[tuple[Term, float, float]]:
    """Every sum of ReLUs that the program computes: how far it is used and how exact it is."""
    found = [(term, fitted.hi, fitted.error) for term, fitted in made.fits.items()]
    for term, product in made.products.items():
        if product.square is not None:
            found.append((term, product.square.hi, product.square.error))
    for j, layer in enumerate(made.layers, start=1):
        missing = [Term("r", j), Term("dr", j)]
        found += [
            (term, layer.z, 2.0**-48 * layer.z * (1 + layer.dr)) for term in missing if term not in made.fits
        ]
    return [(term, reach, error * (1 + (LEMMA_ROOM - 1) / 2)) for term, reach, error in found]


def load(path: Path) -> dict[str, Any]:
    """A certificate from a file; raises ProblemError where it is not JSON."""
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise ProblemError("certificate", path, "it is not a JSON file") from None
    if not isinstance(found, dict):
        raise ProblemError("certificate", path, "it is not a certificate")
    return found
