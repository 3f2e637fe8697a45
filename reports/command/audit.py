"""Runs audits: from the options of a command to verified theorems, with their documents and files."""

from __future__ import annotations

import errno
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.printable import printable
from icgd.bounds.problem import Problem
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.construct.machine.folders import check_folder
from icgd.construct.machine.json_files import json_text
from icgd.construct.machine.memory import refuse_if_matrices_too_large
from icgd.reports.command.file_names import OF_A_REPORT, OF_A_RUN, refuse_own_name
from icgd.reports.command.forecast import FINDINGS, allow, announce, building, everything, settling, verifying
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.run_files import REPORT_NAME, run_folder
from icgd.reports.command.terminal import show
from icgd.reports.document.document import results_document
from icgd.reports.document.heading import headed
from icgd.reports.document.shape import TheoremDocument
from icgd.reports.latex.macros import PREFIX, check_prefix
from icgd.verify import workload
from icgd.verify.catalogue import command_name, find_theorem, theorems, theorems_with_option
from icgd.verify.certificate.issue import certificate_text
from icgd.verify.data.columns import choose_columns
from icgd.verify.data.table import DataTable
from icgd.verify.ledger.entries import Entry, Paper, entries, find_entry, papers, select
from icgd.verify.ledger.questions import Answer, answer, questions
from icgd.verify.ledger.settled import Settled, settle
from icgd.verify.requests import Request, requests_of
from icgd.verify.results import Results
from icgd.verify.search.options import EVERYWHERE, Search, option_words
from icgd.verify.sweeps.run import local_workers
from icgd.verify.sweeps.shards import is_sharded, sharded_sweep, sweep_shared
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Verdict, any_failed, with_replay

Posed = Mapping[str, Any]
"""Name -> value of the letters that the user gave."""


@dataclass(frozen=True)
class AuditPart:
    """One theorem, verified.

    name: unique in an audit, such as relu-icgd/lean.  results: with every number.
    show: prints them on a console.
    files: name -> text of its certificate and its counterexample, if any; not yet written.
    """

    name: str
    results: Results
    document: TheoremDocument
    verdicts: tuple[Verdict, ...]
    show: Callable[[Console], None]
    files: Mapping[str, str]

    @property
    def failed(self) -> bool:
        return any_failed(self.verdicts)


def check_options(
    search: Search, json_to: str | None, *, reported: bool = False, prefix: str = PREFIX
) -> None:
    """Raise an error for what cannot be written, before any work is done: files, or macros of this prefix."""
    check_prefix(prefix)
    check_writable(search.out / "certificate.json", search.out)  # or a counterexample, or a report
    refuse_own_name(json_to, search.out, OF_A_RUN)
    if reported:
        check_folder(search.out / REPORT_NAME)
        refuse_own_name(json_to, search.out / REPORT_NAME, OF_A_REPORT)
    if json_to not in (None, "-"):
        check_writable(Path(str(json_to)))


def pose(
    theorem: Theorem, letters: Posed, search: Search, estimated: Callable[[Letters, Search], Estimate]
) -> tuple[Request, Search, Mapping[str, Any]]:
    """The request, the search with its construction, and the data that the theorem read.

    Raises ProblemError, before any work is done, for an option or value that the theorem does not accept, or
    a problem that is too large for this machine.
    """
    for name in search.given:
        if name not in theorem.options | EVERYWHERE | {"construction"}:
            why = f"{theorem.name} has no such option: it is for {theorems_with_option(name)}"
            raise ProblemError(name, search.given[name], why)
    theorem.refuse_idle(search, search.given)
    chosen = theorem.chosen(search.construction)
    search = replace(search, construction=chosen.get("construction"))
    letters, read = theorem.read(letters, search) if theorem.read else (letters, {})
    problem = theorem.letters.parse(letters)
    allow(estimated(problem, search))  # first: a huge problem has too many units even to count
    theorem.applies(problem, **chosen)
    theorem.fits(problem, **chosen)
    return Request(theorem, problem, search.construction), search, read


def verify_one(
    theorem: Theorem,
    letters: Posed,
    search: Search,
    *,
    certify: bool = False,
    reported: bool = False,
    surveyed: bool | None = None,
    announced: bool = False,
    jobs: int = 1,
) -> AuditPart:
    """Verify a theorem on the problem that letters and data pose.

    certify: prove what the theorem can prove, even if the search does not ask for it.
    reported: whether its files will go into a report.  surveyed: whether to compute what only a report shows;
    None: as `reported`.  announced: whether the time it takes has been printed already.
    jobs: how many processes draw a sample of more than `SHARD` prompts; the result does not depend on it.
    """
    began, surveyed = time.perf_counter(), reported if surveyed is None else surveyed
    command = command_line("audit", command_name(theorem), letters, search)
    again = command_line("verify", command_name(theorem), letters, search)
    search = replace(search, certify=search.certify or (certify and "certify" in theorem.options))

    def estimated(problem: Letters, chosen: Search) -> Estimate:
        found = sweep_shared(verifying(theorem, problem, chosen, reported=surveyed), jobs)
        if reported and not announced:
            found += settling(select(entries(), theorem=theorem.name), begun=True)
        return found

    asked, search, read = pose(theorem, letters, search, estimated)
    if not announced:
        announce(estimated(asked.problem, search))
    if isinstance(table := read.get("data"), DataTable):
        _say_columns(table, search, asked.problem)
    if is_sharded(theorem, search):
        workers = partial(local_workers, jobs)
        swept = sharded_sweep(theorem, asked.problem, search, workers, search.out / "sweep", bars())
        read = {**read, "swept": swept}
    survey = theorem.survey if surveyed else None
    followed = {"followed": search.data or "", "seed": search.seed, "device": search.device}
    with survey(asked.problem, **asked.chosen, **followed) if survey else nullcontext() as figures:
        found = theorem.judged_by(search, asked.problem, progress=bars(), **read)
        plots = figures(bars()) if figures else ()
    found = replace(found, plots=(*found.plots, *plots))
    files = {}
    if found.certificate:
        files[f"certificate-{search.construction or theorem.name}.json"] = certificate_text(found.certificate)
    if found.step and (broken := found.step.counterexample):
        files[broken.file_name] = broken.text
        path = run_folder(search.out, reported=reported) / broken.file_name
        found = replace(
            found, verdicts=with_replay(found.verdicts, broken.replayed_from(path), of=broken.claim)
        )
    found = replace(found, verdicts=with_replay(found.verdicts, again))
    seconds = time.perf_counter() - began

    def tell(console: Console) -> None:
        show(console, theorem, found, seconds)

    document = results_document(theorem, found, command=command, seconds=seconds, drawn=surveyed)
    return AuditPart(asked.name, found, document, found.verdicts, tell, files)


def _say_columns(table: DataTable, search: Search, problem: Any) -> None:
    """Print on stderr, before a long verification, which columns it takes and what nobody chose."""
    chosen = choose_columns(table, search.inputs, search.targets, problem.d, getattr(problem, "d_out", 1))
    taken = f"inputs {', '.join(map(repr, chosen.inputs))}, targets {', '.join(map(repr, chosen.targets))}"
    for sentence in (f"{table.source}: {taken}", *table.remarks, *chosen.said):
        print(printable(sentence), file=sys.stderr, flush=True)


def pose_and_build(
    theorem: Theorem, letters: Posed, construction: str | None, *, written: bool
) -> tuple[Request, Any]:
    """The request and the transformer built for it; raises ProblemError if the theorem has no transformer.

    written: whether its full matrices must fit in memory, so that they can be saved.
    """
    if theorem.model is None:
        raise ProblemError("theorem", theorem.name, "it is about the transformer of another theorem")

    def estimated(problem: Letters, search: Search) -> Estimate:
        return building(theorem, problem, search.construction)

    asked, search, _ = pose(theorem, letters, Search(construction=construction), estimated)
    if written and theorem.plan and isinstance(asked.problem, Problem):
        refuse_if_matrices_too_large(asked.problem, search.construction or "lean")  # type: ignore[arg-type]
    announce(estimated(asked.problem, search))
    watched = {"progress": bars()} if theorem.plan else {}
    return asked, theorem.model.build(asked.problem, **asked.chosen, **watched)


def verify_all(search: Search, *, certify: bool, reported: bool = False) -> list[AuditPart]:
    """Verify every theorem at its default problem, in each construction that applies to it."""
    asked = [request for theorem in theorems().values() for request in requests_of(theorem, {})]
    estimates = everything(asked, search, reported=reported)
    announce(sum(estimates.values(), start=Estimate(())))
    shares = [estimate.seconds for name, estimate in estimates.items() if name != FINDINGS]
    parts = []
    with bars()("every theorem", sum(shares), sum(shares)) as advance:
        for seconds, request in zip(shares, asked, strict=True):
            usual = request.construction in (None, *request.theorem.constructions[:1])
            chosen = None if usual else request.construction
            part = verify_one(
                request.theorem,
                {},
                replace(search.only(request.theorem.taken(search)), construction=chosen),
                certify=certify,
                reported=reported,
                surveyed=reported and usual,
                announced=True,
            )
            parts.append(part)
            advance(seconds)
    return parts


def choose_findings(
    key: str | None,
    *,
    theorem: str | None = None,
    bearing: str | None = None,
    severity: str | None = None,
) -> tuple[tuple[Entry, ...], bool]:
    """The entries to settle, and whether they are a list: those of a paper, of a theorem, or all that match.

    key: of one entry, the number of a paper, the name of a theorem, or a file that defines one.
    Raises ProblemError for an unknown key, theorem, bearing or severity, and if nothing matches.
    """
    paper = (key or "").casefold().removeprefix("arxiv:").rstrip("/")
    about = theorem or (key if key and (key in theorems() or key.endswith(".py")) else None)
    name = find_theorem(about).name if about else None
    if key is not None and paper not in papers() and key not in (about, name):
        return (find_entry(key),), False
    found = select(
        entries(),
        paper=paper if paper in papers() else None,
        theorem=name,
        bearing=bearing,
        severity=severity,
    )
    if not found:
        asked = (("severity", severity), ("bearing", bearing), ("theorem", name), ("key", key))
        (field, value), *others = (one for one in asked if one[1])
        also = " and ".join(f"{what} = {of}" for what, of in others)
        why = f"no finding has this{also and ' and '}{also}; icgd findings lists all of them"
        raise ProblemError(field, value, why)
    return found, True


def settle_findings(chosen: Sequence[Entry]) -> list[Settled]:
    """Compute the evidence of these entries of the ledger again, with a progress bar."""
    settled = []
    with bars()("findings", len(chosen), workload.findings(len(chosen)).seconds) as advance:
        for entry in chosen:
            settled.append(settle(entry))
            advance(1)
    return settled


def answer_questions(theorem: str | None) -> list[Answer]:
    """Answer the questions that reviewers asked about this theorem, or about any, with a progress bar."""
    asked, found = questions(theorem), []
    with bars()("questions", len(asked), workload.findings(len(asked)).seconds) as advance:
        for question in asked:
            found.append(answer(question))
            advance(1)
    return found


def check_choice(
    key: str | None, *narrowed: str | None, questions: bool, letter: str | None, out: Path | None
) -> None:
    """Raise ProblemError where the options of `icgd findings` exclude each other.

    narrowed: theorem, bearing and severity; questions can be those about a theorem, a letter is whole.
    """
    theorem, *others = narrowed
    if questions and (key or any(others) or letter):
        raise ProblemError("questions", "yes", "of the other options only --theorem and --json go with it")
    if letter is not None and (key or theorem or any(others)):
        raise ProblemError("letter", letter, "of the other options only --out and --json go with it")
    if out is not None and letter is None:
        raise ProblemError("out", out, "it is the file of a letter: add --letter and a paper")


def find_paper(number: str) -> Paper:
    """The paper of this arXiv number; raises ProblemError where the ledger speaks of no such paper."""
    plain = number.strip().casefold().removeprefix("arxiv:").rstrip("/")
    if plain not in papers():
        raise ProblemError("letter", number, f"the ledger speaks of the papers {', '.join(papers())}")
    return papers()[plain]


def command_line(
    verb: str, theorem: str | None, letters: Posed, search: Search, *, prefix: str = PREFIX
) -> str:
    """The shortest equivalent command: options at their defaults are left out."""
    words = ["icgd", verb] + ([theorem] if theorem else [])
    for name, value in letters.items():
        words += [f"--{name}", str(value)]
    for name, value in search.given.items():
        words += option_words(name, value)
    words += option_words("prefix", prefix) if prefix != PREFIX else []
    return shlex.join(words)


def emit(document: Mapping[str, object], json_to: str | None) -> None:
    """Write the document as JSON, under its heading, to the file `json_to`; print it for "-"."""
    text = json_text(headed(document), indent=1) + "\n"
    if json_to == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed", "the standard output")
        sys.stdout.write(text)
        sys.stdout.flush()
    elif json_to:
        write_atomically(Path(json_to), text)


def verdicts_of(parts: Sequence[AuditPart]) -> list[Verdict]:
    """All verdicts, theorem by theorem."""
    return [verdict for part in parts for verdict in part.verdicts]
