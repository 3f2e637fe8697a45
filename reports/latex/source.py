r"""Writes the LaTeX of a report: report.tex, macros, preamble, and fragments that a paper can \input."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from icgd.bounds.printable import printable
from icgd.construct.machine.files import write_atomically
from icgd.reports.document.findings import by_severity, tally_document
from icgd.reports.document.first_page import (
    checked,
    failures_in_words,
    not_shown,
    trusted,
    urgent,
    verdict_counts,
)
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.reports.document.shape import AuditDocument, FindingDocument
from icgd.reports.document.statements import statement_rows
from icgd.reports.document.step_bound import UNCHECKED, column_name
from icgd.reports.document.studies import figure_place
from icgd.reports.latex.macros import PREFIX, NamedNumbers, exact, number, words
from icgd.reports.latex.sections import Section, drop_repeated, side_by_side, wide
from icgd.reports.latex.tables import prepared_table
from icgd.reports.mathematics.citations import Sources
from icgd.reports.mathematics.notation import Tex, claim_key, code, command, escape, without_mathematics
from icgd.reports.mathematics.print_signs import printed
from icgd.verify.ledger.entries import BEARINGS, KINDS
from icgd.verify.verdict import MEANS, STATUSES, count_claims, in_words

if TYPE_CHECKING:
    from icgd.reports.figures.figures import Drawn

FRAGMENTS: Mapping[str, Callable[[Section], object] | None] = {
    "bounds": lambda part: part.claims,
    "constants": lambda part: part.constants,
    "claims": lambda part: part.part["verdicts"],
    "census": lambda part: part.part.get("census"),
    "sandwich": lambda part: part.part.get("step_error"),
    "plan": lambda part: part.part.get("plan"),
    "ladder": lambda part: any(table.is_ladder for table in part.tables),
    "tables": lambda part: part.tables,
    "figures": lambda part: part.figures,
    "statements": None,
    "findings": None,
    "questions": None,
}
"""Name of a fragment -> what a theorem must have to have one of its own; None: findings, or questions."""

_TEMPLATES = Path(__file__).parent / "templates"


def write_source(
    document: AuditDocument, figures: Sequence[Drawn], folder: Path, prefix: str = PREFIX
) -> Path:
    """Write report.tex, the files it inputs and the fragments into the folder; returns report.tex's path.

    Every named number is a macro from icgd-numbers.tex, so that no fragment contains an outdated value.
    Fragments about one theorem are in theorems/NAME.  prefix: how the names of macros begin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = Sources()
    numbers = NamedNumbers(document, prefix)

    def sections() -> list[Section]:
        return [Section(name, part, numbers, sources, figures) for name, part in document["theorems"].items()]

    parts = sections()
    drop_repeated(parts)
    studies = document.get("studies") or ()
    owners = {*document["theorems"], *map(figure_place, studies)}
    judged = checked(document)
    totals = verdict_counts(document)
    columns = [status for status in STATUSES if totals[status] or status == "failed"]
    verdicts = [verdict for part in document["theorems"].values() for verdict in part["verdicts"]]
    named = {verdict.get("means") for verdict in verdicts}
    boxes = paper_boxes(document)
    bearings = {one["bearing"] for one in document.get("findings") or ()}
    scope = {
        "document": document,
        "parts": parts,
        "numbers": numbers,
        "words": list(words(document, prefix)),
        "prefix": Tex(prefix),
        "labels": Tex("" if prefix == PREFIX else f"{prefix}-"),
        "findings": _findings(document.get("findings") or (), numbers, sources),
        "statements": statement_rows(document.get("findings") or ()),
        "bearings": [one for one in BEARINGS.items() if one[0] in bearings],
        "questions": document.get("questions") or (),
        "checked": [(one, [one.counts.get(status, 0) for status in columns]) for one in judged],
        "cited": {one.theorem: _briefly(sources.cite(one.source)) for one in judged},
        "papers": _papers(
            [*(f"arXiv:{box.number}" for box in boxes), *(one.source for one in judged)],
            {f"arXiv:{box.number}": box.read for box in boxes},
            sources,
        ),
        "statuses": STATUSES,
        "columns": columns,
        "column": Tex(f"{0.622 - 0.075 * max(0, len(columns) - 5):.3f}"),
        "headings": {"proved on given prompts": Tex(r"\shortstack[r]{proved on\\given\\prompts}")},
        "means": [grounds for means, grounds in MEANS.items() if means in named],
        "totals": totals,
        "claim_counts": count_claims(verdicts),
        "outcome": failures_in_words(document),
        "urgent": urgent(document),
        "boxes": boxes,
        "cite": {box.number: sources.cite(f"arXiv:{box.number}") for box in boxes},
        "trusted": trusted(document),
        "not_shown": not_shown(document),
        "tally": tally_document(document.get("findings") or ()),
        "bound_column": column_name(document["theorems"].values()),
        "unchecked": UNCHECKED,
        "figures": side_by_side(one for one in figures if one.theorem not in owners),
        "studies": [
            (
                study,
                side_by_side(one for one in figures if one.theorem == figure_place(study)),
                [prepared_table(table) for table in study["tables"]],
            )
            for study in studies
        ],
        "source": sources.cite,
    }
    templates = _environment()
    names = {"report": "report.tex", "preamble": "icgd-preamble.tex", "numbers": "icgd-numbers.tex"}
    for template in (*names, *FRAGMENTS):
        whole = template in FRAGMENTS
        text = templates.get_template(f"{template}.tex.j2").render(scope | {"whole": whole})
        write_atomically(folder / names.get(template, f"{template}.tex"), _compact(text))
    for part in sections():
        found = [one for one in document.get("findings") or () if one["theorem"] == part.family]
        asked = [one for one in document.get("questions") or () if one["theorem"] == part.family]
        alone = {
            "whole": True,
            "parts": [part],
            "figures": [],
            "findings": _findings(found, numbers, sources),
            "statements": statement_rows(found),
            "questions": asked,
        }
        for name, has in FRAGMENTS.items():
            if has(part) if has else asked if name == "questions" else found:
                text = templates.get_template(f"{name}.tex.j2").render(scope | alone)
                target = folder / "theorems" / part.slug / f"{name}.tex"
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, _compact(text))
    write_atomically(folder / "icgd.bib", sources.bibliography())
    for figure in figures:
        target = folder / "figures" / f"{figure.name}.pdf"
        target.parent.mkdir(exist_ok=True)
        if figure.pdf.resolve() != target.resolve():
            shutil.copyfile(figure.pdf, target)
    return folder / "report.tex"


def _environment() -> jinja2.Environment:
    """Environment of the LaTeX templates: delimiters that LaTeX does not use; all but Tex is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_prose,
    )
    made.filters |= {
        "code": code,
        "key": claim_key,
        "command": command,
        "printed": _prose,
        "number": number,
        "exact": exact,
        "wide": wide,
        "name": _name,
        "remark": _remark,
        "said": lambda verdict: in_words(verdict["verdict"], verdict.get("means")),
        "macro_code": lambda name: code(f"\\{name}"),
        "tex": Tex,
        "escape_tex": escape,
        "plain": without_mathematics,
    }
    return made


def _prose(text: object) -> Tex:
    """Text in LaTeX with the signs of print; what is LaTeX already stays as it is."""
    return text if isinstance(text, Tex) else escape(printed(str(text)))


def _compact(text: str) -> str:
    """The text with at most one blank line in a row, and none at the start."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _name(text: object) -> Tex:
    """The text for a name in LaTeX, such as that of a label or of a file: one line of ASCII."""
    return Tex(" ".join(str(text).split()).encode("ascii", "replace").decode())


def _remark(text: object) -> Tex:
    """The text for a LaTeX comment: one line, every letter as it was written."""
    return Tex(printable(" ".join(str(text).split())))


def _briefly(citation: Tex) -> Tex:
    """A citation without the place within the source."""
    return Tex(re.sub(r"\\cite\[[^]]*\]", r"\\cite", citation))


def _papers(names: Sequence[str], read: Mapping[str, str], sources: Sources) -> list[tuple[Tex, str, str]]:
    """The citation, the name and the text read of every cited arXiv paper, in the order of first citation."""
    papers = dict.fromkeys(found for name in names for found in re.findall(r"arXiv[: ]\d{4}\.\d{4,5}", name))
    return [(sources.cite(name), name, read.get(name, "")) for name in papers]


def _findings(
    findings: Iterable[FindingDocument], numbers: NamedNumbers, sources: Sources
) -> list[dict[str, object]]:
    """The findings in groups, the gravest first."""
    return [
        {
            "severity": group.severity,
            "name": group.name,
            "means": group.means,
            "entries": [
                {
                    **one,
                    "kind": KINDS.get(one["kind"], one["kind"]),
                    "source": sources.cite(one["source"].partition(", ")[0]),
                    "numbers": [
                        (name, numbers.at(f"finding {one['key']} {name}", value))
                        for name, value in one["numbers"].items()
                    ],
                }
                for one in group.entries
            ],
        }
        for group in by_severity(findings)
    ]
