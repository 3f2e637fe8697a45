"""Wording of findings by their bearing (contradicts, gap, confirms, ...): its meaning, sorting and counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icgd.reports.document.shape import FindingDocument


@dataclass(frozen=True)
class BearingMeaning:
    """The wording for one bearing.

    means: its meaning in one line.  one, many: the clause after a count of one, or of several, findings.
    """

    means: str
    one: str
    many: str


BEARINGS = {
    "contradicts": BearingMeaning(
        "a published statement is false as written",
        "contradicts a published statement as written",
        "contradict a published statement as written",
    ),
    "gap": BearingMeaning(
        "a hypothesis or a constant is missing from a published statement",
        "names a missing hypothesis or constant",
        "name a missing hypothesis or constant",
    ),
    "vacuous": BearingMeaning(
        "a published statement is true, but says nothing at practical sizes",
        "shows a statement true but empty at practical sizes",
        "show a statement true but empty at practical sizes",
    ),
    "sharper": BearingMeaning(
        "a published statement is true, and less suffices or more can be said",
        "sharpens a statement",
        "sharpen a statement",
    ),
    "confirms": BearingMeaning(
        "a published statement is right", "confirms a statement", "confirm a statement"
    ),
    "reading": BearingMeaning(
        "the statement had to be read in one of several ways",
        "fixes how a statement is read",
        "fix how a statement is read",
    ),
    "open": BearingMeaning("neither confirmed nor refuted", "is open", "are open"),
}
"""Every bearing; those that an author must answer come first."""

UNSAID = BearingMeaning(
    "this document records no bearing on the source: the outcome is that of the settled sentence",
    "has no recorded bearing on its source",
    "have no recorded bearing on their source",
)


def label(finding: FindingDocument) -> str:
    """One word for a finding: its bearing, or its outcome if the document records no bearings."""
    return str(finding.get("bearing") or finding["outcome"])


def sorted_by_bearing(
    findings: Iterable[FindingDocument],
) -> list[tuple[str, BearingMeaning, list[FindingDocument]]]:
    """Nonempty groups (bearing, its meaning, its findings); "others" are findings without a known bearing."""
    found = list(findings)
    groups = [
        (name, means, [e for e in found if e.get("bearing") == name]) for name, means in BEARINGS.items()
    ]
    groups.append(("others", UNSAID, [e for e in found if e.get("bearing") not in BEARINGS]))
    return [group for group in groups if group[2]]


def tally(findings: Iterable[FindingDocument]) -> str:
    """The number of findings of each bearing, as a clause; empty if there are no findings.

    >>> tally([{"bearing": "gap"}, {"bearing": "contradicts"}, {"bearing": "gap"}])
    '1 of 3 contradicts a published statement as written, 2 name a missing hypothesis or constant'
    """
    found = list(findings)
    parts = [
        f"{len(group)} {means.one if len(group) == 1 else means.many}"
        for _, means, group in sorted_by_bearing(found)
    ]
    if not parts:
        return ""
    count, _, rest = parts[0].partition(" ")
    return ", ".join((f"{count} of {len(found)} {rest}", *parts[1:]))


def settled_line(finding: FindingDocument) -> str:
    """The sentence that a finding settles, with its outcome; empty if there is none.

    >>> settled_line({"candidate": "The bound holds for every S.", "outcome": "refuted"})
    'Settled: The bound holds for every S: refuted.'
    """
    candidate = str(finding.get("candidate") or "").rstrip().rstrip(".")
    return f"Settled: {candidate}: {finding['outcome']}." if candidate else ""


def found_text(finding: FindingDocument) -> str:
    """The text of a finding; reports of earlier versions keep it under another key."""
    return str(finding.get("text") or finding.get("finding") or "")


def briefly(finding: FindingDocument) -> str:
    """The source's claim and the finding; also the settled sentence if the document records no bearings."""
    claim = str(finding.get("claim") or "")
    said = f"The source: {_ended(claim)}" if claim else ""
    settled = "" if finding.get("bearing") else settled_line(finding)
    return " ".join(part for part in (said, settled, found_text(finding)) if part)


def _ended(sentence: str) -> str:
    return sentence if sentence.rstrip().endswith((".", "!", "?")) else f"{sentence}."
