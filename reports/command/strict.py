"""The option --strict: a command fails also where something that it judged is vacuous or open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from icgd.verify.ledger.entries import Entry
from icgd.verify.verdict import LEDGER, STRICT, Verdict

Strict = Annotated[
    bool, typer.Option("--strict", help="fail also where a claim or a finding is vacuous, or a finding open")
]


def fails_strictly(
    console: Console, strict: bool, verdicts: Iterable[Verdict] = (), findings: Iterable[Entry] = ()
) -> bool:
    """Whether something is vacuous or open in a strict run, which then prints what, one key a line."""
    if not strict:
        return False
    found = [(one.claim, str(one.status)) for one in verdicts if one.status in STRICT]
    found += [(f"{LEDGER}{one.key}", str(one.bearing)) for one in findings if one.bearing in STRICT]
    if found:
        console.print("[bold red]--strict fails[/]: what follows is vacuous or open", highlight=False)
    for key, word in found:
        console.print(f"  {word} {escape(key)}", highlight=False, soft_wrap=True)
    return bool(found)
