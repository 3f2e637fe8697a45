"""Proves a step error: issues the certificate, checks it independently, and compares the matrices with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import Brief
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import Plan, plan
from icgd.bounds.step_error.recurrence import LayerRanges
from icgd.construct.block.transformer import Transformer
from icgd.construct.machine.memory import refuse_program
from icgd.verify.certificate import shape as certificate_shape
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, certificate, digest, posed_letters
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.matrices import differences
from icgd.verify.checker.relu import FURTHEST

if TYPE_CHECKING:
    from icgd.construct.block.literal import LiteralLayer

_CERTIFIED = " and ".join(CONSTRUCTIONS)


@dataclass(frozen=True, repr=False)
class Proof(Brief):
    """A certificate and the result of checking it.

    refusal: the first claim that does not hold, None if it was accepted.  why: the same as a sentence.
    bound: the proved bound on norm2(err)/eta.
    float32: the bound for the same weights rounded to float32, or why there is none; the bound itself where
    they were planned for float32.
    units_before: ReLUs of a plan based on the plain recurrence.  proving, checking: seconds.
    """

    certificate: Mapping[str, Any]
    refusal: str | None
    why: str | None
    bound: float
    float32: float | str
    units_before: int
    proving: float
    checking: float

    @property
    def where(self) -> str:
        """Words for the arithmetic that is not the usual one: " in float32", or nothing."""
        return " in float32" * (self.certificate["arithmetic"] == "float32")

    @property
    def trusted(self) -> tuple[str, ...]:
        """What the proof relies on."""
        return CONSTRUCTIONS[self.certificate["construction"]].trusted


def misshapen(
    found: Mapping[str, Any], posed: Mapping[str, int | float | str], construction: str
) -> str | None:
    """Why no checker would read a certificate, regardless of what it proves; None if one would."""
    if construction not in CONSTRUCTIONS:
        return f"construction = {construction} can be proved ({_CERTIFIED} can)"
    return certificate_shape.flaw(found, posed, construction, CONSTRUCTIONS[construction].layer)


def refusal(
    found: Mapping[str, Any], posed: Mapping[str, int | float | str], construction: str
) -> str | None:
    """Why a certificate does not prove its bound for this problem, or None if it does.

    posed: every letter, as in `icgd.verify.certificate.issue.posed_letters`.
    """
    if reason := misshapen(found, posed, construction):
        return reason
    try:
        CONSTRUCTIONS[construction].check(found, posed)
    except Refused as claim:
        return str(claim)
    return None if found["weights"] == digest(found["program"]) else "the digest of the weights is right"


def mismatch(found: Mapping[str, Any], layers: Iterable[LiteralLayer]) -> str | None:
    """The first place where the matrices of a block are not the certificate's program, or None."""
    try:
        wanted = CONSTRUCTIONS[found["construction"]].matrices(found["program"])
    except (LookupError, TypeError, ValueError):
        return "the program has no matrices: a part is missing, or is not a list of numbers as required"
    for one in differences(wanted, layers):
        place = f"layer {one.layer}, {one.where}" + (f" {one.entry}" if one.entry else "")
        return f"{place} is {one.actual}, not {one.expected} as in the certificate"
    return None


@dataclass(frozen=True)
class Judgement:
    """The result of judging a certificate from any source against a problem.

    construction: what it was judged as.  refusal: the first claim that does not hold, None if all do.
    bound: on norm2(err)/eta, where it is proved.  apart: how the transformer built here differs from the
    certificate's program; None if it does not, or if the certificate was refused.
    """

    construction: str
    refusal: str | None
    bound: float | None
    apart: str | None
    trusted: tuple[str, ...]


def certified(problem: Problem, construction: str) -> dict[str, Any]:
    """The certificate for a problem, as its file holds it; raises ProblemError where there is none."""
    if construction not in CONSTRUCTIONS:
        raise ProblemError("construction", construction, f"only {_CERTIFIED} can be certified")
    entry = CONSTRUCTIONS[construction]
    return as_read(entry.issue(entry.plan(problem)))


def judge(
    found: Mapping[str, Any],
    problem: Problem,
    construction: str | None = None,
    *,
    progress: Progress = silent,
) -> Judgement:
    """Judge a certificate, by default for the construction that it names.

    problem: in the letters of the construction's theorem; raises ProblemError where the construction cannot
    be built for it, or its matrices would not fit in memory.
    """
    chosen = str(found.get("construction")) if construction is None else construction
    trusted = CONSTRUCTIONS[chosen].trusted if chosen in CONSTRUCTIONS else ()
    with progress("check", 4) as advance:
        if reason := refusal(found, posed_letters(problem), chosen):
            return Judgement(chosen, reason, None, None, trusted)
        advance(1)
        refuse_program(found["program"], problem)
        entry = CONSTRUCTIONS[chosen]
        entry.refuse(problem)
        built = entry.assemble(entry.plan(problem, progress=progress))
        advance(2)
        apart = mismatch(found, built.literal())
        advance(1)
        return Judgement(chosen, None, found["certified"], apart, trusted)


def not_proved(problem: Problem, reason: str, *, matrices: bool = False) -> str:
    """Why a step error is held but not proved, and what would help, in one sentence.

    reason: the claim that the checker does not accept, or (matrices) the entry that differs from the program.
    """
    if matrices:
        return f"not proved, because the matrices are not the certificate's program: {reason}"
    posed = f"activation {problem.activation.name}, loss {problem.loss.name}"
    return (
        f"not proved, because the checker does not accept that {reason} ({posed}); no prompt was found that "
        "breaks the bound; smaller radii or a larger eps give the checker more room"
    )


def unchecked(layers: Iterable[LayerRanges]) -> str | None:
    """Why the checker accepts no certificate with these ranges, or None if it may."""
    z = max(layer.z for layer in layers)
    return f"no certificate: z reaches {z:.4g}, the checker goes up to {FURTHEST:,}" if z > FURTHEST else None


def prove(planned: Plan, transformer: Transformer, progress: Progress = silent) -> Proof:
    """Certify the bound of a plan, check the certificate independently, and compare the matrices with it."""
    problem, construction = planned.problem, planned.construction
    before = plan(problem, construction, "recurrence", progress=progress).units
    with progress("certificate", 13) as advance:
        began = time.perf_counter()
        found = as_read(certificate(planned))
        proving = planned.seconds + time.perf_counter() - began
        advance(2)
        began = time.perf_counter()
        reason = refusal(found, posed_letters(problem), construction)
        checking = time.perf_counter() - began
        advance(4)
        apart = None if reason else mismatch(found, transformer.literal())
        why = not_proved(problem, reason or apart or "", matrices=reason is None) if reason or apart else None
        advance(4)
        float32 = planned.bound if found["arithmetic"] == "float32" else _in_float32(planned)
        advance(3)
        return Proof(found, reason or apart, why, planned.bound, float32, before, proving, checking)


def _in_float32(planned: Plan) -> float | str:
    try:
        found = as_read(certificate(planned, "float32"))
        if found["certified"] > planned.problem.eps:
            more = "; weights planned with --precision float32 may stay below it"
            return f"not proved: rounding takes the bound to {found['certified']:.3g}, above eps{more}"
        return CONSTRUCTIONS[planned.construction].check(found, posed_letters(planned.problem))
    except (ProblemError, Refused) as reason:
        return f"not proved: {reason}"
