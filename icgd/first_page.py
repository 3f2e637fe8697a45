"""What `icgd --help` prints: the commands, named without the libraries that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from typer.main import get_command

COMMANDS_IN_SHORT: Mapping[str, str] = {
    "audit": "Judge theorems: bounds, transformer, proof, report.",
    "report": "Write a report: LaTeX, PDF, HTML, figures, JSON.",
    "verify": "Search for counterexamples, or replay one.",
    "bounds": "Print the bounds with every constant; builds nothing.",
    "build": "Build the transformer, count its parts, save its matrices.",
    "findings": "List what we found out about published statements.",
    "sweep": "Bound, build or judge many problems: one table.",
    "plot": "Draw columns of a table over another one.",
    "study": "Run a published experiment again, with more baselines.",
    "zoo": "List small models whose every part is known, or build one.",
    "export": "Write weights in the format of another tool.",
    "benchmark-set": "Write properties with known answers, for verifiers.",
    "schema": "Print the JSON Schema of what a command writes.",
    "check": "Check a certificate with the independent checker.",
    "judge": "Judge somebody's transformer: is it a descent?",
}
"""The first sentence of the docstring of each command, in the order of the page."""


def new_app() -> typer.Typer:
    """The application, still without a command."""
    app = typer.Typer(
        help="Bounds, constructions and verdicts for theorems on gradient descent in context.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    return app


def _options(
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    """Options of icgd itself; `icgd.__main__` handles --version, before any library is loaded."""


def first_page() -> str:
    """The text that `icgd --help` prints."""
    app = new_app()
    for name, said in COMMANDS_IN_SHORT.items():
        app.command(name)(_named(said))
    command = get_command(app)
    with command.make_context("icgd", [], resilient_parsing=True) as context:
        return command.get_help(context)


def _named(said: str) -> Callable[[], None]:
    """A command that does nothing, of this docstring."""

    def command() -> None: ...

    command.__doc__ = said
    return command
