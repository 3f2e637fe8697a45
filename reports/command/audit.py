"""An audit carried out: from options to what was found, as a document and on a terminal."""

from __future__ import annotations

import errno
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem, ProblemError
from icgd.bounds.step_error.budget import Construction
from icgd.construct.block.census import census
from icgd.construct.block.slot_use import anatomy
from icgd.construct.block.weights import save_weights
from icgd.construct.catalogue import RECIPES, Model, Recipe
from icgd.construct.machine.device import check_device
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.construct.machine.folders import check_folder
from icgd.construct.machine.json_files import json_text
from icgd.construct.machine.memory import refuse_if_matrices_too_large, refuse_if_too_large
from icgd.construct.relu_icgd import assemble, build, check_construction
from icgd.reports.command.forecast import (
    FINDINGS,
    allow,
    announce,
    bounding,
    everything,
    verifying,
    verifying_other,
)
from icgd.reports.command.options import Search
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.run_files import REPORT, place, replay_line, sha256
from icgd.reports.command.terminal import show, show_findings
from icgd.reports.document.document import (
    certificate_text,
    findings_document,
    full_name,
    surroundings_document,
    verification_document,
)
from icgd.verify import workload
from icgd.verify.catalogue import THEOREMS
from icgd.verify.ledger.entries import Settled, entries, find, settle
from icgd.verify.relu_icgd import THEOREM, Verification, verify
from icgd.verify.search.prompts import seeded
from icgd.verify.search.tables import (
    Columns,
    RealPrompts,
    Table,
    choose_columns,
    load_table,
    prompts_from_table,
)
from icgd.verify.survey.background import Surveyed, surveying
from icgd.verify.verdict import Verdict, any_failed, with_replay

Posed = dict[str, Any]
"""The letters that the user gave."""


@dataclass(frozen=True)
class Part:
    """One theorem, verified.

    name: unique in an audit, such as relu-icgd/lean.  show: tells a person.
    files: name -> text of its certificate and its counterexample, where there are such; not yet written.
    """

    name: str
    document: dict[str, Any]
    verdicts: tuple[Verdict, ...]
    show: Callable[[Console], None]
    files: Mapping[str, str]

    @property
    def failed(self) -> bool:
        return any_failed(self.verdicts)


def construction_of(name: str) -> Construction:
    """The construction of that name; raises ProblemError."""
    if name not in ("lean", "paper", "exact"):
        raise ProblemError("construction", name, "it is lean, paper or exact")
    return name  # type: ignore[return-value]


def pose(letters: Posed, construction: str) -> tuple[Problem, Construction]:
    """The problem, once it is known that it can be built and fits in memory; raises ProblemError."""
    problem, chosen = Problem.parse(letters), construction_of(construction)
    estimate = bounding(THEOREM, problem, chosen)
    _refuse(problem, chosen, estimate)
    announce(estimate)
    return problem, chosen


def _refuse(problem: Problem, chosen: Construction, estimate: Estimate) -> None:
    """Raises ProblemError where work is too much or cannot begin."""
    allow(estimate)  # first: of a huge problem even the units cannot be counted
    check_construction(problem, chosen)
    refuse_if_too_large(problem, chosen)


def check_options(search: Search, json_to: str | None, *, reported: bool = False) -> None:
    """Raises for options that cannot be followed, before any work is done."""
    search.check()
    check_writable(search.out / "certificate.json")  # or a counterexample, or a report
    if reported:
        check_folder(search.out / REPORT)
    if json_to not in (None, "-"):
        check_writable(Path(str(json_to)))
    check_device(search.device)


def relu_icgd(
    letters: Posed,
    search: Search,
    folder: Path,
    *,
    certify: bool,
    surrounded: bool = False,
    announced: bool = False,
) -> Part:
    """Theorem 1, on the problem that letters and data pose.

    folder: where its files will lie.  surrounded: whether what only a report shows is computed, too.
    announced: whether it has been said how long it takes.
    """
    began = time.perf_counter()
    chosen, columns = construction_of(search.construction), None
    if search.data:
        table = load_table(search.data)
        problem, columns = _from_data(letters, search, table)
    else:
        problem = Problem.parse(letters)
    estimate = verifying(problem, search, chosen, certify=certify, reported=surrounded)
    _refuse(problem, chosen, estimate)
    real = _cut(problem, search, table, columns) if columns else None
    if not announced:
        announce(estimate)
    beside = _beside(problem, chosen, search) if surrounded else nullcontext()
    with beside as surveyed:
        found = verify(
            problem,
            chosen,
            samples=search.samples,
            seed=search.seed,
            effort=search.effort,
            starting=search.start,
            real=real,
            source=search.data or "random prompts",
            device=search.device,
            certify=certify,
            progress=bars(),
        )
        plots = surveyed(bars()) if surveyed else ()
    files = {}
    if found.proof:
        files[f"certificate-{chosen}.json"] = certificate_text(found.proof.certificate)
    surroundings = surroundings_document(plots, anatomy(assemble(found.plan))) if surrounded else {}
    broken, name = found.counterexample, f"counterexample-{chosen}.json"
    if broken is not None:
        files[name] = broken.text
        surroundings["counterexample"] = sha256(broken.text)
        found = _with_replay(found, folder / name)
    seconds = time.perf_counter() - began

    def tell(console: Console) -> None:
        show(console, found, search.seed, seconds)

    document = verification_document(found, seed=search.seed, seconds=seconds) | surroundings
    document["command"] = command_line("audit", THEOREM, letters, search)
    return Part(f"{THEOREM}/{chosen}", document, found.verdicts, tell, files)


def _beside(problem: Problem, chosen: Construction, search: Search) -> AbstractContextManager[Surveyed]:
    followed = search.data or ""
    return surveying(problem, chosen, followed=followed, seed=search.seed, device=search.device)


def _from_data(letters: Posed, search: Search, table: Table) -> tuple[Problem, Columns]:
    """The problem with d, d_out and L filled in from the data, and the columns that say so."""
    inputs, targets = _names(search.inputs), _names(search.targets)
    columns = choose_columns(table, inputs, targets, letters.get("d"), letters.get("d_out"))
    return Problem.parse({"L": 20} | letters | {"d": columns.d, "d_out": columns.d_out}), columns


def _cut(problem: Problem, search: Search, table: Table, columns: Columns) -> RealPrompts:
    generator = seeded(search.seed)
    return prompts_from_table(
        problem, table, columns.inputs, columns.targets, count=search.prompts, generator=generator
    )


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _with_replay(found: Verification, path: Path) -> Verification:
    """The verification with every failed step-error verdict pointing at its counterexample."""
    assert found.counterexample is not None
    claim, command = found.counterexample.claim, replay_line(path)
    verdicts = tuple(replace(v, replay=command) if v.claim == claim else v for v in found.verdicts)
    return replace(found, verdicts=verdicts)


def catalogued(theorem: str, letters: Posed, search: Search) -> Part:
    """A theorem of the catalogue."""
    began = time.perf_counter()
    chosen = THEOREMS[theorem]
    posed = known(theorem).pose(letters)
    found = chosen.verify(posed, seed=search.seed, device=search.device, progress=bars())
    replay = command_line("verify", theorem, letters, search)
    found = replace(
        found, verdicts=tuple(one if one.replay else with_replay([one], replay)[0] for one in found.verdicts)
    )
    seconds = time.perf_counter() - began
    document = findings_document(found, seconds=seconds)
    document["command"] = command_line("audit", theorem, letters, search)
    files = {}
    if found.certificate:
        files[f"certificate-{theorem}.json"] = certificate_text(found.certificate)

    def tell(console: Console) -> None:
        show_findings(console, found, seconds)

    return Part(theorem, document, found.verdicts, tell, files)


def known(theorem: str) -> Recipe:
    """How a theorem other than Theorem 1 is posed and built; raises ProblemError if there is none."""
    if theorem not in RECIPES:
        raise ProblemError("theorem", theorem, f"there is {', '.join((THEOREM, *RECIPES))}")
    return RECIPES[theorem]


def one(theorem: str, letters: Posed, search: Search, *, certify: bool, reported: bool = False) -> Part:
    """The theorem of that name; raises ProblemError if there is none."""
    if theorem == THEOREM:
        folder = place(search.out, reported=reported)
        return relu_icgd(letters, search, folder, certify=certify, surrounded=reported)
    known(theorem)
    plain = type(search)()
    for name in ("construction", "samples", "effort", "start", "data", "inputs", "targets", "prompts"):
        if (given := getattr(search, name)) != getattr(plain, name):
            raise ProblemError(name, given, f"{theorem} has no such option: it is for {THEOREM}")
    announce(verifying_other(theorem, known(theorem).pose(letters), reported=reported))
    return catalogued(theorem, letters, search)


def buildable(
    theorem: str, letters: Posed, construction: str, *, written: bool
) -> tuple[Problem | Letters, str | None, Model]:
    """The problem, the construction, and how its transformer is made; raises ProblemError if it cannot be.

    written: whether its matrices are to fit in memory in full, too.
    """
    if theorem == THEOREM:
        problem, chosen = Problem.parse(letters), construction_of(construction)
        estimate = workload.building(problem, chosen)
        _refuse(problem, chosen, estimate)
        if written:
            refuse_if_matrices_too_large(problem, chosen)
        announce(estimate)
        counted = Model(
            lambda p: build(p, chosen, progress=bars()), lambda made: census(made).as_dict(), save_weights
        )
        return problem, chosen, counted
    entry = known(theorem)
    if entry.model is None:
        raise ProblemError("theorem", theorem, f"it is about the transformer of {THEOREM}: build that one")
    posed = entry.pose(letters)
    announce(bounding(theorem, posed))
    return posed, None, entry.model


def every(search: Search, *, certify: bool, reported: bool = False) -> list[Part]:
    """Every theorem at its default problem, Theorem 1 in both of its constructions."""
    folder = place(search.out, reported=reported)
    theorem_1 = partial(relu_icgd, {}, folder=folder, certify=certify, announced=True)
    work = [
        partial(theorem_1, search=search, surrounded=reported),
        partial(theorem_1, search=replace(search, construction="paper")),
        *(partial(catalogued, name, {}, search) for name in THEOREMS),
    ]
    estimates = everything(search, reported=reported)
    announce(sum(estimates.values(), start=Estimate(())))
    shares = [estimate.seconds for name, estimate in estimates.items() if name != FINDINGS]
    parts = []
    with bars()("every theorem", sum(shares), sum(shares)) as advance:
        for seconds, verified in zip(shares, work, strict=True):
            parts.append(verified())
            advance(seconds)
    return parts


def settle_findings(key: str | None = None, *, about: str | None = None) -> list[Settled]:
    """Every entry of the ledger, those about one theorem, or the one of that key, computed again.

    Raises ProblemError where there is no such key.
    """
    every_entry = [entry for entry in entries() if about in (None, entry.theorem)]
    chosen = every_entry if key is None else [find(key)]
    settled = []
    with bars()("findings", len(chosen), workload.findings(len(chosen)).seconds) as advance:
        for entry in chosen:
            settled.append(settle(entry))
            advance(1)
    return settled


def command_line(verb: str, theorem: str | None, letters: Posed, search: Search) -> str:
    """The shortest command that asks for the same: options at their defaults are left out."""
    words = ["icgd", verb] + ([theorem] if theorem else [])
    for name, value in letters.items():
        words += [f"--{name}", str(value)]
    for field in fields(search):
        value = getattr(search, field.name)
        if value != field.default:
            words += [f"--{field.name}"] if value is True else [f"--{field.name}", str(value)]
    return shlex.join(words)


def emit(document: dict[str, Any], json_to: str | None) -> None:
    """The document as JSON on the standard output or in a file, if it was asked for."""
    text = json_text(document, indent=1) + "\n"
    if json_to == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed", "the standard output")
        sys.stdout.write(text)
        sys.stdout.flush()
    elif json_to:
        write_atomically(Path(json_to), text)


def verdicts_of(parts: Sequence[Part]) -> list[Verdict]:
    """All verdicts, theorem by theorem; the construction is in the names where there is one."""
    return [
        replace(verdict, claim=full_name(part.name, verdict.claim, part.document["bounds"]))
        for part in parts
        for verdict in part.verdicts
    ]
