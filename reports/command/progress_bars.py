"""Progress bars of a command, with an estimate of the time left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from icgd.bounds.progress import Advance, Progress
from icgd.reports.command.console import Terminal


class _TimeLeft(ProgressColumn):
    """Seconds left, by the latest estimate of the total; seconds elapsed if there is no estimate."""

    def render(self, task: Task) -> Text:
        gone, expected = task.elapsed or 0.0, task.fields["expected"]
        if expected is None:
            return Text(f"{gone:.0f} s", style="progress.elapsed")
        return Text(f"{max(1, math.ceil(expected - gone))} s left", style="progress.remaining")


def progress_on(console: Console) -> Progress:
    """Progress shown as bars on this console; shows nothing if the console is not a terminal.

    A nested task has its bar below that of its parent.  The time left is extrapolated from the part that is
    done; before any part is, it is the caller's estimate.
    """
    columns = TextColumn("{task.description}", markup=False), BarColumn(), _TimeLeft()
    bars = Bars(*columns, console=console, transient=True)

    @contextmanager
    def begin(what: str, total: float, seconds: float | None) -> Iterator[Advance]:
        if not console.is_terminal:
            yield lambda done: None
            return
        if not bars.tasks:
            bars.start()
        number = bars.add_task(what, total=total, expected=seconds)
        task = next(one for one in bars.tasks if one.id == number)

        def advance(done: float) -> None:
            bars.advance(number, done)
            if task.completed and task.elapsed:
                bars.update(number, expected=task.elapsed * max(1.0, total / task.completed))

        try:
            yield advance
        finally:
            bars.remove_task(number)
            if not bars.tasks:
                bars.stop()

    return Progress(begin)


@cache
def bars() -> Progress:
    """The progress bars of this command, on the standard error stream if that is a terminal."""
    return progress_on(Terminal(stderr=True))
