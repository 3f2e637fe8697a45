"""Renders a report as one self-contained HTML page: no network, no other file, readable without scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from icgd.reports.document import first_page
from icgd.reports.document.findings import SEVERITY_NAMES, by_severity, tally_document
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.reports.document.shape import AuditDocument, BoundDocument, FindingDocument
from icgd.reports.document.step_bound import UNCHECKED, column_name
from icgd.reports.document.studies import figure_place
from icgd.reports.document.tones import TONES
from icgd.reports.html.choices import choices, paper_of
from icgd.reports.html.inline_svg import inks, inline
from icgd.reports.html.page_parts import ARXIV, BY_URGENCY, page_parts
from icgd.reports.html.shown_numbers import PageNumbers, cell, cell_in, exact, raised, shown
from icgd.reports.mathematics import mathml
from icgd.reports.mathematics.formulas import formula
from icgd.verify.ledger.entries import KINDS
from icgd.verify.verdict import MEANS, STATUSES, VerdictDocument, count_claims, in_words

if TYPE_CHECKING:
    from icgd.reports.figures.figures import Drawn

_TEMPLATES = Path(__file__).parent / "templates"
_ROOM = 440.0
"""Width of a line of a formula, in points of `mathematics.formulas`; fits on a page 1280 pixels wide."""

_SINGLE = re.compile(r"[A-Za-z](_.*)?|(eta|eps|epsilon|lambda|mu|kappa|rho)(_.*)?")
"""The name of a number that is a letter, with an index perhaps."""


def page(document: AuditDocument, figures: Sequence[Drawn]) -> str:
    """The text of one HTML file with the document and its figures; the same input gives the same text.

    figures: of all theorems; the SVG of each is read and embedded.
    Raises ValueError if two numbers have the same name or a figure is not an SVG.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "math": mathml.math,
        "prose": mathml.prose,
        "worded": mathml.worded,
        "statement": mathml.statement,
        "symbol": mathml.symbol,
        "linked": linked,
        "shown": shown,
        "cell": cell,
        "cell_in": cell_in,
        "exact": exact,
        "raised": raised,
        "spaced": lambda name: name.replace("_", " "),
        "named": named,
        "breakable": breakable,
        "said": lambda verdict: in_words(verdict["verdict"], verdict.get("means")),
        "display": display_bound,
        "fields": lambda row: list(row.values()),
        "counted": lambda count, one, many: f"{count} {one if count == 1 else many}",
    }
    drawn = [_figure(one, place) for place, one in enumerate(figures, 1)]
    of = {
        one.theorem: [d for d, f in zip(drawn, figures, strict=True) if f.theorem == one.theorem]
        for one in figures
    }
    parts, studies = page_parts(document, of), document.get("studies") or ()
    shown_in = Counter(claim.key for part in parts for claim in part.claims)
    known = {*document["theorems"], *map(figure_place, studies)}
    findings = by_severity(chain.from_iterable(_by_theorem(document).values()))
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        document=document,
        heading=_heading(document),
        parts=parts,
        papers={part.theorem.get("theorem") or part.name: part.paper for part in parts},
        twice={key for key, count in shown_in.items() if count > 1},
        paper_of=paper_of,
        choices=choices(document, parts),
        other_figures=[one for place, some in of.items() if place not in known for one in some],
        studies=[(one, of.get(figure_place(one), [])) for one in studies],
        outcome=first_page.failures_in_words(document),
        urgent=first_page.urgent(document),
        boxes=paper_boxes(document),
        checked=first_page.checked(document),
        bound_column=column_name(document["theorems"].values()),
        unchecked=UNCHECKED,
        severity=SEVERITY_NAMES.__getitem__,
        kinds=KINDS,
        findings=findings,
        tally=tally_document(document.get("findings") or ()),
        gaps=first_page.not_shown(document),
        trusted=first_page.trusted(document),
        counts=first_page.verdict_counts(document),
        claim_counts=count_claims(_verdicts(document)),
        statuses=STATUSES,
        means=MEANS,
        tones=TONES,
        by_urgency=BY_URGENCY,
        numbers=PageNumbers(document),
        anchor=_Anchors(),
        style=Markup(style),
        inks=inks(one["svg"] for one in drawn),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def linked(source: str) -> Markup:
    """A source with links for its arXiv numbers.

    >>> print(linked("arXiv:2411.16549, Theorem 1"))
    <a href="https://arxiv.org/abs/2411.16549">arXiv:2411.16549</a>, Theorem 1
    """
    pieces, end = [], 0
    for match in ARXIV.finditer(source):
        link = Markup('<a href="https://arxiv.org/abs/{}">{}</a>').format(match[1], match[0])
        pieces += [escape(source[end : match.start()]), link]
        end = match.end()
    return Markup("").join([*pieces, escape(source[end:])])


def breakable(name: str) -> Markup:
    """The name of a claim, which may break after slashes and hyphens in a narrow column.

    >>> print(breakable("a/b-c"))
    a/<wbr>b-<wbr>c
    """
    return Markup("").join(
        Markup("{}<wbr>").format(piece) if piece in ("/", "-", "_") else piece
        for piece in re.split("([/_-])", name)
    )


def named(name: str) -> Markup:
    """The name of a number: a letter as mathematics, words with spaces.

    >>> print(named("eta"), named("mlp_width"))
    <math><mi>η</mi></math> mlp width
    """
    return mathml.symbol(name) if _SINGLE.fullmatch(name) else mathml.worded(name.replace("_", " "))


class _Anchors:
    """Unique ids of places in the page, of letters, digits and hyphens."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], str] = {}

    def __call__(self, *place: str) -> str:
        if place not in self._names:
            plain = re.sub(r"[^a-z0-9]+", "-", " ".join(place).lower()).strip("-")
            taken = set(self._names.values())
            name, count = plain, 1
            while name in taken:
                count += 1
                name = f"{plain}-{count}"
            self._names[place] = name
        return self._names[place]


def display_bound(claim: BoundDocument) -> Markup:
    """A bound as lines of mathematics that fit the page, followed by its abbreviations."""
    made = formula(claim["expression"], claim.get("constants") or {}, claim["latex"], room=_ROOM)
    sign = "≤" if claim["relation"] == "<=" else "="
    lead = Markup("{} {} ").format(named(claim["quantity"]), sign)
    rows: list[tuple[str, str]] = [(lead if index == 0 else "", tex) for index, tex in enumerate(made.lines)]
    for index, (name, (first, *more)) in enumerate(made.named):
        rows.append(("and " if index else "where ", rf"{name} = {first}"))
        rows += [("", tex) for tex in more]
    line = Markup('<div class="line">{}{}</div>')
    return Markup("").join(line.format(word, mathml.math(_stacked(tex))) for word, tex in rows)


def _stacked(tex: str) -> str:
    """Aligned lines as an array of one column, since the MathML converter does not know `aligned`."""
    column = tex.replace(r"\begin{aligned}", r"\begin{array}{l}").replace(r"\end{aligned}", r"\end{array}")
    return column.replace("& ", "")


def _heading(document: AuditDocument) -> str:
    if given := document.get("heading"):
        return given
    titles = list(dict.fromkeys(part.get("title") or name for name, part in document["theorems"].items()))
    return (
        titles[0] if len(titles) == 1 else f"Audit of {len(titles)} theorems on in-context gradient descent"
    )


def _figure(drawn: Drawn, place: int) -> dict[str, Markup | str]:
    svg = inline(drawn.svg.read_text(encoding="utf-8"), f"figure-{place}", drawn.title)
    return {"id": f"figure-{drawn.name}", "title": drawn.title, "caption": drawn.caption, "svg": svg}


def _verdicts(document: AuditDocument) -> Iterator[VerdictDocument]:
    for part in document["theorems"].values():
        yield from part.get("verdicts") or ()


def _by_theorem(document: AuditDocument) -> dict[str, list[FindingDocument]]:
    """The findings by theorem: first the theorems of the document, in its order, then others."""
    names = [part.get("theorem") or name for name, part in document["theorems"].items()]
    found: dict[str, list[FindingDocument]] = {name: [] for name in names}
    for entry in document.get("findings") or ():
        found.setdefault(entry.get("theorem") or "other", []).append(entry)
    return {name: entries for name, entries in found.items() if entries}
