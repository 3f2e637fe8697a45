"""Measures how long a command took, part by part, and prints it at the end."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape

from icgd.reports.command.loading import loading_seconds


class Stopwatch:
    """The seconds of a command by part; the first is loading the libraries, and no second is left out."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.parts = {"start": loading_seconds()}

    def lap(self, part: str) -> None:
        """End a part of this name; it began with the end of the one before."""
        now = time.perf_counter()
        self.parts[part], self._last = now - self._last, now

    def show(self, console: Console) -> None:
        """Print the seconds of the whole and of each part that took a tenth of a second."""
        told = ", ".join(f"{name} {spent:.1f}" for name, spent in self.parts.items() if spent >= 0.1)
        console.print(escape(f"{sum(self.parts.values()):.1f} s: {told}"), style="dim", highlight=False)
