"""Safe terminal output: users' text printed literally, errors on one line, closed output streams."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from icgd.bounds.printable import printable
from icgd.reports.document.tones import TONE_COLOURS, TONES, Colour

LEAST = 80
"""The least width of a page, in characters: that of a table of sizes with room for every column."""

_STYLES: Mapping[Colour, str] = {
    "green": "bold green",
    "blue": "bright_blue",
    "grey": "bright_black",
    "yellow": "yellow",
    "red": "bold red",
}


def style_of(word: str) -> str:
    """How a verdict, a bearing of a finding or the status of a hypothesis is printed.

    >>> style_of("proved"), style_of("held")
    ('bold green', 'bright_blue')
    """
    return _STYLES[TONE_COLOURS[TONES[word]]]


class Terminal(Console):
    """A console that prints every text literally: control characters and emoji names have no effect.

    A line break within a text is printed as a visible escape, so a text stays on one line.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make a string printable; rich calls this for every string, including cells and headings."""
        return super().render_str(printable(text), **settings)

    @property
    def size(self) -> ConsoleDimensions:
        """The size for which to print: in a terminal narrower than LEAST lines wrap, and nothing is lost."""
        found = super().size
        return ConsoleDimensions(max(found.width, LEAST), found.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print; a cell too narrow for its text is folded, since a number that is cut is another number."""
        for table in objects:
            for column in table.columns if isinstance(table, Table) else ():
                column.overflow = "fold"
        super().print(*objects, **settings)

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError again, so that the command chooses the exit code."""
        raise  # rich calls this while it handles the error


def console_for(json_to: str | None) -> Console:
    """The console of a command: on stderr, and only if somebody watches, where JSON goes to the output."""
    watched = sys.stderr is not None and sys.stderr.isatty()
    return Terminal(stderr=json_to == "-", quiet=json_to == "-" and not watched)


def open_streams() -> None:
    """Prepare the standard streams.

    Characters that a stream cannot encode are written as escapes.  Closed descriptors 0 to 2 are opened on
    the null device, since a file opened later would take such a number and receive the output.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(sentence: object) -> None:
    """Print one line on the standard error stream, if it is open."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"icgd: {printable(sentence)}", file=sys.stderr, flush=True)


def flush() -> None:
    """Flush the standard output; raises OSError if that fails, as the results are then lost."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_unwritten() -> None:
    """Discard output that cannot be written; otherwise Python tries again at exit and prints an error."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
