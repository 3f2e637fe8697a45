"""What the page can be filtered by: papers, bearings and severities of findings, verdicts on claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icgd.reports.document.findings import SEVERITY_NAMES
from icgd.reports.document.shape import AuditDocument, FindingDocument
from icgd.reports.html.page_parts import ARXIV, BY_URGENCY, PagePart
from icgd.verify.ledger.entries import BEARINGS


@dataclass(frozen=True)
class Choice:
    """One value of a filter.  label: as it is shown.  count: how many findings and claims have it."""

    value: str
    label: str
    count: int


def paper_of(finding: FindingDocument) -> str:
    """The number of the paper that a finding is about, or an empty text."""
    found = ARXIV.search(finding.get("source") or "")
    return found[1] if found else ""


def choices(document: AuditDocument, parts: Sequence[PagePart]) -> Mapping[str, tuple[Choice, ...]]:
    """Name of each filter -> its values that occur, in the order in which reports name them."""
    findings = document.get("findings") or ()
    about = Counter(map(paper_of, findings))
    for part in parts:
        about[part.paper] += len(part.claims)
    titles = {number: one["title"] for number, one in (document.get("papers") or {}).items()}
    verdicts = Counter(
        claim.verdict["verdict"] for part in parts for claim in part.claims if claim.verdict is not None
    )
    return {
        "paper": _occurring(about, {one: f"{one} {titles.get(one, '')}".rstrip() for one in about if one}),
        "bearing": _occurring(Counter(one["bearing"] for one in findings), {one: one for one in BEARINGS}),
        "severity": _occurring(Counter(one["severity"] for one in findings), SEVERITY_NAMES),
        "verdict": _occurring(verdicts, {one: one for one in BY_URGENCY}),
    }


def _occurring(counts: Counter[Any], labels: Mapping[Any, str]) -> tuple[Choice, ...]:
    return tuple(Choice(value, label, counts[value]) for value, label in labels.items() if counts[value])
