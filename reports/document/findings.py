"""Wording of findings in reports: grouped by how grave they are, counted by the statements they judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icgd.reports.document.shape import FindingDocument, TallyDocument
from icgd.verify.ledger.entries import BEARINGS, SEVERITIES, Severity
from icgd.verify.ledger.tally import Tally, count_statements

SEVERITY_NAMES: dict[Severity, str] = {
    "statement": "breaks the statement",
    "proof": "breaks the proof",
    "constants": "changes constants",
    "wording": "wording",
    "none": "nothing to repair",
}
"""Short names of the severities, as headings and badges show them."""


def rank(finding: FindingDocument) -> tuple[int, int]:
    """Sorts findings: the gravest first."""
    return list(SEVERITIES).index(finding["severity"]), list(BEARINGS).index(finding["bearing"])


@dataclass(frozen=True)
class FindingGroup:
    """The findings of one severity.

    name: the severity in a few words.  means: its rule, where the name does not say it.
    entries: by bearing, the gravest first.
    """

    severity: Severity
    name: str
    means: str
    entries: tuple[FindingDocument, ...]


def by_severity(findings: Iterable[FindingDocument]) -> tuple[FindingGroup, ...]:
    """The nonempty groups of findings, the gravest first; within one, by bearing and then as they came."""
    found = sorted(findings, key=rank)
    groups = (
        FindingGroup(
            name,
            SEVERITY_NAMES[name],
            means.partition(": ")[2],
            tuple(one for one in found if one["severity"] == name),
        )
        for name, means in SEVERITIES.items()
    )
    return tuple(group for group in groups if group.entries)


@dataclass(frozen=True)
class _Judged:
    source: str
    bearing: str
    severity: str


def tally_document(findings: Iterable[FindingDocument]) -> TallyDocument:
    """How many published statements hold, hold with a repair or fail, and the sentence that says so.

    >>> tally_document([])["sentence"]
    'No published statement was checked.'
    """
    return counted_document(
        count_statements(_Judged(one["source"], one["bearing"], one["severity"]) for one in findings)
    )


def counted_document(counted: Tally) -> TallyDocument:
    """The document of counted statements."""
    return {
        "statements": counted.statements,
        "fates": dict(counted.fates),
        "vacuous": counted.vacuous,
        "sentence": counted.sentence,
    }


def headline(finding: FindingDocument) -> str:
    """The finding as one sentence that stands alone; where nobody wrote one, the statement and its claim."""
    return finding.get("headline") or f"{finding['statement']}: {finding['claim']}"


def briefly(finding: FindingDocument) -> str:
    """The statement, what it asserts, and what was found, as whole sentences.

    >>> briefly({"statement": "Lemma 2", "claim": "It holds", "text": "It does not."})
    'Lemma 2: It holds. It does not.'
    """
    claim = finding["claim"].rstrip()
    ended = claim if claim.endswith((".", "!", "?")) else f"{claim}."
    return f"{finding['statement']}: {ended} {finding['text']}".strip()
