"""Renders a report as one self-contained HTML page: no network, no other file, readable without scripts."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from icgd.reports.document import first_page
from icgd.reports.document.findings import SEVERITY_NAMES, by_severity, tally_document
from icgd.reports.document.numbers import Quantity, exceeds, grouped, place_of_constant, quantities
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.reports.document.shape import (
    AuditDocument,
    BoundDocument,
    FindingDocument,
    TheoremDocument,
)
from icgd.reports.document.step_bound import UNCHECKED, bound_key, bound_name, column_name, exclusion
from icgd.reports.document.studies import figure_place
from icgd.reports.document.study_shape import StudyDocument
from icgd.reports.html.inline_svg import inline
from icgd.reports.mathematics import mathml
from icgd.reports.mathematics.formulas import formula
from icgd.verify.ledger.entries import KINDS
from icgd.verify.verdict import (
    MEANS,
    STATUSES,
    Status,
    Tone,
    VerdictDocument,
    count_claims,
    in_words,
)

if TYPE_CHECKING:
    from icgd.reports.figures.figures import Drawn

_URGENCY: tuple[Tone, ...] = ("bad", "care", "aside", "fair", "good")
_BY_URGENCY = sorted(STATUSES, key=lambda status: _URGENCY.index(STATUSES[status].tone))
"""Every status of a verdict, the most urgent first."""

_TEMPLATES = Path(__file__).parent / "templates"
_ROOM = 440.0
"""Width of a line of a formula, in points of `mathematics.formulas`; fits on a page 1280 pixels wide."""

_POWER = re.compile(r"\b[0-9.]+e-[0-9]+")
_ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")


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
        "exact": exact,
        "spaced": lambda name: name.replace("_", " "),
        "breakable": breakable,
        "unbroken": unbroken,
        "said": lambda verdict: in_words(verdict["verdict"], verdict.get("means")),
        "raised": lambda value: _data(value, grouped(value, up=True)),
        "display": _display,
        "fields": lambda row: list(row.values()),
        "counted": lambda count, one, many: f"{count} {one if count == 1 else many}",
    }
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        document=document,
        heading=_heading(document),
        parts=_parts(document, figures),
        other_figures=[_figure(f, i) for i, f in enumerate(figures) if _is_other(f, document)],
        studies=_studies(document, figures),
        urgent=first_page.urgent(document),
        boxes=paper_boxes(document),
        checked=first_page.checked(document),
        bound_column=column_name(document["theorems"].values()),
        unchecked=UNCHECKED,
        severity=SEVERITY_NAMES.__getitem__,
        kinds=KINDS,
        findings=by_severity(chain.from_iterable(_by_theorem(document).values())),
        tally=tally_document(document.get("findings") or ()),
        gaps=first_page.not_shown(document),
        trusted=first_page.trusted(document),
        rows=list(_verdicts(document)),
        counts=Counter(verdict["verdict"] for _, verdict in _verdicts(document)),
        claim_counts=count_claims(verdict for _, verdict in _verdicts(document)),
        statuses=STATUSES,
        means=MEANS,
        by_urgency=_BY_URGENCY,
        numbers=_Numbers(document),
        anchor=_Anchors(),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def shown(value: object) -> Markup:
    """A value of the document as markup: a number is rounded, with all its digits in attributes.

    >>> print(shown(0.0047784114), shown(None), shown("<b>"))
    <data value="0.0047784114" title="0.0047784114">0.004778</data> – &lt;b&gt;
    """
    if value is None:
        return Markup("–")
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Markup(", ").join(map(shown, value))
    if isinstance(value, int | float):
        return _data(value, grouped(value))
    return escape(str(value))


def exact(value: object) -> Markup:
    """A number with every digit, such as the end of an enclosing interval, which must not be rounded."""
    return _data(value, repr(value)) if isinstance(value, int | float) else shown(value)


def linked(source: str) -> Markup:
    """A source with links for its arXiv numbers.

    >>> print(linked("arXiv:2411.16549, Theorem 1"))
    <a href="https://arxiv.org/abs/2411.16549">arXiv:2411.16549</a>, Theorem 1
    """
    pieces, end = [], 0
    for match in _ARXIV.finditer(source):
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


def unbroken(text: str) -> Markup:
    """A text in which a number such as 1e-12 does not break across lines."""
    return Markup(_POWER.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


class _Numbers:
    """The named numbers; the page gives a number its name as id where it shows it first."""

    def __init__(self, document: AuditDocument) -> None:
        self.all = quantities(document)
        self._at = {one.place: one for one in self.all}
        self._placed: set[str] = set()

    def at(self, value: object, *place: str) -> Markup:
        """The value at a place of the document, with its name if it is a named number."""
        quantity = self._at.get(" ".join(place))
        return shown(value) if quantity is None else self.named(quantity)

    def constant(self, value: object, theorem: str, name: str, bound: str) -> Markup:
        """The value of a constant of a bound, with its name if it has one."""
        return self.at(value, place_of_constant(self._at, theorem, name, bound))

    def named(self, quantity: Quantity) -> Markup:
        """The number, with its name as id unless the page already has that id."""
        new = quantity.macro not in self._placed
        self._placed.add(quantity.macro)
        text = grouped(quantity.value, up=quantity.up)
        return _data(quantity.value, text, quantity.macro, identify=new)


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


@dataclass(frozen=True)
class _Part:
    """One theorem on one problem, for the templates.  theorem: its part of the document."""

    name: str
    theorem: TheoremDocument
    figures: Sequence[dict[str, object]]
    alone: str | None
    """The document's command, if the document has only one theorem."""
    known: Mapping[str, str]
    """Claims that an earlier part shows, with the name of that part."""

    @cached_property
    def title(self) -> str:
        construction = self.theorem.get("construction")
        title = self.theorem.get("title") or self.name
        return f"{title}: construction {construction}" if construction else title

    @cached_property
    def command(self) -> str:
        """The command that computes this part again; if none is recorded, one made from its problem."""
        if given := self.alone or self.theorem.get("command"):
            return str(given)
        words = ["icgd", "audit", str(self.theorem.get("theorem") or self.name)]
        line = f"{shlex.join(words)} {self.theorem.get('options') or ''}".rstrip()
        if self.theorem.get("construction"):
            line += f" --construction {shlex.quote(str(self.theorem['construction']))}"
        if self.theorem.get("certificate"):
            line += " --certify"
        return f"{line} --seed {shlex.quote(str(self.theorem.get('seed') or 0))}"

    @cached_property
    def rows(self) -> list[tuple[str, VerdictDocument]]:
        return [(self.name, verdict) for verdict in self.theorem.get("verdicts") or ()]

    @cached_property
    def verdict_on(self) -> dict[str, VerdictDocument]:
        """The verdict on each judged claim, by its key."""
        return {verdict["claim"]: verdict for verdict in self.theorem.get("verdicts") or ()}

    @cached_property
    def counts(self) -> dict[Status, int]:
        counted = Counter(verdict["verdict"] for _, verdict in self.rows)
        return {status: counted[status] for status in _BY_URGENCY if counted[status]}

    @cached_property
    def steps(self) -> list[tuple[object, ...]]:
        """Rows from step 0 on: step, error, percentage of the allowed error, losses, distance."""
        run = self.theorem["trajectory"]
        allowed = self.errors.get("allowed")
        rows: list[tuple[object, ...]] = []
        for step, (loss, exact_loss, apart) in enumerate(
            zip(run["loss"], run["exact_loss"], run["apart"], strict=True)
        ):
            error = run["errors"][step - 1] if step else None
            part = _ratio(error, allowed)
            share = None if part is None else 100 * part
            rows.append((step, error, share, loss, exact_loss, apart))
        return rows

    @cached_property
    def bound_name(self) -> str:
        """The printed name of the bound on the step error: certified, or not checked."""
        return bound_name(self.theorem)

    @cached_property
    def bound_key(self) -> str:
        """The key of that bound in the document."""
        return bound_key(self.theorem)

    @cached_property
    def errors(self) -> Mapping[str, object]:
        """The document of the step error; empty if there is none."""
        return self.theorem.get("step_error") or {}

    @cached_property
    def exclusion(self) -> str | None:
        """A clause about the prompts that the step-error claim does not cover; None if it covers all."""
        return exclusion(self.theorem)

    def exceeds(self, claim: BoundDocument) -> bool:
        """Whether the counted size exceeds the value of a source's claim."""
        built = (self.theorem.get("census") or {}).get(claim["quantity"])
        return claim["source"] != "icgd" and exceeds(built, claim["value"])

    @cached_property
    def slack(self) -> float | None:
        """bound / attacked: the gap between proof and attack."""
        return _ratio(self.errors.get("bound"), self.errors.get("attacked"))


def _ratio(part: object, whole: object) -> float | None:
    """part / whole; None if either is not a float or whole is 0."""
    return part / whole if isinstance(part, float) and isinstance(whole, float) and whole else None


def _display(claim: BoundDocument, lead: str) -> Markup:
    """A bound as lines of mathematics that fit the page, followed by its abbreviations."""
    made = formula(claim["expression"], claim.get("constants") or {}, claim["latex"], room=_ROOM)
    rows: list[tuple[str, str]] = [
        (f"{lead} " if index == 0 else "", tex) for index, tex in enumerate(made.lines)
    ]
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


def _parts(document: AuditDocument, figures: Sequence[Drawn]) -> list[_Part]:
    parts: list[_Part] = []
    theorems = {part.get("theorem") or name for name, part in document["theorems"].items()}
    alone = document.get("command") if len(theorems) == 1 else None
    first: dict[str, tuple[BoundDocument, str]] = {}
    for name, theorem in document["theorems"].items():
        own = [_figure(f, index) for index, f in enumerate(figures) if f.theorem == name]
        known = {}
        for key, claim in (theorem.get("bounds") or {}).items():
            if key in first and first[key][0] == claim:
                known[key] = first[key][1]
            else:
                first[key] = claim, name
        parts.append(_Part(name, theorem, own, alone, known))
    return parts


def _is_other(figure: Drawn, document: AuditDocument) -> bool:
    """Whether a figure belongs to no theorem and no study."""
    places = {figure_place(one) for one in document.get("studies") or ()}
    return figure.theorem not in {*document["theorems"], *places}


def _studies(
    document: AuditDocument, figures: Sequence[Drawn]
) -> list[tuple[StudyDocument, list[dict[str, object]]]]:
    """Every study of the document with its figures."""
    return [
        (one, [_figure(f, i) for i, f in enumerate(figures) if f.theorem == figure_place(one)])
        for one in document.get("studies") or ()
    ]


def _figure(drawn: Drawn, index: int) -> dict[str, object]:
    svg = inline(drawn.svg.read_text(encoding="utf-8"), f"figure-{index + 1}", drawn.title)
    return {"id": f"figure-{index + 1}", "title": drawn.title, "caption": drawn.caption, "svg": svg}


def _data(value: float, text: str, macro: str = "", *, identify: bool = False) -> Markup:
    digits = repr(value)
    attributes = Markup(' id="{}"').format(macro) if identify else Markup("")
    attributes += Markup(' value="{}"').format(digits)
    hint = " = ".join(word for word in (f"\\{macro}" if macro else "", digits) if word)
    if macro or digits != text.replace(",", ""):
        attributes += Markup(' title="{}"').format(hint)
    return Markup("<data{}>{}</data>").format(attributes, text)


def _verdicts(document: AuditDocument) -> Iterator[tuple[str, VerdictDocument]]:
    for name, part in document["theorems"].items():
        for verdict in part.get("verdicts") or ():
            yield name, verdict


def _by_theorem(document: AuditDocument) -> dict[str, list[FindingDocument]]:
    """The findings by theorem: first the theorems of the document, in its order, then others."""
    names = [part.get("theorem") or name for name, part in document["theorems"].items()]
    found: dict[str, list[FindingDocument]] = {name: [] for name in names}
    for entry in document.get("findings") or ():
        found.setdefault(entry.get("theorem") or "other", []).append(entry)
    return {name: entries for name, entries in found.items() if entries}
