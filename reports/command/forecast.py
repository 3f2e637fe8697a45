"""What a command will take, said on the standard error stream before it begins, or refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from icgd.bounds.estimate import WORTH_SAYING, Estimate, Piece
from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction
from icgd.construct.machine import memory
from icgd.reports.command.options import Search
from icgd.verify import workload
from icgd.verify.catalogue import THEOREMS
from icgd.verify.certificate.issue import letters
from icgd.verify.certificate.shape import flaw, sums
from icgd.verify.ledger.entries import entries
from icgd.verify.relu_icgd import THEOREM


def allow(estimate: Estimate) -> Estimate:
    """This estimate, once it is not too much; raises ProblemError."""
    return estimate.check(memory.available_bytes())


def announce(estimate: Estimate) -> None:
    """Say what it will take where that is more than seconds; raises ProblemError where it is too much."""
    if allow(estimate).seconds > WORTH_SAYING:
        print(estimate, file=sys.stderr, flush=True)


def verifying(
    problem: Problem,
    search: Search,
    construction: Construction,
    *,
    certify: bool,
    reported: bool = False,
) -> Estimate:
    """A verification of Theorem 1 by these options."""
    return workload.relu_icgd(
        problem,
        construction,
        samples=search.samples,
        effort=search.effort,
        certify=certify,
        prompts=search.prompts if search.data else None,
        reported=reported,
    )


def verifying_other(theorem: str, problem: Problem | Letters, *, reported: bool = False) -> Estimate:
    """A verification of a theorem of the catalogue."""
    pages = (Piece("pages", 8.0), Piece("findings", 3.0)) if reported else ()
    return workload.THEOREMS[theorem](problem) + Estimate(pages)


FINDINGS = "findings"


def everything(search: Search, *, reported: bool = True) -> dict[str, Estimate]:
    """Every theorem at its default problem, Theorem 1 in two constructions, by name; and all findings."""
    first = {
        f"{THEOREM}/{construction}": verifying(
            Problem(), search, construction, certify=True, reported=reported and construction == "lean"
        )
        for construction in ("lean", "paper")
    }
    others = {name: verifying_other(name, entry.letters()) for name, entry in THEOREMS.items()}
    parts = first | others | {FINDINGS: settling()}
    return {name: _begun(part) if number else part for number, (name, part) in enumerate(parts.items())}


def _begun(estimate: Estimate) -> Estimate:
    """The same within a command that has started."""
    return Estimate(tuple(piece for piece in estimate.pieces if piece != workload.START))


def bounding(theorem: str, problem: Problem | Letters, construction: Construction = "lean") -> Estimate:
    """The bounds of a theorem, for which a plan is made where it has one."""
    planned = isinstance(problem, Problem) and theorem != "convergence"
    made = workload.plan(problem, construction) if planned else Estimate(())  # type: ignore[arg-type]
    return Estimate((workload.START,)) + made


def checking(found: Mapping[str, Any], problem: Problem) -> Estimate:
    """A certificate checked, and held against the transformer that is built for it, which must fit."""
    chosen = str(found.get("construction"))
    if flaw(found, letters(problem), chosen) is None:
        memory.refuse_program(found["program"], problem)
    splits = found.get("splits")
    entries = len(splits) if isinstance(splits, list) else 0
    lists = (relus.get("a") for relus in sums(found.get("program")))
    fitted = sum(len(one) for one in lists if isinstance(one, list))
    seconds = workload.check(problem.N, entries, fitted, fitted * max(problem.K, problem.d))
    construction: Construction = "paper" if found.get("construction") == "paper" else "lean"
    return bounding(THEOREM, problem, construction) + Estimate((Piece("check", seconds),))


def settling(key: str | None = None) -> Estimate:
    """The findings, or one of them, computed again."""
    return workload.findings(1 if key else len(list(entries())))
