"""The options that commands share, as typer reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from icgd.bounds.problem import ProblemError
from icgd.verify.catalogue import THEOREMS, meanings

Theorem = Annotated[str, typer.Argument(help=f"relu-icgd, or to audit and verify: {', '.join(THEOREMS)}")]
AnyTheorem = Annotated[str | None, typer.Argument(help="a theorem; none, and no letters: all of them")]
Chosen = Annotated[str, typer.Option("--construction", help="lean, paper or exact (for relu)")]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="write the result as JSON")]


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a verification looks, and at which prompts; each field is an option of that name."""

    construction: Chosen = "lean"
    seed: Annotated[int, typer.Option(help="seed of all random work")] = 0
    samples: Annotated[int, typer.Option(help="random prompts in the sweep")] = 100_000
    effort: Annotated[float, typer.Option(help="length of the attack, 0 for none")] = 1.0
    start: Annotated[str, typer.Option(help="w(0): random, or zero as in the theorem")] = "random"
    data: Annotated[str | None, typer.Option(metavar="diabetes|FILE.csv", help="real prompts to follow")] = (
        None
    )
    inputs: Annotated[str | None, typer.Option(help="columns that are x, separated by commas")] = None
    targets: Annotated[str | None, typer.Option(help="columns that are y, separated by commas")] = None
    prompts: Annotated[int, typer.Option(help="prompts to cut from the data")] = 64
    certify: Annotated[bool, typer.Option("--certify", help="prove the step error, too")] = False
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu"
    out: Annotated[Path, typer.Option(help="folder for counterexamples and certificates")] = Path("out")

    def check(self) -> Search:
        """These options, once they are possible; raises ProblemError."""
        if self.samples < 1:
            raise ProblemError("samples", self.samples, "at least one prompt is needed")
        if not 0 <= self.effort <= 1000:
            raise ProblemError("effort", self.effort, "a number from 0 (no attack) to 1000 is needed")
        if self.start not in ("random", "zero"):
            raise ProblemError("start", self.start, "it is either zero or random")
        if not -(2**63) <= self.seed < 2**63:
            raise ProblemError("seed", self.seed, "a 64-bit whole number is needed")
        for name, columns in (("inputs", self.inputs), ("targets", self.targets)):
            if columns and self.data is None:
                raise ProblemError(name, columns, "columns are chosen from --data, which is missing")
        return self


@dataclass(frozen=True, kw_only=True)
class Brief(Search):
    """The same with a shorter search: a report of 20 seconds."""

    samples: Annotated[int, typer.Option(help="random prompts in the sweep")] = 20_000
    effort: Annotated[float, typer.Option(help="length of the attack, 0 for none")] = 0.3


def _letters() -> list[inspect.Parameter]:
    """An option for each letter of any theorem, with no default: so a command can tell what was given."""
    options = []
    for name, (kind, text) in meanings().items():
        names = list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))
        optional: Any = kind | None
        annotation = Annotated[optional, typer.Option(*names, help=text, show_default=False)]
        options.append(_keyword(name, annotation, None))
    return options


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Unfold a command's parameters into options: `letters` into a Problem's, a dataclass into its fields.

    The command receives `letters` as a dictionary of those that the user gave, and the dataclass whole.
    """
    groups: dict[str, type] = {}
    options: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name == "letters":
            options += _letters()
        elif isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            hints = get_type_hints(parameter.annotation, include_extras=True)
            options += [
                _keyword(field.name, hints[field.name], field.default)
                for field in fields(parameter.annotation)
            ]
        else:
            options.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**given: Any) -> Any:
        letters = {name: given.pop(name) for name in meanings()}
        unfolded = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        posed = {name: value for name, value in letters.items() if value is not None}
        return command(letters=posed, **unfolded, **given)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run
