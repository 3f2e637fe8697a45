"""Turns the letters of theorems and the fields of `Search` into options of the command line, for typer."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import as_written
from icgd.construct.machine.files import check_writable
from icgd.reports.command.file_names import refuse_same_file
from icgd.verify.catalogue import theorems, theorems_with_option
from icgd.verify.search.options import EVERYWHERE, Search
from icgd.verify.theorem import Theorem

Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="write the result as JSON")]

Prefix = Annotated[
    str,
    typer.Option("--prefix", metavar="LETTERS", help="how macros of the report's LaTeX begin, for a paper"),
]


def letter_parameters(asked: Theorem | None) -> list[inspect.Parameter]:
    """An option for each letter of any theorem, without a default, so that a command knows which were given.

    asked: the theorem named on the command line; `--help` then shows only its letters and their defaults.
    """
    options: dict[str, inspect.Parameter] = {}
    for theorem in [asked] if asked else []:
        options |= _letters(theorem, hidden=False)
    for theorem in theorems().values():
        for name, option in _letters(theorem, hidden=asked is not None, named=bool(options)).items():
            options.setdefault(name, option)
    return list(options.values())


def _letters(theorem: Theorem, *, hidden: bool, named: bool = False) -> dict[str, inspect.Parameter]:
    """The options for one theorem's letters; named: whether the help text names the theorem."""
    kinds, usual, meanings = theorem.letters.kinds(), theorem.letters.defaults(), theorem.letters.meanings()
    found = {}
    for name, kind in kinds.items():
        meaning = f"{theorem.name}: " * named + meanings[name]
        names = list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))
        optional: Any = kind | None
        about = _with_default(meaning, usual[name])
        option = typer.Option(*names, help=about, show_default=False, hidden=hidden)
        found[name] = _keyword(name, Annotated[optional, option], None)
    return found


def search_options(usual: Search, asked: Theorem | None) -> list[inspect.Parameter]:
    """An option for each field of `Search`; `--help` hides those that the theorem `asked` does not take."""
    options = []
    hints = get_type_hints(Search, include_extras=True)
    for field in fields(Search):
        kind, meaning, *shown = get_args(hints[field.name])
        taken = not asked or field.name in asked.options | EVERYWHERE
        if field.name == "construction":
            taken = not asked or bool(asked.constructions)
            meaning = " or ".join(asked.constructions) if asked and asked.constructions else meaning
        whose = theorems_with_option(field.name)
        meaning += f" ({whose})" if whose and not asked else ""
        names = [f"--{field.name}"] if kind is bool else []
        option = typer.Option(*names, help=meaning, metavar=shown[0] if shown else None, hidden=not taken)
        default = getattr(usual, field.name)
        if isinstance(default, tuple):
            kind, default = list[str], list(default)
        options.append(_keyword(field.name, Annotated[kind, option], default))
    return options


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _with_default(meaning: object, default: object) -> str:
    return f"{meaning} [default: {as_written(default)}]"


def _written(option: inspect.Parameter) -> inspect.Parameter:
    """The option, with a default that is a float in its help as a person writes it; typer has 1.0 for 1."""
    if not isinstance(option.default, float):
        return option
    kind, shown = get_args(option.annotation)
    shown = copy.copy(shown)
    shown.help, shown.show_default = _with_default(shown.help, option.default), False
    return option.replace(annotation=Annotated[kind, shown])


def unfolded(command: Callable[..., Any], asked: Theorem | None) -> Callable[..., Any]:
    """The command with its parameters `letters` and `search` unfolded into one option each.

    The command itself receives the given letters as a dictionary, and one `Search`.  Options of the search
    default to the command's own default search.
    """
    options: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name == "letters":
            options += letter_parameters(asked)
        elif parameter.annotation is Search:
            options += search_options(parameter.default, asked)
        else:
            options.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    options = [_written(option) for option in options]
    wanted = inspect.signature(command).parameters

    @wraps(command)
    def run(**given: Any) -> Any:
        if "letters" in wanted:
            posed = {option.name: given.pop(option.name) for option in letter_parameters(asked)}
            given["letters"] = {name: value for name, value in posed.items() if value is not None}
        if "search" in wanted:
            given["search"] = Search(**{field.name: given.pop(field.name) for field in fields(Search)})
        return command(**given)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


class OnceEach(TyperCommand):
    """A command that refuses what is easily overlooked: options given twice, empty values, --out -."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parses the words after the command's name; raises ProblemError, which names what the user typed."""
        args = _plain_counts(args)
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for one in order:
            listed = one.nargs != 1 or getattr(one, "multiple", False)
            if order.count(one) > 1 and not listed and _typed(one) != "help":
                known = " or ".join((*one.opts[:1], *one.secondary_opts))
                why = f"{known} is given more than once; give it once"
                raise ProblemError(_typed(one), given.get(str(one.name)), why)
            _refuse_value(_typed(one), given.get(str(one.name)))
        files = {_typed(one): str(given[str(one.name)]) for one in order if _is_file(one, given)}
        refuse_same_file({name: path for name, path in files.items() if name in _OUTPUTS}, files)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            wanted = [words for kind, words in _WANTED.items() if f"valid {kind}" in error.message]
            if error.param is None or not wanted:
                raise
            value = given.get(str(error.param.name))
            raise ProblemError(_typed(error.param), value, wanted[0]) from None


FILES = {
    *("--json", "--out", "--sarif", "--data", "--config", "--against", "--weights", "--certificate"),
    *("--replay", "--from", "--judge", "table", "weights", "certificate"),
}
"""Every option and argument that is the path of a file or a folder, or may be one, as it is typed."""

_OUTPUTS = ("json", "out", "sarif")


def _is_file(one: Any, given: Mapping[str, Any]) -> bool:
    """Whether this option or argument was given as a path that is no device."""
    value = given.get(str(one.name))
    if one.opts[0] not in FILES or not isinstance(value, str | Path) or value == "-":
        return False
    return not Path(value).exists() or Path(value).is_file()


_COUNTS = ("--samples", "--prompts")


def _plain_counts(words: list[str]) -> list[str]:
    """The words, with 1e9 samples written as 1000000000."""
    plain = []
    for before, word in zip(["", *words], words, strict=False):
        name, sign, value = word.partition("=")
        if before in _COUNTS:
            plain.append(_plain_count(word))
        else:
            plain.append(f"{name}={_plain_count(value)}" if sign and name in _COUNTS else word)
    return plain


def _plain_count(text: str) -> str:
    found = Decimal(text) if re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", text) else None
    return str(int(found)) if found is not None and found == found.to_integral_value() else text


_WANTED = {"integer": "a whole number is needed", "number": "a number is needed, such as 0.05"}
"""What is needed where typer says that its input is not a valid one."""


def _typed(one: Any) -> str:
    """An option or argument as the user types it, without hyphens in front."""
    return str(one.opts[0]).lstrip("-")


def _refuse_value(name: str, value: object) -> None:
    if value == "" or (isinstance(value, list) and "" in value):
        why = "a value is needed, and it is empty (perhaps a variable of the shell is not set)"
        raise ProblemError(name, '""', why)
    if name == "out" and value == "-":
        why = "a path is needed, such as ./-; only --json - goes to the standard output"
        raise ProblemError(name, value, why)
    if name == "json" and value != "-":
        path = Path(str(value))
        if path.is_file() and path.parts[1:2] in (("dev",), ("proc",)):  # the shell's own file: > log
            raise ProblemError(name, value, "it leads to a file that is open already; take --json -")
        check_writable(path)  # before any work is done
