"""The verdict `proved`: a certificate, the independent check of it, and the matrices held against it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import icgd.bounds.softmax_icgd
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import Plan, plan
from icgd.bounds.step_error.recurrence import LayerRanges
from icgd.construct import relu_icgd, softmax_icgd
from icgd.construct.block.transformer import Transformer
from icgd.construct.machine.memory import refuse_if_too_large, refuse_program
from icgd.verify.certificate import shape as certificate_shape
from icgd.verify.certificate import softmax_matrices as softmax_shipped
from icgd.verify.certificate.issue import certificate, digest, letters
from icgd.verify.certificate.matrices import differences, expected
from icgd.verify.certificate.softmax_program import certificate as softmax_certificate
from icgd.verify.certificate.softmax_program import describe
from icgd.verify.checker import softmax as softmax_checker
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.relu import FURTHEST, check

if TYPE_CHECKING:
    from icgd.construct.block.literal import LiteralLayer

TRUSTED = (
    "IEEE-754 binary arithmetic, round to nearest, no overflow; sums in any order, fused or not",
    "relu.py, lemmas.py, envelopes.py, power_series.py in verify/checker/, with FLINT and Arb (python-flint)",
    "verify/certificate/matrices.py, which finds the matrices that ship to be the certificate's program",
)

SOFTMAX_TRUSTED = (
    *TRUSTED[:1],
    "softmax of equal scores: exp(0) is within 16 ulps of 1, then a sum and a division",
    "all files of verify/checker/ with FLINT and Arb (python-flint)",
    "softmax_matrices.py and matrices.py in verify/certificate/, which find the matrices to be that program",
)


@dataclass(frozen=True)
class Proof:
    """What became of a certificate.

    refusal: the first claim that does not hold, None if it was accepted.  why: the same as a sentence.
    bound: on norm2(err)/eta, proved.
    float32: the bound for the same weights rounded to float32, or why there is none.
    units_before: ReLUs of a plan against the plain recurrence.  proving, checking: seconds.
    """

    certificate: Mapping[str, Any]
    refusal: str | None
    why: str | None
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

    posed: every letter, as in `icgd.verify.certificate.issue.letters`.
    """
    if reason := certificate_shape.flaw(found, posed, construction):
        return reason
    try:
        if construction == "softmax":
            softmax_checker.check(found, posed)
        else:
            check(found, posed, construction)
    except Refused as claim:
        return str(claim)
    return None if found["weights"] == digest(found["program"]) else "the digest of the weights is right"


def mismatch(found: Mapping[str, Any], layers: Iterable[LiteralLayer]) -> str | None:
    """The first place where the matrices of a block are not the certificate's program, or None."""
    try:
        program = found["program"]
        softmax = found["construction"] == "softmax"
        wanted = softmax_shipped.expected(program) if softmax else expected(program)
    except (LookupError, TypeError, ValueError):
        return "the program has no matrices: a part is missing, or no list of numbers where it should be"
    for one in differences(wanted, layers):
        place = f"layer {one.layer}, {one.where}" + (f" {one.entry}" if one.entry else "")
        return f"{place} is {one.actual}, not {one.expected} as in the certificate"
    return None


@dataclass(frozen=True)
class Judgement:
    """What a certificate from anywhere is worth for a problem.

    construction: what it was judged as.  refusal: the first claim that does not hold, None if all do.
    bound: on norm2(err)/eta, where it is proved.  apart: how the transformer that is built here differs from
    the certificate's program, None if it does not (or was not looked at, the certificate being refused).
    """

    construction: str
    refusal: str | None
    bound: float | None
    apart: str | None
    trusted: tuple[str, ...]


def certified(problem: Problem, construction: str) -> dict[str, Any]:
    """The certificate for lean, paper or softmax, ready for JSON; raises ProblemError where there is none."""
    if construction == "softmax":
        return softmax_certificate(icgd.bounds.softmax_icgd.plan(icgd.bounds.softmax_icgd.halved(problem)))
    return certificate(plan(problem, cast(Construction, construction)))


def judge(
    found: Mapping[str, Any],
    problem: Problem,
    construction: str | None = None,
    *,
    progress: Progress = silent,
) -> Judgement:
    """Judge a certificate for lean, paper or softmax; the construction is the certificate's unless posed.

    problem: in the letters of the theorem that the construction is of; raises ProblemError where the
    construction cannot be built for it, or its matrices would not fit in memory.
    """
    chosen = str(found.get("construction")) if construction is None else construction
    trusted = SOFTMAX_TRUSTED if chosen == "softmax" else TRUSTED
    with progress("check", 4) as advance:
        if reason := refusal(found, letters(problem), chosen):
            return Judgement(chosen, reason, None, None, trusted)
        advance(1)
        refuse_program(found["program"], problem)
        if chosen == "softmax":
            made = icgd.bounds.softmax_icgd.plan(icgd.bounds.softmax_icgd.halved(problem), progress=progress)
            refuse_program(describe(made), problem)
            built = softmax_icgd.assemble(made).literal()
        else:
            refuse_if_too_large(problem, cast(Construction, chosen))
            built = relu_icgd.build(problem, cast(Construction, chosen), progress=progress).literal()
        advance(2)
        apart = mismatch(found, built)
        advance(1)
        return Judgement(chosen, None, found["certified"], apart, trusted)


def not_proved(problem: Problem, reason: str, *, matrices: bool = False) -> str:
    """Why a step error is held and not proved, and what would help, in one sentence.

    reason: the claim that the checker does not accept, or (matrices) the entry that is not the program's.
    """
    if matrices:
        return f"not proved, because the matrices are not the certificate's program: {reason}"
    posed = f"activation {problem.activation.name}, loss {problem.loss.name}"
    return (
        f"not proved, because the checker does not accept that {reason} ({posed}); no prompt was found that "
        "breaks the bound; smaller radii or a larger eps leave the checker more room"
    )


def unchecked(layers: Iterable[LayerRanges]) -> str | None:
    """Why the checker looks at no certificate with these ranges, or None if it does."""
    z = max(layer.z for layer in layers)
    return (
        f"no certificate: z reaches {z:.4g}, the checker looks up to {FURTHEST:,}" if z > FURTHEST else None
    )


def prove(made: Plan, transformer: Transformer, progress: Progress = silent) -> Proof:
    """Certify the plan's bound, check it as a stranger would, and hold the matrices against it."""
    problem, construction = made.problem, made.construction
    before = plan(problem, construction, "recurrence", progress=progress).units
    with progress("certificate", 13) as advance:
        began = time.perf_counter()
        found = json.loads(json.dumps(certificate(made)))
        proving = made.seconds + time.perf_counter() - began
        advance(2)
        began = time.perf_counter()
        reason = refusal(found, letters(problem), construction)
        checking = time.perf_counter() - began
        advance(4)
        apart = None if reason else mismatch(found, transformer.literal())
        why = not_proved(problem, reason or apart or "", matrices=reason is None) if reason or apart else None
        advance(4)
        float32 = _in_float32(made)
        advance(3)
        return Proof(found, reason or apart, why, made.bound, float32, before, proving, checking)


def _in_float32(made: Plan) -> float | str:
    try:
        found = json.loads(json.dumps(certificate(made, "float32")))
        if found["certified"] > made.problem.eps:
            return f"not proved: rounding takes the bound to {found['certified']:.3g}, above eps"
        return check(found, letters(made.problem), made.construction)
    except (ProblemError, Refused) as reason:
        return f"not proved: {reason}"
