"""The command `findings`: what was found out about published statements, settled again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from icgd.bounds.letters import ProblemError
from icgd.commands import FAILED, KEPT
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.construct.machine.json_files import json_text
from icgd.reports.command.audit import (
    answer_questions,
    check_choice,
    choose_findings,
    emit,
    find_paper,
    settle_findings,
)
from icgd.reports.command.console import console_for
from icgd.reports.command.findings import show_answers, show_finding, show_findings, show_ledger, write_letter
from icgd.reports.command.forecast import announce, settling
from icgd.reports.command.options import Json
from icgd.reports.command.strict import Strict, fails_strictly
from icgd.reports.document.document import closing, findings_document, questions_document
from icgd.reports.document.sarif import sarif_log
from icgd.reports.letter.letter import letter
from icgd.verify.catalogue import find_theorem
from icgd.verify.ledger.entries import BEARINGS, SEVERITIES


def findings_command(
    key: Annotated[
        str | None,
        typer.Argument(
            help="the key of one finding, or a paper or a theorem for all of its findings; default: all"
        ),
    ] = None,
    bearing: Annotated[str | None, typer.Option(help=f"only these: {', '.join(BEARINGS)}")] = None,
    severity: Annotated[str | None, typer.Option(help=f"only these: {', '.join(SEVERITIES)}")] = None,
    theorem: Annotated[str | None, typer.Option(help="only findings about this theorem")] = None,
    asked: Annotated[
        bool, typer.Option("--questions", help="instead: the questions that reviewers asked, answered")
    ] = False,
    letter_to: Annotated[
        str | None,
        typer.Option("--letter", metavar="PAPER", help="instead: a letter of one page to a paper's authors"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="a file for the letter")] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", metavar="FILE", help="write the findings as SARIF, too")
    ] = None,
    strict: Strict = False,
    json_to: Json = None,
) -> int:
    """List what we found out about published statements.

    The gravest come first; all numbers are computed again.
    """
    began, console = time.perf_counter(), console_for(json_to)
    check_choice(key, theorem, bearing, severity, questions=asked, letter=letter_to, out=out)
    for name, given in (("sarif", sarif), ("strict", strict)):
        if given and (asked or letter_to is not None):
            why = "it is about findings, and goes with neither --questions nor --letter"
            raise ProblemError(name, "yes" if given is True else given, why)
    for path in (out, sarif, None if json_to in (None, "-") else Path(str(json_to))):
        if path is not None:
            check_writable(path)
    if asked:
        answers = answer_questions(find_theorem(theorem).name if theorem else None)
        show_answers(console, answers)
        emit(questions_document(answers) | closing(began), json_to)
        return KEPT if all(one.reproduces for one in answers) else FAILED
    paper = find_paper(letter_to) if letter_to is not None else None
    about = paper.number if paper else key
    chosen, whole = choose_findings(about, theorem=theorem, bearing=bearing, severity=severity)
    judged, _ = choose_findings(about if whole else chosen[0].paper, theorem=theorem if whole else None)
    announce(settling(chosen))
    settled = settle_findings(chosen)
    kept = all(entry.reproduces for entry in settled)
    told = findings_document(settled, judged)
    document: dict[str, object] = dict(told)
    if paper and kept:
        document["letter"] = letter(paper, settled)
        write_letter(console, str(document["letter"]), out)
    elif whole and not paper:
        show_findings(console, settled)
        show_ledger(console, settled, judged)
    elif paper:
        console.print("[bold red]no letter is written[/]: a finding does not reproduce")
        show_ledger(console, settled)
    else:
        show_finding(console, settled[0])
    if sarif is not None:
        write_atomically(sarif, json_text(sarif_log(told), indent=1) + "\n")
        console.print(f"wrote {sarif}", highlight=False, markup=False, soft_wrap=True)
    emit(document | closing(began), json_to)
    return FAILED if fails_strictly(console, strict, findings=chosen) or not kept else KEPT


FINDING: Mapping[str, Callable[..., int]] = {"findings": findings_command}
"""The command about findings."""
