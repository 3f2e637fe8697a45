"""Estimates of the time and memory of commands: printed on stderr before they start, refused if too large."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from icgd.bounds.estimate import WORTH_SAYING, Estimate, Stage
from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction
from icgd.construct.machine import memory
from icgd.verify import workload
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.certificate.proof import misshapen
from icgd.verify.certificate.shape import sums
from icgd.verify.ledger.entries import Entry, entries
from icgd.verify.requests import Request
from icgd.verify.search.options import Search
from icgd.verify.theorem import Theorem


def allow(estimate: Estimate) -> Estimate:
    """Return the estimate; raises ProblemError if it is too large for this machine."""
    return estimate.check(memory.available_bytes())


def announce(estimate: Estimate) -> None:
    """Print the estimate if it is longer than WORTH_SAYING; raises ProblemError if it is too large."""
    if allow(estimate).seconds > WORTH_SAYING:
        print(estimate, file=sys.stderr, flush=True)


def verifying(theorem: Theorem, problem: Letters, search: Search, *, reported: bool = False) -> Estimate:
    """Estimate of a verification with these options; reported: including what only a report shows."""
    found = theorem.estimate(problem, search)
    if reported and theorem.survey and isinstance(problem, Problem):
        found += workload.survey(problem, search.construction or "lean")  # type: ignore[arg-type]
    return found + workload.PAGES if reported else found


FINDINGS = "findings"


def everything(asked: Iterable[Request], search: Search, *, reported: bool = True) -> dict[str, Estimate]:
    """Estimates by name of all requests, and of all findings; only the first includes loading the libraries.

    reported: whether the usual construction of each theorem includes its survey.
    """
    parts = {}
    for one in asked:
        usual = one.construction in (None, *one.theorem.constructions[:1])
        options = replace(search, construction=one.construction, certify="certify" in one.theorem.options)
        parts[one.name] = verifying(one.theorem, one.problem, options, reported=reported and usual)
    parts[FINDINGS] = settling(entries())
    return {name: _begun(part) if number else part for number, (name, part) in enumerate(parts.items())}


def _begun(estimate: Estimate) -> Estimate:
    """The estimate without the time to load the libraries."""
    return Estimate(tuple(stage for stage in estimate.stages if stage != workload.START))


def bounding(theorem: Theorem, problem: Letters, construction: str | None = None) -> Estimate:
    """Estimate of the bounds of a theorem, including the plan if the theorem needs one."""
    planned = isinstance(problem, Problem) and theorem.model is not None
    made = workload.planning(problem, construction or "lean") if planned else Estimate(())  # type: ignore[arg-type]
    return Estimate((workload.START,)) + made


def building(theorem: Theorem, problem: Letters, construction: str | None) -> Estimate:
    """Estimate of building and counting a transformer."""
    found = bounding(theorem, problem, construction)
    if theorem.plan and isinstance(problem, Problem):
        found += workload.transformer(problem, construction or "lean")  # type: ignore[arg-type]
    return found


def checking(theorem: Theorem, found: Mapping[str, Any], problem: Problem) -> Estimate:
    """Estimate of checking a certificate and comparing it with the transformer built for it.

    Raises ProblemError if that transformer does not fit in memory.
    """
    chosen = str(found.get("construction"))
    if misshapen(found, posed_letters(problem), chosen) is None:
        memory.refuse_program(found["program"], problem)
    splits = found.get("splits")
    entries = len(splits) if isinstance(splits, list) else 0
    lists = (relus.get("a") for relus in sums(found.get("program")))
    fitted = sum(len(one) for one in lists if isinstance(one, list))
    seconds = workload.check_seconds(problem.N, entries, fitted, fitted * max(problem.K, problem.d))
    construction: Construction = "paper" if found.get("construction") == "paper" else "lean"
    return bounding(theorem, problem, construction) + Estimate((Stage("check", seconds),))


def settling(chosen: Sequence[Entry], *, begun: bool = False) -> Estimate:
    """Estimate of computing these findings again; begun: without the time to load the libraries."""
    found = workload.findings(len(chosen))
    return _begun(found) if begun else found
