"""The command line: builds the typer application, runs a command and maps exceptions to exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from icgd.benchmark_command import BENCHMARKING
from icgd.bounds.letters import ProblemError
from icgd.commands import COMMANDS, FAILED, KEPT, USUAL
from icgd.export_command import EXPORTING
from icgd.findings_command import FINDING
from icgd.first_page import COMMANDS_IN_SHORT, new_app
from icgd.judging import JUDGING
from icgd.reports.command.console import discard_unwritten, flush, open_streams, say
from icgd.reports.command.faults import fault_sentence
from icgd.reports.command.loading import INTERRUPTED, end_loading, exit_on_signals
from icgd.reports.command.options import OnceEach, unfolded
from icgd.schema_command import SCHEMING
from icgd.study_command import STUDYING
from icgd.sweep_command import SWEEPING
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.data.table import DataError
from icgd.verify.ledger.entries import LedgerError
from icgd.verify.search.options import Search
from icgd.verify.theorem import Theorem
from icgd.zoo_command import ZOO_COMMANDS

__all__ = ["BAD_INPUT", "FAILED", "FAULT", "INTERRUPTED", "KEPT", "UNREAD", "main"]

BAD_INPUT, FAULT, UNREAD = 2, 70, 141
"""Exit codes besides those of commands: bad input or output, a fault of icgd, a closed standard output."""


def _app(asked: Theorem | None) -> typer.Typer:
    """The commands, with the letters of every theorem as options; `--help` shows only those of `asked`."""
    app = new_app()
    for name, command in {
        **COMMANDS,
        **FINDING,
        **SWEEPING,
        **STUDYING,
        **ZOO_COMMANDS,
        **EXPORTING,
        **BENCHMARKING,
        **SCHEMING,
    }.items():
        app.command(name, cls=OnceEach)(unfolded(command, asked))
    for name, command in JUDGING.items():
        app.command(name, cls=OnceEach)(unfolded(command, asked or find_theorem(USUAL)))
    return app


_FLAGS = {f"--{name}" for name, kind in Search.__annotations__.items() if "bool" in str(kind)}
_FLAGS |= {
    "--report",
    "--no-report",
    "--coq",
    "--questions",
    "--claims",
    "--strict",
    "-v",
    "--primitive-floats",
    "--no-primitive-floats",
}
"""Options without a value: what follows one may be the name of a theorem."""


def _asked(words: Sequence[str]) -> Theorem | None:
    """The theorem that a command line names; its letters must be known before typer parses the line."""
    for before, word in pairwise(words):
        flag = "=" in before or before in _FLAGS
        if (flag or not before.startswith("-")) and (word in theorems() or word.endswith(".py")):
            return find_theorem(word)
    return None


_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _other_case(error: Exception) -> str:
    """What to do about an unknown option that differs from a known one in capitals alone; else nothing."""
    given, context = getattr(error, "option_name", ""), getattr(error, "ctx", None)
    known = [name for one in context.command.params for name in one.opts] if given and context else []
    same = [name for name in known if name.casefold() == given.casefold()]
    return f"No such option: {given}; did you mean {same[0]}?" if same else ""


def _usage(error: Any, words: Sequence[str]) -> str:
    """What is wrong with the words of a command line, and where to read what they may be."""
    said = " ".join(error.format_message().split()).replace(". Did you mean", "; did you mean")
    command = " ".join(["icgd", *(word for word in words[:1] if word in COMMANDS_IN_SHORT)])
    return said if said.endswith("?") else f"{said.rstrip('.')}; see {command} --help"


def _place(path: object, words: Sequence[str]) -> str:
    """A path as an option of these words and its value, where it was typed as one."""
    for before, word in pairwise(["", *words]):
        name, sign, value = word.partition("=")
        option, typed = (name, value) if sign else (before, word)
        if option.startswith("--") and typed and Path(typed) == Path(str(path)):
            return f"{option[2:]} = {path}"
    return str(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; bad input is reported in one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        open_streams()
        end_loading()
        with exit_on_signals():
            result = _app(_asked(given))(args=given or ["--help"], prog_name="icgd", standalone_mode=False)
        if result == INTERRUPTED:  # typer turns Ctrl-C into an exit code and prints nothing
            raise KeyboardInterrupt
        flush()
        return result if isinstance(result, int) else KEPT
    except _UsageError as error:
        say(_other_case(error) or _usage(error, given))
    except (ProblemError, DataError, LedgerError) as error:
        say(error)
    except SystemExit as end:
        pipe = end.__context__
        if not isinstance(pipe, BrokenPipeError):
            raise
        if pipe.filename is None:  # for a closed pipe typer exits with 1, which here means a failed claim
            return UNREAD
        say(f"{pipe.filename}: {pipe.strerror}")
    except OSError as error:
        place = _place(error.filename, given) if error.filename else "the output"
        say(f"{place}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except Exception as error:
        sentence, ours = fault_sentence(error, given)
        say(sentence)
        return FAULT if ours else BAD_INPUT
    finally:
        discard_unwritten()
    return BAD_INPUT
