"""What was found about each paper, for a first page: its verdict in a sentence and its gravest findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from icgd.reports.document.findings import SEVERITY_NAMES, rank, tally_document
from icgd.reports.document.first_page import whole_sentences
from icgd.reports.document.shape import AuditDocument, FindingDocument, PaperDocument
from icgd.reports.document.statements import StatementRow, statement_rows
from icgd.verify.ledger.tally import FATES, Fate, statement_of

_NUMBERED = re.compile(r"([A-Z][a-z]+) ([A-Z]?\.?\d[\d.]*)")
_FIRST = ("Theorem", "Proposition", "Corollary", "Lemma")
"""Kinds of statements that are named first."""

_KNOWN = (", Abstract", ", Theorem")
"""What people know of a paper, in this order, as sources of findings name it."""

_WITNESS = 270
"""The most characters of what stands beside a quotation."""


@dataclass(frozen=True)
class Told:
    """A finding on the first page.

    severity: how grave it is.  headline: what was found, in a sentence that stands alone.
    quotation: words of the paper; may be empty.  witness: what shows it, as whole sentences.
    """

    key: str
    severity: str
    headline: str
    quotation: str
    witness: str


@dataclass(frozen=True)
class FateOfSome:
    """Statements of one paper that have one fate.  said: how many, and the fate; names: of them all."""

    fate: Fate
    said: str
    names: str


@dataclass(frozen=True)
class PaperBox:
    """A paper, what became of its statements in one sentence, and its gravest findings.

    read: which text was read, and how much of it; abstract_alone: whether that is no more than the abstract.
    fails: how many of its statements fail as written.  fates: which have which fate, the gravest first.
    empty: the names of those that do not fail and say nothing at practical sizes.
    """

    number: str
    title: str
    read: str
    abstract_alone: bool
    sentence: str
    fails: int
    fates: tuple[FateOfSome, ...]
    empty: str
    told: tuple[Told, ...]


def paper_boxes(document: AuditDocument, most: int = 3) -> tuple[PaperBox, ...]:
    """A box for each paper about which the document has findings, most failing statements first."""
    papers: Mapping[str, PaperDocument] = document.get("papers") or {}
    by_paper: dict[str, list[FindingDocument]] = {}
    for one in document.get("findings") or []:
        by_paper.setdefault(one["key"].partition("/")[0], []).append(one)
    boxes = (_box(number, papers.get(number), by_paper[number], most) for number in sorted(by_paper))
    return tuple(sorted(boxes, key=lambda box: -box.fails))


def _box(number: str, paper: PaperDocument | None, found: list[FindingDocument], most: int) -> PaperBox:
    gravest: dict[str, FindingDocument] = {}
    for one in sorted((one for one in found if one["reproduces"] and one.get("headline")), key=rank):
        gravest.setdefault(statement_of(one["source"]), one)
    told = tuple(
        Told(
            one["key"],
            SEVERITY_NAMES[one["severity"]],
            one["headline"],
            one["quotation"],
            whole_sentences(one["text"], _WITNESS),
        )
        for one in _most_telling(list(gravest.values()), most)
    )
    title, read = f"arXiv:{number}", ""
    alone = paper is not None and paper["read"] == "abstract"
    if paper is not None:
        title = paper["title"]
        read = f"{paper['version']}{', abstract alone' if alone else ''}"
    tally = tally_document(found)
    rows = statement_rows(found)
    return PaperBox(
        number,
        title,
        read,
        alone,
        tally["sentence"],
        tally["fates"].get("fails", 0),
        tuple(_of_fate(fate, list(same)) for fate, same in groupby(rows, key=lambda row: row.fate)),
        named_together(row.name for row in rows if row.is_empty),
        told,
    )


def _most_telling(ranked: list[FindingDocument], most: int) -> list[FindingDocument]:
    """The gravest findings; the last gives way if none is about the abstract or a theorem."""
    graver = [one for one in ranked if one["severity"] not in ("wording", "none")]
    known = [one for kind in _KNOWN for one in graver if kind in statement_of(one["source"])]
    first = ranked[:most]
    return first if not known or any(one in first for one in known) else [*first[:-1], known[0]]


def _of_fate(fate: Fate, rows: list[StatementRow]) -> FateOfSome:
    said = f"{len(rows)} {FATES[fate][0 if len(rows) == 1 else 1]}"
    return FateOfSome(fate, said, named_together(row.name for row in rows))


def named_together(names: Iterable[str]) -> str:
    """Names of statements in one line: numbered ones of a kind together, theorems first.

    >>> named_together(["Lemma 6", "Lemma 14", "Corollary 1.1", "Corollary 2", "Mean R^2", "Theorem 1"])
    'Theorem 1; Corollaries 1.1, 2; Lemmas 6, 14; Mean R^2'
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        kinds.setdefault(found[1] if found else name, []).append(found[2] if found else "")
    ranked = sorted(kinds, key=lambda kind: _FIRST.index(kind) if kind in _FIRST else len(_FIRST))
    return "; ".join(
        kind if kinds[kind] == [""] else f"{_several(kind, len(kinds[kind]))} {', '.join(kinds[kind])}"
        for kind in ranked
    )


def _several(kind: str, count: int) -> str:
    return kind if count == 1 else f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
