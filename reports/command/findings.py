"""Prints findings about published statements, and answers to questions of reviewers, in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from icgd.construct.machine.files import write_atomically
from icgd.reports.command.console import style_of
from icgd.reports.command.terminal import show_numbers
from icgd.verify.ledger.entries import BEARINGS, KINDS, SEVERITIES, Entry, papers
from icgd.verify.ledger.questions import Answer
from icgd.verify.ledger.settled import Settled
from icgd.verify.ledger.tally import count_statements

_WIDEST = 100
"""Columns of a paragraph: longer lines are hard to read."""


def show_findings(console: Console, settled: Sequence[Settled]) -> None:
    """Print findings under their severities, each with its key, which is never cut, and its text."""
    for severity, rule in SEVERITIES.items():
        found = [one for one in settled if one.entry.severity == severity]
        if found:
            name, _, means = rule.partition(": ")
            about = f": {means}" if means else ""
            counted = f"{len(found)} finding{'s' * (len(found) > 1)}"
            title = f"[bold underline]{name.capitalize()}[/]{escape(about)} ({counted})"
            _paragraph(console, title, indent=0)
            console.print()
        for one in found:
            _show_briefly(console, one)
            console.print()
    said = dict.fromkeys(one.entry.bearing for one in settled)
    legend = "; ".join(f"{word}: {meaning}" for word, meaning in BEARINGS.items() if word in said)
    _paragraph(console, f"[dim]{escape(legend)}. All numbers were computed now.[/]", indent=0)


def _show_briefly(console: Console, settled: Settled) -> None:
    entry = settled.entry
    heading = f"[{style_of(entry.bearing)}]{entry.bearing}[/] [bold]{escape(entry.statement)}[/]"
    room = min(console.width, _WIDEST) - len(entry.bearing) - len(entry.statement) - 1
    if len(entry.key) + 2 <= room:
        console.print(f"{heading}  [dim]{escape(entry.key)}[/]", highlight=False)
    else:
        _paragraph(console, heading, indent=0)
        console.print(f"  [dim]{escape(entry.key)}[/]", highlight=False, soft_wrap=True)
    if settled.reproduces:
        _paragraph(console, escape(settled.text))
    else:
        _paragraph(console, f"[bold red]NOT REPRODUCED[/]: {escape('; '.join(settled.differences))}")


def _paragraph(console: Console, markup: str, indent: int = 2) -> None:
    """Print markup as lines that fit, without spaces at their ends."""
    room = max(20, min(console.width, _WIDEST) - indent)
    for line in Text.from_markup(markup).wrap(console, room):
        line.rstrip()
        console.print(Text(" " * indent) + line, highlight=False, soft_wrap=True)


def show_finding(console: Console, settled: Settled) -> None:
    """Print one entry of the ledger, with its numbers."""
    entry = settled.entry
    paper = papers()[entry.paper]
    console.print(f"[bold]{escape(entry.key)}[/] ({escape(entry.source)})", highlight=False)
    lines = {
        "text read": f"{paper.version}{'' if paper.read == 'full text' else ', abstract alone'}",
        "place": entry.place,
        "its words": f"“{entry.quotation}”" if entry.quotation else "",
        "what it says": entry.claim,
        "found": settled.text,
        "bearing": f"{entry.bearing}: {BEARINGS[entry.bearing]}",
        "severity": SEVERITIES[entry.severity],
        "repair": settled.repair,
        "not claimed": settled.not_claimed,
        "NOT REPRODUCED": "; ".join(settled.differences),
    }
    for name, text in lines.items():
        if text:
            _paragraph(console, f"[dim]{name}:[/] {escape(text)}", indent=0)
    show_numbers(console, f"by {KINDS[entry.kind]}; computed just now", settled.numbers)


def show_ledger(console: Console, settled: Sequence[Settled], judged: Sequence[Entry] | None = None) -> None:
    """Print what became of the published statements in one sentence, and each finding not reproduced.

    judged: all findings about the statements, where those settled are a choice; the sentence counts all.
    """
    whole = [one.entry for one in settled] if judged is None else judged
    _paragraph(console, escape(count_statements(whole).sentence), indent=0)
    if len(settled) < len(whole):
        console.print(f"Shown are {len(settled)} of {len(whole)} findings about them.", highlight=False)
    for entry in settled:
        if not entry.reproduces:
            console.print("[bold red]not reproduced[/]")
            show_finding(console, entry)


def show_answers(console: Console, answers: Sequence[Answer]) -> None:
    """Print the questions that reviewers asked, each with its answer and the claims it comes from."""
    for one in answers:
        asked = one.question
        _paragraph(console, f"[bold]{escape(asked.question)}[/] [dim]({escape(asked.asked_by)})[/]", indent=0)
        _paragraph(console, escape(one.text))
        if not one.reproduces:
            _paragraph(console, f"[bold red]NOT REPRODUCED[/]: {escape('; '.join(one.found.differences))}")
        _paragraph(console, f"[dim]from {escape(', '.join(asked.claims))}[/]")
        console.print()


def write_letter(console: Console, text: str, out: Path | None) -> None:
    """Print a letter, or write it to a file."""
    if out is None:
        for line in text.splitlines():  # a line break within a text would be printed as an escape
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    else:
        write_atomically(out, text)
        console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)
