"""The verdict `proved`: a certificate, the independent check of it, and the matrices held against it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bounds.plan import Plan, plan
from bounds.problem import ProblemError
from construct.transformer import Transformer
from verify.certificate import certificate, digest, letters
from verify.checker import check
from verify.lemmas import Refused
from verify.shipped import differences, expected

if TYPE_CHECKING:
    from construct.literal import LiteralLayer

TRUSTED = (
    "IEEE-754 binary arithmetic, round to nearest, no overflow; sums in any order, fused or not",
    "verify/checker.py and verify/lemmas.py with the rationals of FLINT and the balls of Arb (python-flint)",
    "verify/shipped.py, which finds the matrices that ship to be the certificate's program",
)


@dataclass(frozen=True)
class Proof:
    """What became of a certificate.

    refusal: the first claim that does not hold, None if it was accepted.  bound: on norm2(err)/eta, proved.
    float32: the bound for the same weights rounded to float32, or why there is none.
    units_before: ReLUs of a plan against the plain recurrence.  proving, checking: seconds.
    """

    certificate: Mapping[str, Any]
    refusal: str | None
    bound: float
    float32: float | str
    units_before: int
    proving: float
    checking: float

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values, without the certificate itself."""
        return {
            "accepted": self.refusal is None,
            "refusal": self.refusal,
            "bound": self.bound,
            "float32": self.float32,
            "weights": self.certificate["weights"],
            "cells": self.certificate["splits"].count(0),
            "units_before": self.units_before,
            "proving_seconds": round(self.proving, 3),
            "checking_seconds": round(self.checking, 3),
            "trusted": list(TRUSTED),
        }


def refusal(
    found: Mapping[str, Any], posed: Mapping[str, int | float | str], construction: str
) -> str | None:
    """Why a certificate does not prove its bound for this problem, or None if it does.

    posed: every letter, as in `verify.certificate.letters`.
    """
    try:
        check(found, posed, construction)
    except Refused as reason:
        return str(reason)
    return None if found["weights"] == digest(found["program"]) else "the digest of the weights is right"


def mismatch(found: Mapping[str, Any], layers: Iterable[LiteralLayer]) -> str | None:
    """The first place where the matrices of a block are not the certificate's program, or None."""
    try:
        wanted = expected(found["program"])
    except (LookupError, TypeError, ValueError) as error:
        return f"the program can be read ({error!r})"
    for one in differences(wanted, layers):
        place = f"layer {one.layer}, {one.where}" + (f" {one.entry}" if one.entry else "")
        return f"{place} is {one.actual}, not {one.expected} as in the certificate"
    return None


def prove(made: Plan, transformer: Transformer) -> Proof:
    """Certify the plan's bound, check it as a stranger would, and hold the matrices against it."""
    problem, construction = made.problem, made.construction
    began = time.perf_counter()
    found = json.loads(json.dumps(certificate(made)))
    proving = made.seconds + time.perf_counter() - began
    began = time.perf_counter()
    reason = refusal(found, letters(problem), construction)
    checking = time.perf_counter() - began
    reason = reason or mismatch(found, transformer.literal())
    before = plan(problem, construction, "recurrence").units
    return Proof(found, reason, made.certified, _in_float32(made), before, proving, checking)


def _in_float32(made: Plan) -> float | str:
    try:
        found = json.loads(json.dumps(certificate(made, "float32")))
        if found["certified"] > made.problem.eps:
            return f"not proved: rounding takes the bound to {found['certified']:.3g}, above eps"
        return check(found, letters(made.problem), made.construction)
    except (ProblemError, Refused) as reason:
        return f"not proved: {reason}"
