"""Builds the document of a report about one judged transformer, from which PDF and HTML are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from icgd.reports.document.document import audit_document, results_document
from icgd.reports.document.shape import AuditDocument, CertificateDocument
from icgd.verify.given_block.judge import BlockResults
from icgd.verify.results import Results


@dataclass(frozen=True)
class JudgedFile:
    """A file of weights, as a report names it.  kind: what it holds.  sha256: of the file."""

    path: str
    kind: str
    sha256: str

    @property
    def name(self) -> str:
        return "judge"

    @property
    def title(self) -> str:
        return Path(self.path).name

    @property
    def source(self) -> str:
        return f"a file of kind {self.kind} whose SHA-256 begins with {self.sha256[:16]}"


def judged_document(file: JudgedFile, found: Results, *, command: str, seconds: float) -> AuditDocument:
    """The document of a report: what the transformer is, every verdict, table and number."""
    part = results_document(file, found, command=command, seconds=seconds)
    if isinstance(found, BlockResults) and found.certificate:
        part["certificate"] = _certificate(found)
    document = audit_document({file.name: part}, command=command, seed=found.seed, seconds=seconds)
    document["heading"], document["conclusion"] = f"{file.title}, judged", found.conclusion
    return document


def _certificate(found: BlockResults) -> CertificateDocument:
    """The document of the certificate of somebody's matrices, which are given one only if it is accepted."""
    certificate, recovery = found.certificate, found.recovery
    assert certificate is not None and recovery.bound is not None
    return {
        "accepted": True,
        "refusal": None,
        "bound": recovery.bound,
        "float32": "not examined for a given file",
        "weights": certificate["weights"],
        "cells": certificate["splits"].count(0),
        "trusted": list(recovery.trusted),
    }
