"""The commands about theorems, one function each: audit, report, findings, verify, bounds, build."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import Letters, ProblemError
from icgd.construct.machine.files import check_writable
from icgd.reports.command.audit import (
    AuditPart,
    answer_questions,
    check_options,
    command_line,
    emit,
    pose,
    pose_and_build,
    settle_findings,
    verdicts_of,
    verify_all,
    verify_one,
)
from icgd.reports.command.console import console_for as _console
from icgd.reports.command.findings import show_ledger
from icgd.reports.command.forecast import announce, bounding, building
from icgd.reports.command.options import Json, Prefix
from icgd.reports.command.overview import show_overview, show_rest, show_theorem
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.run_files import files_of_run, run_folder, show_certificates, write_run_files
from icgd.reports.command.stopwatch import Stopwatch
from icgd.reports.command.strict import Strict, fails_strictly
from icgd.reports.command.terminal import (
    show_census,
    show_formulas,
    show_grid,
    show_hypotheses,
    show_plan,
    show_report,
    show_verdicts,
)
from icgd.reports.document.document import (
    audit_document,
    bounds_document,
    closing,
    grid_document,
    hypotheses_document,
    plan_document,
)
from icgd.reports.document.shape import AuditDocument
from icgd.reports.document.upgrade import load as load_document
from icgd.reports.latex.macros import PREFIX
from icgd.verify.catalogue import command_name, find_theorem
from icgd.verify.certificate.issue import load_certificate as load_certificate
from icgd.verify.certificate.origin import digest_for
from icgd.verify.ledger.entries import entries, select
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.search.options import BRIEF, Search
from icgd.verify.sweeps.run import check_jobs
from icgd.verify.verdict import Verdict, any_failed

KEPT, FAILED = 0, 1
"""Exit codes of commands: all claims kept, or a claim failed."""

Asked = Annotated[str, typer.Argument(help="a theorem, or a file that holds one, such as ./mine.py")]
AnyOrAll = Annotated[
    str | None,
    typer.Argument(help="a theorem, or a file that holds one; default without letters: all theorems"),
]
ConstructionOption = Annotated[
    str | None, typer.Option(help="construction of the theorem; default: its usual one")
]
THOROUGH, SHORT = Search(), Search(**BRIEF)
USUAL = "relu-icgd"
"""The theorem to which letters belong when the command names none."""

_OTHER_FORMATS = (".pt", ".pth", ".bin", ".onnx", ".npz", ".json", ".csv", ".txt")


def report(
    console: Console, document: AuditDocument, out: Path, files: Mapping[str, str], prefix: str = PREFIX
) -> None:
    """Write PDF, HTML and JSON of a document and other files of the run below `out`, and say where.

    prefix: how the names of macros for LaTeX begin.
    """
    from icgd.reports.report import write_report  # loads matplotlib and jinja

    folder = run_folder(out, reported=True)
    show_report(console, write_report(document, folder, files, progress=bars(), prefix=prefix))


def _write_files(
    console: Console,
    parts: Sequence[AuditPart],
    whole: AuditDocument | None,
    out: Path,
    *,
    prefix: str = PREFIX,
) -> None:
    """Write the report of `whole`; if it is None, only the certificates and counterexamples of the parts."""
    files = {name: text for part in parts for name, text in part.files.items()}
    if whole is None:
        write_run_files(files, out)
    else:
        report(console, whole, out, files, prefix)
    for part in parts:
        folder = run_folder(out, reported=whole is not None)
        show_certificates(console, part.files, folder, part.results.problem.brief_options)


def audit_command(
    letters: dict[str, Any],
    theorem: AnyOrAll = None,
    search: Search = THOROUGH,
    reported: Annotated[
        bool, typer.Option("--report/--no-report", help="write PDF, HTML and JSON below --out")
    ] = True,
    claims: Annotated[
        bool,
        typer.Option("--claims", "-v", help="print every claim with its evidence, not an overview alone"),
    ] = False,
    prefix: Prefix = PREFIX,
    strict: Strict = False,
    json_to: Json = None,
) -> int:
    """Judge theorems: bounds, transformer, proof, report.

    Everything about one theorem on one problem, or about all theorems if none is named.
    """
    began = time.perf_counter()
    watch = Stopwatch()
    check_options(search, json_to, reported=reported, prefix=prefix)
    everything = theorem is None and not letters and not search.data and search.construction is None
    about = None if everything else find_theorem(theorem or USUAL)
    if about is None:
        parts = verify_all(search, certify=True, reported=reported)
    else:
        parts = [verify_one(about, letters, search, certify=True, reported=reported)]
    watch.lap(about.name if about else "theorems")
    chosen = select(entries(), theorem=about.name if about else None)
    settled = settle_findings(chosen) if everything or reported else []
    answers = answer_questions(about.name if about else None) if reported else []
    watch.lap("findings")
    console, verdicts = _console(json_to), verdicts_of(parts)
    whole = audit_document(
        {part.name: part.document for part in parts},
        command=command_line("audit", theorem, letters, search, prefix=prefix),
        seed=search.seed,
        seconds=time.perf_counter() - began,
        findings=settled,
        answers=answers,
    )
    if everything:
        if claims:
            show_verdicts(console, verdicts)
        show_overview(console, whole)
    elif claims:
        parts[0].show(console)
    else:
        show_theorem(console, whole, parts[0].results.problem.values)
    if settled:
        show_ledger(console, settled)
    if about is not None:
        show_rest(console, whole, command_name(about), len(chosen), whole=claims)
    _write_files(console, parts, whole if reported else None, search.out, prefix=prefix)
    emit(whole if everything else parts[0].document, json_to)
    watch.lap("pages")
    watch.show(console)
    reproduced = [*(one.reproduces for one in settled), *(one.reproduces for one in answers)]
    kept = all(reproduced) and not any_failed(verdicts)
    return FAILED if fails_strictly(console, strict, verdicts, chosen) or not kept else KEPT


def report_command(
    letters: dict[str, Any],
    theorem: Asked = USUAL,
    search: Search = SHORT,
    earlier: Annotated[
        Path | None, typer.Option("--from", help="the report.json of an earlier audit, to render again")
    ] = None,
    prefix: Prefix = PREFIX,
    json_to: Json = None,
) -> int:
    """Write a report: LaTeX, PDF, HTML, figures, JSON.

    Goes below --out, after a shorter search than that of audit; the PDF needs an installed TeX engine.
    """
    began = time.perf_counter()
    check_options(search, json_to, reported=True, prefix=prefix)
    console = _console(json_to)
    if earlier is not None:
        _refuse_beside("from", letters, search, SHORT)
        if theorem != USUAL:
            raise ProblemError("theorem", theorem, "leave it out: a report is written again as a whole")
        whole = _written_again(console, earlier, search.out, prefix)
    else:
        about = find_theorem(theorem)
        unused = [name for name in BRIEF.keys() - about.options if getattr(search, name) == BRIEF[name]]
        search = replace(search, **{name: getattr(THOROUGH, name) for name in unused})
        part = verify_one(about, letters, search, reported=True)
        settled = settle_findings(select(entries(), theorem=about.name))
        whole = audit_document(
            {part.name: part.document},
            command=command_line("report", theorem, letters, search, prefix=prefix),
            seed=search.seed,
            seconds=time.perf_counter() - began,
            findings=settled,
            answers=answer_questions(about.name),
        )
        show_verdicts(console, part.verdicts)
        show_ledger(console, settled)
        _write_files(console, [part], whole, search.out, prefix=prefix)
    emit(whole, json_to)
    reproduced = all(one["reproduces"] for one in (*whole["findings"], *whole["questions"]))
    failed = any(verdict["verdict"] == "failed" for verdict in whole["verdicts"])
    return KEPT if reproduced and not failed else FAILED


def _written_again(console: Console, earlier: Path, out: Path, prefix: str) -> AuditDocument:
    """Render the report of an earlier report.json again; returns its document."""
    whole = load_document(earlier)
    try:
        report(console, whole, out, files_of_run(whole, earlier.parent), prefix)
    except Exception as error:
        if isinstance(error, OSError | ProblemError):
            raise
        kind = type(error).__name__  # an edited report.json can be wrong in any way
        raise ProblemError("from", earlier, f"this report cannot be rendered ({kind}: {error})") from None
    return whole


def verify_command(
    letters: dict[str, Any],
    theorem: Asked = USUAL,
    search: Search = THOROUGH,
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="a saved counterexample to run again")
    ] = None,
    jobs: Annotated[int, typer.Option(help="processes that draw more than a million samples")] = 1,
    strict: Strict = False,
    json_to: Json = None,
) -> int:
    """Search for counterexamples, or replay one.

    Runs random sweeps and adversarial attacks; with --certify also a proof.
    """
    began, console = time.perf_counter(), _console(json_to)
    if replay_file is not None:
        _refuse_beside("replay", letters, search, THOROUGH)
        verdict = _replayed(Counterexample.load(replay_file), theorem)
        show_verdicts(console, [verdict])
        emit({"verdicts": [verdict.as_dict()]} | closing(began), json_to)
        return FAILED if fails_strictly(console, strict, [verdict]) or any_failed([verdict]) else KEPT
    check_options(search, json_to)
    check_jobs(jobs)
    part = verify_one(find_theorem(theorem), letters, search, jobs=jobs)
    part.show(console)
    _write_files(console, [part], None, search.out)
    emit(part.document, json_to)
    return FAILED if fails_strictly(console, strict, part.verdicts) or part.failed else KEPT


def _refuse_beside(option: str, letters: Mapping[str, Any], search: Search, usual: Search) -> None:
    """Raise ProblemError for a letter or an option that the file of `option` decides."""
    names = (one.name for one in fields(Search) if one.name != "out")
    changed = {name: value for name in names if (value := getattr(search, name)) != getattr(usual, name)}
    for name, value in {**letters, **changed}.items():
        raise ProblemError(name, value, f"leave it out, as the file of --{option} decides what is shown")


def _replayed(saved: Counterexample, named: str) -> Verdict:
    """Judge the claim of a saved counterexample again, by its theorem; named: the one on the command line."""
    if saved.construction == "given":
        why = "it is about somebody's weights: icgd judge WEIGHTS --replay FILE replays it"
        raise ProblemError("replay", saved.claim, why)
    chosen = find_theorem(named).name
    about = find_theorem(saved.claim.partition("/")[0])
    if chosen not in (about.name, USUAL):
        raise ProblemError("theorem", named, f"the file is about {about.name}")
    if about.replay is None:
        raise ProblemError("replay", saved.claim, f"{about.name} replays no counterexamples")

    def estimated(problem: Letters, search: Search) -> Estimate:
        return building(about, problem, search.construction)

    asked, search, _ = pose(
        about, saved.problem.as_dict(), Search(construction=saved.construction), estimated
    )
    announce(estimated(asked.problem, search))
    return about.replay(saved)


def bounds(
    letters: dict[str, Any],
    theorem: Asked = USUAL,
    construction: ConstructionOption = None,
    json_to: Json = None,
) -> int:
    """Print the bounds with every constant; builds nothing."""
    began, about = time.perf_counter(), find_theorem(theorem)
    console = _console(json_to)

    def estimated(problem: Letters, search: Search) -> Estimate:
        return bounding(about, problem, search.construction)

    asked, search, _ = pose(about, letters, Search(construction=construction), estimated)
    announce(estimated(asked.problem, search))
    found: dict[str, object] = {"problem": asked.problem.as_dict(), "construction": asked.construction}
    made = about.plan(asked.problem, **asked.chosen, progress=bars()) if about.plan else None
    asserted = about.claims(asked.problem, **asked.chosen)
    if about.hypotheses:
        judged = about.hypotheses(asked.problem)
        show_hypotheses(console, judged)
        found["hypotheses"] = hypotheses_document(judged)
    show_formulas(console, asserted)
    if made:
        show_plan(console, made)
        found["plan"] = plan_document(made)
    tables = about.tables(asked.problem, **asked.chosen)
    for table in tables:
        show_grid(console, table)
    found["grids"] = [grid_document(table) for table in tables]
    emit(found | {"bounds": bounds_document(asserted)} | closing(began), json_to)
    return KEPT


def build_command(
    letters: dict[str, Any],
    theorem: Asked = USUAL,
    construction: ConstructionOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="file for the literal matrices (safetensors)")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="of these matrices; the file at --out then names it")
    ] = None,
    json_to: Json = None,
) -> int:
    """Build the transformer, count its parts, save its matrices."""
    began, about = time.perf_counter(), find_theorem(theorem)
    if out is not None:
        if out.suffix in _OTHER_FORMATS:
            name = out.with_suffix(".safetensors").name
            why = f"it is written as safetensors: name it {name}; icgd export then makes other formats"
            raise ProblemError("out", out, why)
        check_writable(out)
    if certificate is not None and out is not None and out.resolve() == certificate.resolve():
        raise ProblemError("out", out, "it is the file of the certificate, which would be lost; name another")
    found_certificate = None if certificate is None else load_certificate(certificate)
    asked, transformer = pose_and_build(about, letters, construction, written=out is not None)
    assert about.model is not None
    named = () if found_certificate is None else (digest_for(transformer, asked.problem, found_certificate),)
    counted = about.model.census(transformer)
    console = _console(json_to)
    show_census(console, counted)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with bars()("write", 1):
            about.model.save(transformer, out, *named)
        console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)
    found = {"problem": asked.problem.as_dict(), "construction": asked.construction, "census": dict(counted)}
    emit(found | closing(began), json_to)
    return KEPT


COMMANDS: Mapping[str, Callable[..., int]] = {
    "audit": audit_command,
    "report": report_command,
    "verify": verify_command,
    "bounds": bounds,
    "build": build_command,
}
