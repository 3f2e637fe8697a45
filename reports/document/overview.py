"""An audit of several theorems in a few lines: a row for each theorem, and the gravest findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from icgd.reports.document.findings import SEVERITY_NAMES, headline, tally_document
from icgd.reports.document.first_page import notable
from icgd.reports.document.shape import AuditDocument, FindingDocument, TheoremDocument
from icgd.verify.ledger.entries import HEADLINE
from icgd.verify.ledger.tally import Fate
from icgd.verify.verdict import MEANS, STATUSES, Means, Tone, VerdictDocument


@dataclass(frozen=True)
class TheoremRow:
    """What an audit found about one theorem, over all constructions that were judged.

    published: how many published statements met which fate.  claims: how many claims got a verdict of which
    tone.  strongest: what the best proof rests on; None without a proof.
    """

    theorem: str
    published: Mapping[Fate, int]
    claims: Mapping[Tone, int]
    strongest: Means | None
    seconds: float


@dataclass(frozen=True)
class Headline:
    """A notable result in one sentence.

    label: how grave a finding is, or its bearing where nothing is to be repaired, or the verdict on a claim.
    finding: its key, where it is one.
    replay: the command that reproduces a failed claim.
    """

    label: str
    sentence: str
    finding: str = ""
    replay: str = ""


def theorem_rows(document: AuditDocument) -> tuple[TheoremRow, ...]:
    """A row for each theorem, in the order of the document."""
    parts: dict[str, list[TheoremDocument]] = {}
    for part in document["theorems"].values():
        parts.setdefault(part["theorem"], []).append(part)
    findings = document.get("findings") or []
    return tuple(_row(name, of, findings) for name, of in parts.items())


def _row(name: str, parts: Iterable[TheoremDocument], findings: Iterable[FindingDocument]) -> TheoremRow:
    parts = tuple(parts)
    verdicts: list[VerdictDocument] = [one for part in parts for one in part["verdicts"]]
    means = {one["means"] for one in verdicts if "means" in one}
    return TheoremRow(
        name,
        tally_document(one for one in findings if one["theorem"] == name)["fates"],
        Counter(STATUSES[one["verdict"]].tone for one in verdicts),
        next((one for one in MEANS if one in means), None),
        sum(part["seconds"] for part in parts),
    )


def headlines(document: AuditDocument, most: int = 5) -> tuple[Headline, ...]:
    """The most notable results, failed claims and then findings, the gravest first; each in one sentence."""
    findings = {one["key"]: one for one in document.get("findings") or []}
    told = []
    for one in notable(document, most=most, length=HEADLINE):
        found = findings.get(one.about)
        if found is None:
            told.append(Headline(one.label, f"{one.about}: {one.text}", replay=one.replay))
        elif found["reproduces"]:
            # That there is nothing to repair says nothing about what is open or confirmed.
            severity, bearing = found["severity"], found["bearing"]
            label = bearing if severity == "none" else SEVERITY_NAMES[severity]
            told.append(Headline(label, headline(found), one.about))
        else:
            told.append(Headline(one.label, "; ".join(found["differences"]), one.about))
    return tuple(told)
