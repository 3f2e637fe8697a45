"""A table for an appendix: every published statement, what became of it, why, and a repair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from icgd.reports.document.findings import rank, tally_document
from icgd.reports.document.first_page import whole_sentences
from icgd.reports.document.shape import FindingDocument
from icgd.verify.ledger.tally import FATES, Fate, statement_of

_SAYS, _WHY, _REPAIR = 130, 190, 150
"""The most characters of what it says, of why it got its fate, of its repair; one sentence may be longer."""
_ORDER: tuple[Fate, ...] = ("fails", "repaired", "open", "holds")


@dataclass(frozen=True)
class StatementRow:
    """One published statement.

    source: with its place, such as arXiv:2411.16549, Lemma 6.  said: its fate in words.
    is_empty: whether it says nothing at practical sizes, though it does not fail; empty_as: the reason, where
    `why` does not give it.  why: the gravest finding about it, in whole sentences; says: what it asserts,
    where those do not say it themselves.
    repair: empty where nothing needs one.  keys: all findings about it, the gravest first.
    """

    paper: str
    source: str
    name: str
    fate: Fate
    said: str
    is_empty: bool
    empty_as: str
    says: str
    why: str
    repair: str
    keys: tuple[str, ...]


def statement_rows(findings: Iterable[FindingDocument]) -> tuple[StatementRow, ...]:
    """A row for each statement that was judged: by paper, most failing ones first, then the gravest first."""
    by_source: dict[str, list[FindingDocument]] = {}
    for one in sorted(findings, key=rank):
        by_source.setdefault(statement_of(one["source"]), []).append(one)
    judged = [_row(source, found) for source, found in by_source.items() if not _only_read(found)]
    fails = Counter(row.paper for row in judged if row.fate == "fails")

    def place(row: StatementRow) -> tuple[int, str, int, list[str]]:
        return -fails[row.paper], row.paper, _ORDER.index(row.fate), _numbered(row.name)

    return tuple(sorted(judged, key=place))


def _only_read(found: list[FindingDocument]) -> bool:
    return all(one["bearing"] == "reading" for one in found)


def _row(source: str, found: list[FindingDocument]) -> StatementRow:
    fates = tally_document(found)["fates"]
    fate = next(name for name in _ORDER if fates.get(name))
    reasons = [one for one in found if one["bearing"] == "vacuous" and fate != "fails"]
    empty = bool(reasons)
    # What shows that a statement holds is a better reason than a sharper version of it.
    shown = [one for one in found if one["bearing"] == "confirms"] if fate == "holds" and not empty else found
    first = (shown or found)[0]
    repair = first["repair"] if fate in ("fails", "repaired") else ""
    reason = min(reasons, key=lambda one: not one.get("headline"), default=first)
    return StatementRow(
        paper=source.partition(", ")[0],
        source=source,
        name=source.partition(", ")[2] or first["statement"],
        fate=fate,
        said=FATES[fate][0] + (", and says nothing at practical sizes" if empty else ""),
        is_empty=empty,
        empty_as="" if reason is first else _found(reason),
        says="" if first.get("headline") else whole_sentences(first["claim"], _SAYS, cut=False),
        why=_found(first),
        repair=whole_sentences(repair, _REPAIR, cut=False),
        keys=tuple(one["key"] for one in found),
    )


def _found(one: FindingDocument) -> str:
    return one.get("headline") or whole_sentences(one["text"], _WHY, cut=False)


def _numbered(name: str) -> list[str]:
    """Sorts Lemma 2 before Lemma 14."""
    return [part.zfill(9) for part in re.split(r"(\d+)", name)]
