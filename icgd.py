"""icgd: bounds, constructions and verdicts for theorems on gradient descent in context.

The front door: the public names, and the command line.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bounds.plan import Construction, plan
from bounds.problem import Problem, ProblemError
from bounds.relu_icgd import claims
from construct.atomic import write_atomically
from construct.census import census
from construct.device import check_device
from construct.memory import refuse_if_matrices_too_large, refuse_if_too_large
from construct.prompt import Prompt
from construct.relu_icgd import build, check_construction
from construct.transformer import Transformer
from construct.weights import save_weights
from reports.document import bounds_document, claims_for, plan_document, verification_document, versions
from reports.terminal import progress_on, show, show_census, show_plan, show_sizes, show_verdicts
from verify.counterexample import Counterexample
from verify.data import DataError, RealPrompts, choose_columns, load_table, prompts_from_table
from verify.prompts import seeded
from verify.relu_icgd import Verification, replay, save_counterexample, verify
from verify.verdict import any_failed

__all__ = ["Problem", "ProblemError", "Prompt", "Transformer", "build", "claims", "main", "plan", "verify"]

KEPT, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all claims kept, a claim failed, the input was impossible, Ctrl-C."""

_HELP = {
    "N": "depth of the simulated network",
    "K": "width of its hidden layers",
    "d": "input size",
    "d_out": "output size (0: the same as d)",
    "n": "examples in context",
    "L": "gradient steps",
    "eta": "step size",
    "eps": "tolerance: a step may be off by eta*eps",
    "B_x": "bound on the 2-norm of inputs",
    "B_y": "bound on the 2-norm of targets",
    "B_v": "bound on the 2-norm of weight rows",
    "activation": "tanh sigmoid softplus gelu sin relu identity, or a formula in t",
    "loss": "squared, logistic or huber",
    "output": "activated or linear",
}

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _default(field: Any) -> Any:
    return field.default.name if field.name in ("activation", "loss") else field.default


def with_letters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each letter of a Problem; it receives them as `letters`.

    Letters the user did not give are left out, so that a command can tell (real data sets d, d_out and L).
    """
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "letters"]
    options = []
    for field in fields(Problem):
        kind: Any = {"int": int, "float": float}.get(str(field.type), str)
        names = list(dict.fromkeys([f"--{field.name}", f"--{field.name.replace('_', '-')}"]))
        text = f"{_HELP[field.name]} [default: {_default(field)}]"
        annotation = Annotated[kind | None, typer.Option(*names, help=text, show_default=False)]
        options.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )

    @wraps(command)
    def run(**given: Any) -> Any:
        letters = {field.name: given.pop(field.name) for field in fields(Problem)}
        return command(letters={name: value for name, value in letters.items() if value is not None}, **given)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature([*keyword_only, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*keyword_only, *options]}
    return run


Theorem = Annotated[str, typer.Argument(help="relu-icgd")]
Chosen = Annotated[str, typer.Option("--construction", help="lean, paper or exact (for relu)")]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="write the result as JSON")]
Seed = Annotated[int, typer.Option("--seed", help="seed of all random work")]
Samples = Annotated[int, typer.Option("--samples", help="random prompts in the sweep")]
Effort = Annotated[float, typer.Option("--effort", help="length of the attack, 0 for none")]
Data = Annotated[
    str | None, typer.Option("--data", metavar="diabetes|FILE.csv", help="real prompts to follow")
]
Inputs = Annotated[str | None, typer.Option("--inputs", help="columns that are x, separated by commas")]
Targets = Annotated[str | None, typer.Option("--targets", help="columns that are y, separated by commas")]
Prompts = Annotated[int, typer.Option("--prompts", help="prompts to cut from the data")]
Start = Annotated[str, typer.Option("--start", help="w(0): random, or zero as in the theorem")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda")]
Out = Annotated[Path, typer.Option("--out", help="folder for what is written down")]


def _theorem(name: str) -> str:
    if name != "relu-icgd":
        raise ProblemError("theorem", name, "there is relu-icgd")
    return name


def _construction(name: str) -> Construction:
    if name not in ("lean", "paper", "exact"):
        raise ProblemError("construction", name, "it is lean, paper or exact")
    return name  # type: ignore[return-value]


def _pose(letters: dict[str, Any], construction: str) -> tuple[Problem, Construction]:
    problem, chosen = Problem.parse(letters), _construction(construction)
    check_construction(problem, chosen)
    refuse_if_too_large(problem, chosen)
    return problem, chosen


def _console(json_to: str | None) -> Console:
    return Console(stderr=json_to == "-", quiet=json_to == "-" and not sys.stderr.isatty())


def _emit(document: dict[str, Any], json_to: str | None) -> None:
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if json_to == "-":
        sys.stdout.write(text)
    elif json_to:
        write_atomically(Path(json_to), text)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _real(
    letters: dict[str, Any],
    data: str,
    inputs: str | None,
    targets: str | None,
    prompts: int,
    seed: int,
    start: str,
) -> tuple[dict[str, Any], Callable[[Problem], RealPrompts]]:
    """The letters with d, d_out and L filled in from the data, and the cutting of prompts."""
    table = load_table(data)
    columns = choose_columns(table, _names(inputs), _names(targets), letters.get("d"), letters.get("d_out"))
    filled = {"L": 20} | letters | {"d": columns.d, "d_out": columns.d_out}

    def cut(problem: Problem) -> RealPrompts:
        return prompts_from_table(
            problem,
            table,
            columns.inputs,
            columns.targets,
            count=prompts,
            generator=seeded(seed),
            weights=start,
        )

    return filled, cut


def _verification(
    theorem: str,
    letters: dict[str, Any],
    construction: str,
    seed: int,
    samples: int,
    effort: float,
    data: str | None,
    inputs: str | None,
    targets: str | None,
    prompts: int,
    start: str,
    device: str,
    out: Path,
    json_to: str | None,
) -> int:
    began = time.perf_counter()
    _theorem(theorem)
    check_device(device)
    if samples < 1:
        raise ProblemError("samples", samples, "at least one prompt is needed")
    if not 0 <= effort <= 1000:
        raise ProblemError("effort", effort, "a number from 0 (no attack) to 1000 is needed")
    if data is None and (inputs or targets):
        raise ProblemError("inputs" if inputs else "targets", inputs or targets, "columns need --data")
    cut = None
    if data is not None:
        letters, cut = _real(letters, data, inputs, targets, prompts, seed, start)
    problem, chosen = _pose(letters, construction)
    console = _console(json_to)
    found = verify(
        problem,
        chosen,
        samples=samples,
        seed=seed,
        effort=effort,
        starting=start,
        real=cut(problem) if cut else None,
        source=data or "random prompts",
        device=device,
        progress=progress_on(Console(stderr=True)),
    )
    found = _with_replay(found, out)
    seconds = time.perf_counter() - began
    show(console, found, seed, seconds)
    _emit(verification_document(found, seed=seed, seconds=seconds), json_to)
    return FAILED if any_failed(found.verdicts) else KEPT


def _with_replay(found: Verification, out: Path) -> Verification:
    """The verification with every failed step-error verdict pointing at a saved counterexample."""
    if found.counterexample is None:
        return found
    command = save_counterexample(found.counterexample, out)
    claim = found.counterexample.claim
    verdicts = tuple(replace(v, replay=command) if v.claim == claim else v for v in found.verdicts)
    return replace(found, verdicts=verdicts)


@app.command()
@with_letters
def audit(
    letters: dict[str, Any],
    theorem: Theorem = "relu-icgd",
    construction: Chosen = "lean",
    seed: Seed = 0,
    samples: Samples = 100_000,
    effort: Effort = 1.0,
    data: Data = None,
    inputs: Inputs = None,
    targets: Targets = None,
    prompts: Prompts = 64,
    start: Start = "random",
    device: Device = "cpu",
    out: Out = Path("out"),
    json_to: Json = None,
) -> int:
    """Bounds, construction, verification and report: the main job."""
    return _verification(
        theorem,
        letters,
        construction,
        seed,
        samples,
        effort,
        data,
        inputs,
        targets,
        prompts,
        start,
        device,
        out,
        json_to,
    )


@app.command("verify")
@with_letters
def verify_command(
    letters: dict[str, Any],
    theorem: Theorem = "relu-icgd",
    construction: Chosen = "lean",
    seed: Seed = 0,
    samples: Samples = 100_000,
    effort: Effort = 1.0,
    data: Data = None,
    inputs: Inputs = None,
    targets: Targets = None,
    prompts: Prompts = 64,
    start: Start = "random",
    device: Device = "cpu",
    out: Out = Path("out"),
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="a saved counterexample to try again")
    ] = None,
    json_to: Json = None,
) -> int:
    """Sweep and attack; or replay a saved counterexample."""
    if replay_file is None:
        return _verification(
            theorem,
            letters,
            construction,
            seed,
            samples,
            effort,
            data,
            inputs,
            targets,
            prompts,
            start,
            device,
            out,
            json_to,
        )
    verdict = replay(Counterexample.load(replay_file))
    show_verdicts(_console(json_to), [verdict])
    _emit({"verdicts": [verdict.as_dict()], "versions": versions()}, json_to)
    return FAILED if any_failed([verdict]) else KEPT


@app.command()
@with_letters
def bounds(
    letters: dict[str, Any],
    theorem: Theorem = "relu-icgd",
    construction: Chosen = "lean",
    json_to: Json = None,
) -> int:
    """Symbolic and numeric bounds, without building anything."""
    began = time.perf_counter()
    _theorem(theorem)
    problem, chosen = _pose(letters, construction)
    made = plan(problem, chosen)
    asserted = claims_for(made)
    console = _console(json_to)
    show_sizes(console, asserted)
    show_plan(console, made)
    document = {
        "problem": problem.as_dict(),
        "construction": chosen,
        "bounds": bounds_document(asserted),
        "plan": plan_document(made),
        "versions": versions(),
        "seconds": round(time.perf_counter() - began, 3),
    }
    _emit(document, json_to)
    return KEPT


@app.command("build")
@with_letters
def build_command(
    letters: dict[str, Any],
    theorem: Theorem = "relu-icgd",
    construction: Chosen = "lean",
    out: Annotated[
        Path | None, typer.Option("--out", help="safetensors file for the literal matrices")
    ] = None,
    json_to: Json = None,
) -> int:
    """Construct the transformer; print its census; write its matrices."""
    began = time.perf_counter()
    _theorem(theorem)
    problem, chosen = _pose(letters, construction)
    if out is not None:
        refuse_if_matrices_too_large(problem, chosen)
    transformer = build(problem, chosen)
    counted = census(transformer)
    console = _console(json_to)
    show_census(console, counted)
    if out is not None:
        save_weights(transformer, out)
        console.print(f"wrote {out}", highlight=False)
    document = {
        "problem": problem.as_dict(),
        "construction": chosen,
        "census": counted.as_dict(),
        "versions": versions(),
        "seconds": round(time.perf_counter() - began, 3),
    }
    _emit(document, json_to)
    return KEPT


_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, and says what is wrong with bad input in one line."""
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        result = app(args=given or ["--help"], standalone_mode=False)
        return result if isinstance(result, int) else KEPT
    except _UsageError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        print(f"icgd: {' '.join(message.split())}", file=sys.stderr)
    except (ProblemError, DataError) as error:
        print(f"icgd: {error}", file=sys.stderr)
    except OSError as error:
        print(f"icgd: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
    except (KeyboardInterrupt, typer.Abort):
        print("icgd: interrupted", file=sys.stderr)
        return INTERRUPTED
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
