"""What was found about each paper, for a first page: its verdict in a sentence and its gravest findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icgd.reports.document.findings import SEVERITY_NAMES, rank, tally_document
from icgd.reports.document.first_page import whole_sentences
from icgd.reports.document.shape import AuditDocument, FindingDocument, PaperDocument
from icgd.verify.ledger.tally import statement_of

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
class PaperBox:
    """A paper, what became of its statements in one sentence, and its gravest findings.

    read: which text was read, and how much of it.  fails: how many of its statements fail as written.
    """

    number: str
    title: str
    read: str
    sentence: str
    fails: int
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
        for one in list(gravest.values())[:most]
    )
    title, read = f"arXiv:{number}", ""
    if paper is not None:
        title = paper["title"]
        read = f"{paper['version']}{', abstract alone' if paper['read'] == 'abstract' else ''}"
    tally = tally_document(found)
    return PaperBox(number, title, read, tally["sentence"], tally["fates"].get("fails", 0), told)
