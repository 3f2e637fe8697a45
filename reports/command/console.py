"""Where a person is told: consoles that show every text as signs, and the one line of an error."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.text import Text

from icgd.bounds.printable import printable


class Terminal(Console):
    """A console on which no text of a user is obeyed: neither control characters nor names of emoji.

    What is printed on it is one line, or a table: a line end within a text is shown and not followed.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Every string on its way to the screen, cells and headings too."""
        return super().render_str(printable(text), **settings)

    def on_broken_pipe(self) -> None:
        """Whoever read the output has gone: the command decides what that means."""
        raise  # rich calls this while it handles the error


def open_streams() -> None:
    """What cannot be encoded is spelled out; a file opened later never takes a closed stream's place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(sentence: object) -> None:
    """One line on the standard error stream, or nothing where nobody can be told."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"icgd: {printable(sentence)}", file=sys.stderr, flush=True)


def flush() -> None:
    """Raises OSError where the results did not reach the standard output."""
    if sys.stdout is not None:
        sys.stdout.flush()


def let_go() -> None:
    """What a stream did not take is dropped, or Python would try once more at its end, and complain."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
