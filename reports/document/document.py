"""Builds the JSON documents that commands write, from results, plans, certificates and findings."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from icgd.bounds.claims import Claim
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.slot_use import SlotUse, slot_use
from icgd.construct.machine.json_files import finite
from icgd.reports.document.data_used import data_document
from icgd.reports.document.findings import counted_document, rank, tally_document
from icgd.reports.document.numbers import quantities
from icgd.reports.document.shape import (
    SCHEMA,
    AuditDocument,
    BoundDocument,
    CertificateDocument,
    Certified,
    FindingDocument,
    FindingsDocument,
    GridDocument,
    HashesDocument,
    HypothesisDocument,
    OfData,
    OffMargin,
    PaperDocument,
    PlanDocument,
    PlotDocument,
    QuestionDocument,
    QuestionsDocument,
    StepDocument,
    StepErrorDocument,
    StreamDocument,
    TermDocument,
    TheoremDocument,
    TrajectoryDocument,
)
from icgd.reports.document.studies import kept_studies
from icgd.verify.certificate.issue import certificate_text
from icgd.verify.certificate.proof import Proof
from icgd.verify.ledger.entries import BEARINGS, SEVERITIES, Entry, papers
from icgd.verify.ledger.questions import Answer
from icgd.verify.ledger.settled import Settled
from icgd.verify.ledger.tally import count_statements
from icgd.verify.results import Grid, Plot, Results, Sandwich, StepError
from icgd.verify.search.trajectory import Trajectory
from icgd.verify.sweeps.release import release

_PACKAGES = ("icgd", "torch", "numpy", "sympy", "mpmath", "python-flint", "hypothesis")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that compute the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def closing(began: float) -> dict[str, object]:
    """The last entries of a document: versions, and seconds since `began`, a time.perf_counter() value."""
    return {"versions": versions(), "seconds": round(time.perf_counter() - began, 3)}


def audit_document(
    theorems: Mapping[str, TheoremDocument],
    *,
    command: str,
    seed: int,
    seconds: float,
    findings: Iterable[Settled] = (),
    answers: Iterable[Answer] = (),
) -> AuditDocument:
    """The document of an audit, theorem by theorem; PDF and HTML are made from it alone.

    theorems: name such as relu-icgd/lean -> its document.  answers: to the questions of reviewers.
    """
    document: AuditDocument = {
        "schema": SCHEMA,
        "release": release(),
        "command": command,
        "theorems": dict(theorems),
        "findings": [finding_document(one) for one in findings],
        "papers": {},
        "tally": tally_document(()),
        "questions": [question_document(one) for one in answers],
        "verdicts": [verdict for part in theorems.values() for verdict in part["verdicts"]],
        "numbers": {},
        "versions": versions(),
        "seed": seed,
        "seconds": round(seconds, 3),
    }
    if studies := kept_studies(theorems):
        document["studies"] = studies
    document = finite(document)
    document["papers"] = papers_document(document["findings"])
    document["tally"] = tally_document(document["findings"])
    document["numbers"] = {one.macro: one.value for one in quantities(document)}
    return document


def bounds_document(asserted: Iterable[Claim]) -> dict[str, BoundDocument]:
    """The bounds by claim key; whole numbers are exact."""
    return {
        claim.key: {
            "title": claim.title,
            "statement": claim.statement,
            "hypotheses": list(claim.hypotheses),
            "expression": str(claim.bound),  # with the names that `constants` has
            "latex": claim.latex,
            "value": claim.value,
            "relation": claim.relation,
            "quantity": claim.quantity,
            "source": claim.source,
            "constants": {
                str(symbol): {"value": value, "meaning": meaning}
                for symbol, (value, meaning) in claim.constants.items()
            },
        }
        for claim in asserted
    }


def plan_document(plan: Plan, *, checked: bool = False) -> PlanDocument:
    """The document of a tolerance plan: for every local error its share of the bound, its pieces and ReLUs.

    checked: whether a checker accepted a certificate of the bound; only then is the bound called certified.
    Over all local errors, the products of `relus` and `uses` add up to `units`.
    """
    terms: dict[str, TermDocument] = {}
    for term, share in sorted(plan.contributions.items(), key=lambda item: -item[1]):
        fitted = plan.fits.get(term)
        product = plan.products.get(term)
        square = product.square if product else None
        chosen = fitted or square
        terms[str(term)] = {
            "tolerance": plan.tolerances.get(term),
            "bound": plan.errors[term],
            "share": share,
            "pieces": chosen.pieces if chosen else None,
            "fewest": chosen.fewest if chosen else None,
            "relus": fitted.relus.units if fitted else product.units if product else None,
            "uses": plan.problem.dims[term.layer] if chosen else None,
        }
    return {
        "units": plan.units,
        "fewest_units": plan.fewest_units,
        "bound": plan.bound,
        **(Certified(certified=plan.bound) if checked else Certified()),
        "recurrence": plan.recurrence,
        "terms": terms,
    }


class Titled(Protocol):
    """What a part of a report is about: a theorem, or somebody's transformer."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def source(self) -> str: ...


def results_document(
    theorem: Titled, found: Results, *, command: str, seconds: float, drawn: bool = False
) -> TheoremDocument:
    """The document of a theorem's verification.

    command: the command that computes it again.  drawn: whether to include the stream, for its figure.
    """
    of_step: StepDocument = step_document(found.step, drawn=drawn) if found.step else {}
    if found.trusted:
        of_step["trusted"] = list(found.trusted)
    document: TheoremDocument = {
        "theorem": theorem.name,
        "title": theorem.title,
        "source": theorem.source,
        "problem": found.problem.as_dict(),
        "options": found.problem.options,
        "chosen": found.problem.chosen,
        "construction": found.construction,
        "census": dict(found.census),
        "bounds": bounds_document(found.claims),
        "hypotheses": hypotheses_document(found.hypotheses),
        "step_error": step_error_document(found.sandwich, checked=found.is_certified)
        if found.sandwich
        else None,
        "hashes": hashes(found.certificate) if found.certificate else None,
        "grids": [grid_document(grid) for grid in found.grids],
        "plots": [plot_document(plot) for plot in found.plots],
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "versions": versions(),
        "seed": found.seed,
        "seconds": round(seconds, 3),
        **of_step,
        **(OfData(data=data_document(found.data)) if found.data else OfData()),
        "command": command,
    }
    return finite(document)


def grid_document(grid: Grid) -> GridDocument:
    """The document of a table of results."""
    return {"title": grid.title, "columns": grid.columns, "rows": grid.rows, "note": grid.note}


def plot_document(plot: Plot) -> PlotDocument:
    """The document of a figure's data."""
    return {
        "title": plot.title,
        "x": plot.x,
        "y": plot.y,
        "log": plot.logarithmic,
        "curves": [{"label": curve.label, "x": curve.x, "y": curve.y} for curve in plot.curves],
    }


def step_error_document(sandwich: Sandwich, *, checked: bool) -> StepErrorDocument:
    """The document of the step error; checked: whether a checker accepted a certificate of the bound."""
    off_margin = sandwich.bound_off_margin
    return {
        "sampled": sandwich.sampled,
        "attacked": sandwich.attacked,
        "bound": sandwich.bound,
        **(Certified(certified=sandwich.bound) if checked else Certified()),
        "allowed": sandwich.allowed,
        **(OffMargin() if off_margin is None else OffMargin(bound_off_margin=off_margin)),
    }


def step_document(step: StepError, *, drawn: bool = False) -> StepDocument:
    """The document of how the error of one step was bounded and searched, and of what was found.

    drawn: whether to include the stream of the transformer, for its figure.
    """
    document: StepDocument = {
        "plan": plan_document(step.plan, checked=step.is_certified),
        "trajectory": trajectory_document(step.trajectory),
        "search": {
            "prompts": step.sweep.count,
            "admitted": step.sweep.covered,
            "attacked_tokens": step.attack.evaluations if step.attack else 0,
        },
        "certificate": certificate_document(step.proof) if step.proof else None,
        "enclosures": [
            {"prompt": name, "row": one.prompt, "real": list(one.real), "deployed": list(one.deployed)}
            for name, one in step.enclosures
        ],
    }
    if drawn:
        document["stream"] = stream_document(slot_use(assemble(step.plan)))
    if step.counterexample:
        document["counterexample"] = sha256(step.counterexample.text)
    return document


def trajectory_document(followed: Trajectory) -> TrajectoryDocument:
    """The document of many steps, with the error of each, compared with exact descent."""
    return {
        "source": followed.source,
        "start": followed.start,
        "prompts": followed.prompts,
        "steps": followed.steps,
        "L": followed.L,
        "errors": followed.errors,
        "loss": followed.loss,
        "exact_loss": followed.exact_loss,
        "apart": followed.apart,
    }


def certificate_document(proof: Proof) -> CertificateDocument:
    """The document of a certificate's check, without the certificate itself."""
    return {
        "accepted": proof.refusal is None,
        "refusal": proof.refusal,
        "bound": proof.bound,
        "float32": proof.float32,
        "weights": proof.certificate["weights"],
        "cells": proof.certificate["splits"].count(0),
        "units_before": proof.units_before,
        "proving_seconds": round(proof.proving, 3),
        "checking_seconds": round(proof.checking, 3),
        "trusted": list(proof.trusted),
    }


def stream_document(use: SlotUse) -> StreamDocument:
    """The document of a transformer's stream: its slots, and which sub-layer reads and writes each."""
    return {
        "slots": [{"name": slot.name, "start": slot.start, "size": slot.size} for slot in use.slots],
        "sublayers": [
            {
                "layer": sublayer.layer,
                "kind": sublayer.kind,
                "heads": sublayer.heads,
                "units": sublayer.units,
                "reads": sublayer.reads,
                "writes": sublayer.writes,
            }
            for sublayer in use.sublayers
        ],
    }


def hashes(certificate: Mapping[str, Any]) -> HashesDocument:
    """SHA-256 of the certificate's file, and of the weights that it certifies."""
    return {"certificate": sha256(certificate_text(certificate)), "weights": certificate["weights"]}


def sha256(text: str) -> str:
    """SHA-256 of the file that holds the text."""
    return hashlib.sha256(text.encode()).hexdigest()


def hypotheses_document(judged: Iterable[Hypothesis]) -> list[HypothesisDocument]:
    """The documents of a theorem's hypotheses on one problem: which hold, which fail and what still holds."""
    return [
        {
            "name": one.name,
            "statement": one.statement,
            "status": one.status,
            "why": one.why,
            "holds": one.still,
        }
        for one in judged
    ]


def finding_document(settled: Settled) -> FindingDocument:
    """The document of a ledger entry, with its numbers computed again."""
    entry = settled.entry
    return {
        "key": entry.key,
        "theorem": entry.theorem,
        "statement": entry.statement,
        "place": entry.place,
        "quotation": entry.quotation,
        "source": entry.source,
        "claim": entry.claim,
        "headline": entry.headline,
        "bearing": entry.bearing,
        "severity": entry.severity,
        "kind": entry.kind,
        "text": settled.text,
        "repair": settled.repair,
        "not_claimed": settled.not_claimed,
        "numbers": dict(settled.numbers),
        "reproduces": settled.reproduces,
        "differences": list(settled.differences),
        "replay": entry.replay,
        "seconds": round(settled.seconds, 3),
    }


def findings_document(settled: Iterable[Settled], judged: Iterable[Entry] | None = None) -> FindingsDocument:
    """The document of ledger entries, the gravest first, with the published statements counted.

    judged: all entries about those statements, where the settled ones are a choice of them.
    """
    found = sorted((finding_document(one) for one in settled), key=rank)
    return {
        "findings": found,
        "papers": papers_document(found),
        "tally": tally_document(found) if judged is None else counted_document(count_statements(judged)),
        "bearings": {word: sum(one["bearing"] == word for one in found) for word in BEARINGS},
        "severities": {word: sum(one["severity"] == word for one in found) for word in SEVERITIES},
        "reproduced": sum(one["reproduces"] for one in found),
    }


def papers_document(findings: Iterable[FindingDocument]) -> dict[str, PaperDocument]:
    """The papers that the findings are about, by number."""
    about = {one["key"].partition("/")[0] for one in findings}
    return {
        number: {
            "title": one.title,
            "authors": list(one.authors),
            "version": one.version,
            "read": one.read,
        }
        for number, one in papers().items()
        if number in about
    }


def question_document(answered: Answer) -> QuestionDocument:
    """The document of a question, with the numbers of its answer computed again."""
    asked, found = answered.question, answered.found
    return {
        "key": asked.key,
        "theorem": asked.theorem,
        "question": asked.question,
        "asked_by": asked.asked_by,
        "answer": answered.text,
        "claims": list(asked.claims),
        "numbers": dict(found.numbers),
        "reproduces": answered.reproduces,
        "differences": list(found.differences),
        "seconds": round(found.seconds, 3),
    }


def questions_document(answers: Iterable[Answer]) -> QuestionsDocument:
    """The document of questions with their answers."""
    found = [question_document(one) for one in answers]
    return {"questions": found, "reproduced": sum(one["reproduces"] for one in found)}
