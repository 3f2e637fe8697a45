"""Prints an audit, of all theorems or of one, on one screen."""

from __future__ import annotations

import shlex
from typing import cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from icgd.reports.command.console import style_of
from icgd.reports.document.first_page import failures_in_words, verdict_counts
from icgd.reports.document.numbers import digits
from icgd.reports.document.overview import TheoremRow, headlines, theorem_rows
from icgd.reports.document.shape import AuditDocument, DocumentNumber, StepErrorDocument, TheoremDocument
from icgd.reports.document.step_bound import bound_name
from icgd.verify.verdict import count_claims

_LEGEND = (
    "holds, repair, fails, open: published statements that hold as written, hold with a repair, fail as "
    "written, or are open. proved (or counted), held (searched, nothing found), empty (says nothing here), "
    "failed: claims judged just now; by: the best proof among them."
)
_NONE = "[dim]·[/]"
"""What stands for no count, so that the eye keeps the columns apart."""

_OF_ALL, _OF_ONE = 5, 3
"""How many notable results fit on the screen of an audit of all theorems, and of one."""


def show_overview(console: Console, document: AuditDocument) -> None:
    """Print a row for each theorem, then the most notable results, a sentence each."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("theorem", no_wrap=True)
    for name in ("holds", "repair", "fails", "open", "proved", "held", "empty", "failed"):
        table.add_column(name, justify="right")
    table.add_column("by", no_wrap=True)
    table.add_column("s", justify="right")
    for row in theorem_rows(document):
        table.add_row(*_cells(row))
    console.print(table)
    console.print(_LEGEND, style="dim", highlight=False)
    console.print()
    _show_headlines(console, document, _OF_ALL)
    console.print("[dim]icgd findings KEY: all about one of these; -v: every claim with its evidence[/]")


def show_theorem(console: Console, document: AuditDocument, letters: str) -> None:
    """Print an audit of one theorem in short: its problem, its verdicts counted, the error of a step.

    letters: with their values, as a sentence shows them.
    """
    (part,) = document["theorems"].values()
    construction = part["construction"]
    built = f", construction [bold]{escape(construction)}[/]" if construction else ""
    console.print(f"[bold]{escape(part['title'])}[/] ({escape(part['source'])}){built}", highlight=False)
    console.print(escape(f"{letters}; seed {part['seed']}"), style="dim", highlight=False)
    for doubt in part["data"]["warnings"] if "data" in part else ():
        console.print(f"[yellow]warning:[/] {escape(doubt)}", highlight=False)
    lacking = [f"{one['name']} ({one['status']})" for one in part["hypotheses"] if one["status"] != "holds"]
    if lacking:
        said = f"[{style_of('fails')}]hypotheses not met here:[/] {escape(', '.join(lacking))}"
        console.print(said, highlight=False)
    outcome = style_of("failed" if verdict_counts(document)["failed"] else "proved")
    console.print(f"[{outcome}]{failures_in_words(document)}[/]", highlight=False)
    for line in count_claims(part["verdicts"]):
        console.print(escape(line), highlight=False)
    if error := part["step_error"]:
        console.print(escape(_step_error(part, error)), highlight=False)


def show_rest(console: Console, document: AuditDocument, name: str, count: int, *, whole: bool) -> None:
    """Print the most notable results of an audit of one theorem, and how the others are seen.

    name: of the theorem, on a command line.  count: of the findings about it, computed again or not.
    whole: whether its bounds, tables and claims were printed.
    """
    _show_headlines(console, document, _OF_ONE)
    ways = [] if whole else ["-v: every bound, table and claim"]
    if count:
        ways.append(f"icgd findings {shlex.quote(name)}: all {count} findings")
    if ways:
        console.print(escape("; ".join(ways)), style="dim", highlight=False)


def _show_headlines(console: Console, document: AuditDocument, most: int) -> None:
    """Print so many results, a sentence each, or every claim that failed, each with its replay command."""
    for one in headlines(document, most=max(most, verdict_counts(document)["failed"])):
        key = f" [dim]{escape(one.finding)}[/]" if one.finding else ""
        console.print(f"[bold]{escape(one.label)}[/]: {escape(one.sentence)}{key}", highlight=False)
        if one.replay:  # on a line of its own, whole, so that it can be copied
            console.print(f"replay: {escape(one.replay)}", highlight=False, soft_wrap=True)


def _step_error(part: TheoremDocument, error: StepErrorDocument) -> str:
    """What is known of the error of one step, in a line; upper bounds are rounded up."""
    names = {
        "sampled": "sampled",
        "attacked": "attacked",
        "bound": bound_name(part),
        "bound_off_margin": f"{bound_name(part)} off the margin",
        "allowed": "allowed",
    }
    shown = [
        f"{name} {digits(value, up=key.startswith('bound'))}"
        for key, name in names.items()
        if (value := cast(DocumentNumber | None, error.get(key))) is not None
    ]
    return f"Error of one step, norm2(err): {', '.join(shown)}"


def _cells(row: TheoremRow) -> list[str]:
    published = [str(row.published.get(fate) or _NONE) for fate in ("holds", "repaired", "fails", "open")]
    empty = row.claims.get("aside", 0) + row.claims.get("care", 0)
    judged = [str(count or _NONE) for count in (row.claims.get("good"), row.claims.get("fair"), empty)]
    failed = f"[bold red]{bad}[/]" if (bad := row.claims.get("bad")) else _NONE
    return [escape(row.theorem), *published, *judged, failed, row.strongest or _NONE, f"{row.seconds:.0f}"]
