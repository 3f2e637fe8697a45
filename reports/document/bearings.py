"""How a finding bears on its source, what a reader is told of it, and how many bear in which way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icgd.reports.document.shape import FindingDocument


@dataclass(frozen=True)
class BearingMeaning:
    """One way to bear on a source.

    means: in one line.  one, many: what a finding, or several, do, after their number.
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
"""Every bearing, what an author must answer coming first."""

UNSAID = BearingMeaning(
    "this document does not say how they bear on the source: the outcome is that of the sentence settled",
    "is not sorted by how it bears on its source",
    "are not sorted by how they bear on their source",
)


def label(finding: FindingDocument) -> str:
    """One word for a finding: its bearing, or the outcome where the document has no bearings."""
    return str(finding.get("bearing") or finding["outcome"])


def sorted_by_bearing(
    findings: Iterable[FindingDocument],
) -> list[tuple[str, BearingMeaning, list[FindingDocument]]]:
    """(bearing, its meaning, the findings that bear so), none empty; "others" for those that do not say."""
    found = list(findings)
    groups = [
        (name, means, [e for e in found if e.get("bearing") == name]) for name, means in BEARINGS.items()
    ]
    groups.append(("others", UNSAID, [e for e in found if e.get("bearing") not in BEARINGS]))
    return [group for group in groups if group[2]]


def tally(findings: Iterable[FindingDocument]) -> str:
    """How many of the findings bear in which way, as a clause; empty where there are none.

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
    """The sentence that a finding settles and how; empty where there is none.

    >>> settled_line({"candidate": "The bound holds for every S.", "outcome": "refuted"})
    'Settled: The bound holds for every S: refuted.'
    """
    candidate = str(finding.get("candidate") or "").rstrip().rstrip(".")
    return f"Settled: {candidate}: {finding['outcome']}." if candidate else ""


def found_text(finding: FindingDocument) -> str:
    """What was found."""
    return str(finding.get("text") or finding.get("finding") or "")


def briefly(finding: FindingDocument) -> str:
    """What the source says and what was found; what was settled, where the document has no bearings."""
    claim = str(finding.get("claim") or "")
    said = f"The source: {_ended(claim)}" if claim else ""
    settled = "" if finding.get("bearing") else settled_line(finding)
    return " ".join(part for part in (said, settled, found_text(finding)) if part)


def _ended(sentence: str) -> str:
    return sentence if sentence.rstrip().endswith((".", "!", "?")) else f"{sentence}."
