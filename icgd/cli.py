"""The command line: which options there are for which theorem, and what a command ends with."""

from __future__ import annotations

from icgd.reports.command.loading import heeding, ready  # first: what comes after takes seconds to load

# isort: split
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from icgd.bounds.letters import ProblemError
from icgd.commands import COMMANDS, FAILED, KEPT
from icgd.reports.command.console import flush, let_go, open_streams, say
from icgd.reports.command.loading import INTERRUPTED
from icgd.reports.command.options import unfolded
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.ledger.entries import LedgerError
from icgd.verify.search.tables import DataError
from icgd.verify.theorem import Theorem

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "KEPT", "UNREAD", "main"]

BAD_INPUT, UNREAD = 2, 141
"""Exit codes beside those of commands: bad input or output, Ctrl-C, nobody reads the output."""


def _options(
    version: Annotated[bool, typer.Option("--version", help="say which version this is, and end")] = False,
) -> None:
    """Options of icgd itself; the version is said by `icgd.__main__`, before anything is loaded."""


def _app(asked: Theorem | None) -> typer.Typer:
    """The commands, with the letters of every theorem as options; asked: whose letters `--help` shows."""
    app = typer.Typer(
        help="Bounds, constructions and verdicts for theorems on gradient descent in context.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for name, command in COMMANDS.items():
        app.command(name)(unfolded(command, asked))
    return app


def _asked(words: Sequence[str]) -> Theorem | None:
    """The theorem that a command line names, so that its letters are known before the line is read."""
    for before, word in pairwise(words):
        flag = "=" in before or before in ("--certify", "--report", "--no-report", "--coq")
        if (flag or not before.startswith("-")) and (word in theorems() or word.endswith(".py")):
            return find_theorem(word)
    return None


_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, and says what is wrong with bad input in one line."""
    try:
        open_streams()
        given = list(sys.argv[1:] if arguments is None else arguments)
        ready()
        with heeding():
            result = _app(_asked(given))(args=given or ["--help"], standalone_mode=False)
        if result == INTERRUPTED:  # typer turns Ctrl-C into an exit code, without a word
            raise KeyboardInterrupt
        flush()
        return result if isinstance(result, int) else KEPT
    except _UsageError as error:
        say(" ".join(error.format_message().split()))  # type: ignore[attr-defined]
    except (ProblemError, DataError, LedgerError) as error:
        say(error)
    except SystemExit as end:
        pipe = end.__context__
        if not isinstance(pipe, BrokenPipeError):
            raise
        if pipe.filename is None:  # typer ends with 1, as for a failed claim, where nobody reads the output
            return UNREAD
        say(f"{pipe.filename}: {pipe.strerror}")
    except OSError as error:
        say(f"{error.filename or 'the output'}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    finally:
        let_go()
    return BAD_INPUT
