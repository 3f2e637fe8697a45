"""Writes a letter of one page to the authors of a paper: the gravest findings, and what holds."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from icgd.reports.document.findings import SEVERITY_NAMES
from icgd.reports.document.first_page import whole_sentences
from icgd.reports.mathematics.notation import spelled
from icgd.reports.mathematics.print_signs import printed
from icgd.verify.ledger.entries import Paper
from icgd.verify.ledger.settled import Settled
from icgd.verify.ledger.tally import Tally, by_statement, count_statements, fate

LINES, COLUMNS = 55, 100
"""What fits a page of plain text: lines, and columns."""

_TEMPLATES = Path(__file__).parent / "templates"
_LENGTHS = (700, 520, 400, 320, 260, 210, 170, 130, 90, 60)
"""Characters of what was found and of its repair, the longest texts that fit are taken."""
_SHORTEST = 320
"""Findings that need not be in the letter are left out rather than that texts are cut shorter than this."""


@dataclass(frozen=True)
class LetterPoint:
    """One finding of a letter, cut to the room that there is."""

    statement: str
    place: str
    quotation: str
    severity: str
    text: str
    repair: str
    key: str


def letter(paper: Paper, settled: Sequence[Settled]) -> str:
    """The letter as plain text that is also Markdown, of at most LINES lines of COLUMNS columns.

    settled: the findings about the paper.  Every error that breaks a statement is in it, then as many others
    as there is room for, the gravest first.  Raises ValueError where the errors alone do not fit.
    """
    ranked = sorted(settled, key=lambda one: one.entry.rank)
    grave = [one for one in ranked if one.entry.severity in ("statement", "proof", "constants")]
    must = [one for one in grave if one.entry.severity == "statement"]
    tally = count_statements(one.entry for one in settled)
    for short in (opening, whole_sentences):  # sentences are cut only where whole ones do not fit
        for length, count in _ways(len(grave), len(must)):
            made = _render(paper, ranked, [_point(one, length, short) for one in grave[:count]], tally)
            if made.count("\n") <= LINES:
                return made
    raise ValueError(f"{len(must)} errors do not fit a letter of {LINES} lines")


def _ways(all_of_them: int, must: int) -> Iterator[tuple[int, int]]:
    """Lengths of texts and counts of findings, the fullest letter first."""
    for count in range(all_of_them, must - 1, -1):
        for length in _LENGTHS:
            if length >= _SHORTEST or count == must:
                yield length, count


def _render(paper: Paper, ranked: Sequence[Settled], points: Sequence[LetterPoint], tally: Tally) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["wrapped"] = _wrapped
    text = environment.get_template("letter.md.j2").render(
        paper=paper,
        tally=tally.sentence,
        points=points,
        others=len(ranked) - len(points),
        proofs=_listed(_of_proofs(ranked[len(points) :])),
        holds=_listed(_holding(ranked)),
    )
    return text.strip("\n") + "\n"


def _point(settled: Settled, length: int, short: Callable[[str, int], str]) -> LetterPoint:
    entry = settled.entry
    quoted = entry.quotation if length >= _LENGTHS[-3] else ""
    return LetterPoint(
        statement=_set(entry.statement),
        place=_set(entry.place) if entry.place != entry.statement else "",
        quotation=_set(quoted),
        severity=SEVERITY_NAMES[entry.severity],
        # The sentence that stands alone comes first, since the first one is never cut.
        text=_set(short(f"{entry.headline} {settled.text}".strip(), length)),
        repair=_set(short(settled.repair, length)),
        key=entry.key,
    )


def opening(text: str, length: int) -> str:
    """The first sentences of a text, as many as fit; the first one is never cut.

    >>> opening("It holds. It does not hold beyond 3.", 20), opening("A long sentence is whole. Or not.", 9)
    ('It holds.', 'A long sentence is whole.')
    """
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z0-9(])", " ".join(text.split()))
    kept = sentences[:1]
    for sentence in sentences[1:]:
        if len(" ".join([*kept, sentence])) > length:
            break
        kept.append(sentence)
    return " ".join(kept)


def _holding(settled: Sequence[Settled]) -> list[str]:
    """The statements that hold as written, and that a finding confirms."""
    return [
        found[0].statement
        for found in by_statement(one.entry for one in settled).values()
        if fate(found) == "holds" and any(one.bearing == "confirms" for one in found)
    ]


def _of_proofs(settled: Sequence[Settled]) -> list[str]:
    """The statements whose proofs break by what the letter has no room for."""
    broken = (one.entry for one in settled if one.entry.severity == "proof")
    return [found[0].statement for found in by_statement(broken).values()]


def _listed(names: Sequence[str], most: int = 8) -> str:
    """The names as an English list; of many, the first ones and how many more there are."""
    names = sorted(names, key=lambda name: [part.zfill(9) for part in re.split(r"(\d+)", name)])
    shown = [_set(name) for name in names[:most]] + (
        [f"{len(names) - most} more"] if len(names) > most else []
    )
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def _set(text: str) -> str:
    """The text with the signs and the letters of print."""
    return spelled(printed(text)).replace("<=", "≤").replace(">=", "≥")


def _wrapped(text: str, indent: int = 0, hanging: int = 0) -> str:
    """The text filled to COLUMNS; indent: of its first line, hanging: of the others."""
    return textwrap.fill(
        " ".join(text.split()),
        COLUMNS,
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
