"""Prints an audit of several theorems on one screen."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from icgd.reports.document.overview import TheoremRow, headlines, theorem_rows
from icgd.reports.document.shape import AuditDocument

_LEGEND = (
    "holds, repair, fails, open: published statements that hold as written, hold with a repair, fail as "
    "written, or are open. proved (or counted), held (searched, nothing found), empty (says nothing here), "
    "failed: claims judged just now; by: the best proof among them."
)


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
    for one in headlines(document):
        said = f"[bold]{escape(one.label)}[/]: {escape(one.sentence)} [dim]{escape(one.finding)}[/]"
        console.print(said.rstrip(), highlight=False)
        if one.replay:  # on a line of its own, whole, so that it can be copied
            console.print(f"replay: {escape(one.replay)}", highlight=False, soft_wrap=True)
    console.print(
        "[dim]icgd findings KEY: all about one of these; --claims: every claim with its evidence[/]"
    )


def _cells(row: TheoremRow) -> list[str]:
    published = [str(row.published.get(fate) or "") for fate in ("holds", "repaired", "fails", "open")]
    empty = row.claims.get("aside", 0) + row.claims.get("care", 0)
    judged = [str(count or "") for count in (row.claims.get("good"), row.claims.get("fair"), empty)]
    failed = f"[bold red]{bad}[/]" if (bad := row.claims.get("bad")) else ""
    return [escape(row.theorem), *published, *judged, failed, row.strongest or "", f"{row.seconds:.0f}"]
