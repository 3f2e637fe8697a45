"""icgd: bounds, constructions and verdicts for theorems on gradient descent in context.

The front door: the public names, and the command line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from bounds.budget import Construction
from bounds.plan import plan
from bounds.problem import Problem, ProblemError
from bounds.relu_icgd import claims
from construct.atomic import check_writable, write_atomically
from construct.census import census
from construct.device import check_device
from construct.memory import refuse_if_matrices_too_large, refuse_if_too_large
from construct.prompt import Prompt
from construct.relu_icgd import build, check_construction
from construct.transformer import Transformer
from construct.weights import save_weights
from reports.document import (
    bounds_document,
    claims_for,
    findings_document,
    plan_document,
    verification_document,
    versions,
)
from reports.options import AnyTheorem, Chosen, Json, Search, Theorem, with_options
from reports.terminal import (
    progress_on,
    show,
    show_census,
    show_findings,
    show_plan,
    show_sizes,
    show_trusted,
    show_verdicts,
)
from verify.catalogue import THEOREMS
from verify.certificate import letters as letters_of
from verify.certificate import load as load_certificate
from verify.coq import export
from verify.coqc import run as run_coq
from verify.counterexample import Counterexample
from verify.data import DataError, RealPrompts, choose_columns, load_table, prompts_from_table
from verify.findings import Findings
from verify.prompts import seeded
from verify.proof import TRUSTED, mismatch, refusal
from verify.relu_icgd import Verification, replay, save_counterexample, verify
from verify.verdict import Verdict, any_failed

__all__ = ["Problem", "ProblemError", "Prompt", "Transformer", "build", "claims", "main", "plan", "verify"]

KEPT, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all claims kept, a claim failed, the input was impossible, Ctrl-C."""

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _theorem(name: str) -> str:
    if name != "relu-icgd":
        known = f"audit and verify also know {', '.join(THEOREMS)}"
        raise ProblemError("theorem", name, f"there is relu-icgd; {known}")
    return name


def _construction(name: str) -> Construction:
    if name not in ("lean", "paper", "exact"):
        raise ProblemError("construction", name, "it is lean, paper or exact")
    return name  # type: ignore[return-value]


def _check(problem: Problem, construction: Construction) -> None:
    """Raises ProblemError where the construction does not apply or would not fit in memory."""
    check_construction(problem, construction)
    refuse_if_too_large(problem, construction)


def _pose(letters: dict[str, Any], construction: str) -> tuple[Problem, Construction]:
    problem, chosen = Problem.parse(letters), _construction(construction)
    _check(problem, chosen)
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


def _real(letters: dict[str, Any], search: Search, data: str) -> tuple[Problem, RealPrompts]:
    """The problem with d, d_out and L filled in from the data, and prompts cut from it."""
    table = load_table(data)
    inputs, targets = _names(search.inputs), _names(search.targets)
    columns = choose_columns(table, inputs, targets, letters.get("d"), letters.get("d_out"))
    problem = Problem.parse({"L": 20} | letters | {"d": columns.d, "d_out": columns.d_out})
    generator = seeded(search.seed)
    return problem, prompts_from_table(
        problem, table, columns.inputs, columns.targets, count=search.prompts, generator=generator
    )


def _verification(
    theorem: str,
    letters: dict[str, Any],
    search: Search,
    json_to: str | None,
    *,
    always_certify: bool = False,
) -> int:
    began = time.perf_counter()
    _theorem(theorem)
    _possible(search, json_to)
    problem, real = _real(letters, search, search.data) if search.data else (Problem.parse(letters), None)
    chosen = _construction(search.construction)
    _check(problem, chosen)
    found = verify(
        problem,
        chosen,
        samples=search.samples,
        seed=search.seed,
        effort=search.effort,
        starting=search.start,
        real=real,
        source=search.data or "random prompts",
        device=search.device,
        certify=search.certify or always_certify,
        progress=progress_on(Console(stderr=True)),
    )
    found = _with_replay(found, search.out)
    if found.proof:
        path = search.out / f"certificate-{chosen}.json"
        write_atomically(path, json.dumps(found.proof.certificate) + "\n")
    seconds = time.perf_counter() - began
    show(_console(json_to), found, search.seed, seconds)
    if found.proof:
        _console(json_to).print(f"wrote {path}; icgd check {path} {problem.options}", highlight=False)
    _emit(verification_document(found, seed=search.seed, seconds=seconds), json_to)
    return FAILED if any_failed(found.verdicts) else KEPT


def _with_replay(found: Verification, out: Path) -> Verification:
    """The verification with every failed step-error verdict pointing at a saved counterexample."""
    if found.counterexample is None:
        return found
    command = save_counterexample(found.counterexample, out)
    claim = found.counterexample.claim
    verdicts = tuple(replace(v, replay=command) if v.claim == claim else v for v in found.verdicts)
    return replace(found, verdicts=verdicts)


def _possible(search: Search, json_to: str | None) -> None:
    """Raises for options that cannot be followed, before any work is done."""
    search.check()
    if json_to not in (None, "-"):
        check_writable(Path(json_to))
    check_device(search.device)


def _found(theorem: str, letters: dict[str, Any], search: Search) -> tuple[Findings, dict[str, Any]]:
    """What the verification of a theorem of the catalogue found, and the same as a document."""
    began = time.perf_counter()
    chosen = THEOREMS[theorem]
    bars = progress_on(Console(stderr=True))
    found = chosen.verify(
        chosen.letters.parse(letters), seed=search.seed, device=search.device, progress=bars
    )
    return found, findings_document(found, seconds=time.perf_counter() - began)


def _catalogued(theorem: str, letters: dict[str, Any], search: Search, json_to: str | None) -> int:
    _possible(search, json_to)
    found, document = _found(theorem, letters, search)
    show_findings(_console(json_to), found, document["seconds"])
    _emit(document, json_to)
    return FAILED if any_failed(found.verdicts) else KEPT


def _all_theorems(search: Search, json_to: str | None) -> int:
    """Every theorem at its default problem; one table of verdicts at the end."""
    began = time.perf_counter()
    _possible(search, json_to)
    documents: dict[str, Any] = {}
    verdicts: list[Verdict] = []
    bars = progress_on(Console(stderr=True))
    for construction in ("lean", "paper"):
        first = verify(
            Problem(),
            _construction(construction),
            samples=search.samples,
            seed=search.seed,
            effort=search.effort,
            device=search.device,
            certify=True,
            progress=bars,
        )
        seconds = time.perf_counter() - began
        documents[f"relu-icgd/{construction}"] = verification_document(
            first, seed=search.seed, seconds=seconds
        )
        verdicts += first.verdicts
    for name in THEOREMS:
        found, documents[name] = _found(name, {}, search)
        verdicts += found.verdicts
    seconds = time.perf_counter() - began
    show_verdicts(_console(json_to), verdicts)
    whole = {
        "theorems": documents,
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "versions": versions(),
        "seed": search.seed,
        "seconds": round(seconds, 3),
    }
    _emit(whole, json_to)
    return FAILED if any_failed(verdicts) else KEPT


@app.command()
@with_options
def audit(letters: dict[str, Any], search: Search, theorem: AnyTheorem = None, json_to: Json = None) -> int:
    """Bounds, construction, certificate, verification and report: the main job."""
    if theorem is None and not letters and not search.data and search.construction == "lean":
        return _all_theorems(search, json_to)
    if theorem is not None and theorem in THEOREMS:
        return _catalogued(theorem, letters, search, json_to)
    return _verification(theorem or "relu-icgd", letters, search, json_to, always_certify=True)


@app.command("verify")
@with_options
def verify_command(
    letters: dict[str, Any],
    search: Search,
    theorem: Theorem = "relu-icgd",
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="a saved counterexample to try again")
    ] = None,
    json_to: Json = None,
) -> int:
    """Sweep and attack, and certify where asked; or replay a saved counterexample."""
    if replay_file is None and theorem in THEOREMS:
        return _catalogued(theorem, letters, search, json_to)
    if replay_file is None:
        return _verification(theorem, letters, search, json_to)
    verdict = replay(Counterexample.load(replay_file))
    show_verdicts(_console(json_to), [verdict])
    _emit({"verdicts": [verdict.as_dict()], "versions": versions()}, json_to)
    return FAILED if any_failed([verdict]) else KEPT


@app.command()
@with_options
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
@with_options
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
        check_writable(out)
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


@app.command("check")
@with_options
def check_command(
    letters: dict[str, Any],
    certificate: Annotated[Path, typer.Argument(help="a certificate that icgd verify --certify wrote")],
    construction: Chosen = "lean",
    coq: Annotated[
        bool, typer.Option("--coq", help="export to Coq, too, and run coqc if it is there")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="folder for the Coq files")] = Path("out/coq"),
    json_to: Json = None,
) -> int:
    """Judge a certificate by the independent checker, for the problem that the options pose."""
    began = time.perf_counter()
    problem, chosen = _pose(letters, construction)
    found = load_certificate(certificate)
    reason = refusal(found, letters_of(problem), chosen)
    checked = time.perf_counter() - began
    apart = mismatch(found, build(problem, chosen).literal()) if reason is None else None
    console = _console(json_to)
    if reason is None:
        bound = found["certified"]
        console.print(f"[bold green]accepted[/]: norm2(err) <= eta * {bound:.6g} <= eta * eps, for")
        console.print(escape(f"{problem.options} --construction {chosen}"), highlight=False)
        built = "is its program, entry by entry" if apart is None else f"is another program: {apart}"
        console.print(f"the transformer that is built here {escape(built)}", highlight=False)
        show_trusted(console)
    else:
        console.print(f"[bold red]refused[/], since this does not hold: {escape(reason)}", highlight=False)
    machine = None
    if coq and reason is None:
        export(found, out)
        machine = run_coq(out)
        console.print(escape(machine.statement), highlight=False)
        if machine.version and not machine.ok:
            reason = "Coq accepts its export"
    document = {
        "problem": problem.as_dict(),
        "construction": chosen,
        "coq": machine and machine.as_dict(),
        "accepted": reason is None,
        "refusal": reason,
        "built_here": None if reason else apart or "the same program",
        "bound": found["certified"] if reason is None else None,
        "trusted": list(TRUSTED),
        "versions": versions(),
        "checking_seconds": round(checked, 3),
        "seconds": round(time.perf_counter() - began, 3),
    }
    _emit(document, json_to)
    return KEPT if reason is None else FAILED


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
