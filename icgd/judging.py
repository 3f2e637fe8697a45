"""The commands about what others hand in: judge (their weights) and check (a certificate)."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved
from icgd.commands import FAILED, KEPT, USUAL
from icgd.construct.block.given_block import GivenBlock, parse_stream
from icgd.construct.machine.device import check_device
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.forecast import announce, checking
from icgd.reports.command.judging import (
    block_document,
    counterexample_files,
    judging,
    show_block,
)
from icgd.reports.command.options import Json
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.terminal import show_judgement, show_verdicts
from icgd.reports.document.document import closing
from icgd.verify.catalogue import find_theorem
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import certificate_text, load_certificate
from icgd.verify.certificate.proof import judge
from icgd.verify.coq.export import export
from icgd.verify.coq.run import run as run_coq
from icgd.verify.given_block.judge import CLAIM, JUDGED_PROMPTS, judge_block, replay_on
from icgd.verify.given_block.recovery import certificate_difference
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.verdict import any_failed

_Stream = Annotated[
    str | None,
    typer.Option("--stream", metavar="x=0:2,...", help="slots x, y, V1, ..., one, t, as start:stop"),
]
_Attention = Annotated[
    str | None, typer.Option("--attention", help="relu or softmax, if metadata do not say")
]
_Diagonal = Annotated[
    str | None,
    typer.Option(
        "--diagonal", metavar="LAYERS", help="where tokens attend to themselves only: layer.03,layer.04"
    ),
]


def judge_command(
    letters: dict[str, Any],
    weights: Annotated[Path, typer.Argument(help="a safetensors file, laid out as in docs/weights.md")],
    stream: _Stream = None,
    attention: _Attention = None,
    diagonal: _Diagonal = None,
    construction: Annotated[
        str | None, typer.Option("--construction", help="the only program to look for in the matrices")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="random prompts")] = JUDGED_PROMPTS,
    effort: Annotated[float, typer.Option("--effort", help="length of the ascents, 0 for none")] = 1.0,
    data: Annotated[
        str | None, typer.Option("--data", metavar="diabetes|FILE.csv", help="real prompts, too")
    ] = None,
    inputs: Annotated[str | None, typer.Option("--inputs", help="columns that are x")] = None,
    targets: Annotated[str | None, typer.Option("--targets", help="columns that are y")] = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of all random work")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda")] = "cpu",
    out: Annotated[Path, typer.Option("--out", help="folder for counterexamples and the certificate")] = Path(
        "out"
    ),
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="a saved counterexample to run on these weights again")
    ] = None,
    json_to: Json = None,
) -> int:
    """Judge somebody's transformer: what it computes, how near to descent, and whether that is proved.

    Letters replace those in the file's metadata; all are for the loss with 1/(2n).
    """
    began, console = time.perf_counter(), console_for(json_to)
    for name, value, fits in (("samples", samples, samples >= 1), ("effort", effort, 0 <= effort <= 1000)):
        if not fits:
            raise ProblemError(
                name, value, "a positive number is needed" + (", at most 1000" * (name == "effort"))
            )
    check_device(device)
    for path in (out / "counterexample.json", *([Path(json_to)] if json_to not in (None, "-") else [])):
        check_writable(path)
    saved = Counterexample.load(replay_file) if replay_file else None
    block = _read(weights, letters, stream, attention, diagonal, saved.problem if saved else None)
    if saved:
        verdict = replay_on(block, saved)
        show_verdicts(console, [verdict])
        emit({"verdicts": [verdict.as_dict()]} | closing(began), json_to)
        return FAILED if any_failed([verdict]) else KEPT
    announce(judging(block, samples, effort))
    found = judge_block(
        block,
        samples=samples,
        effort=effort,
        seed=seed,
        construction=construction,
        data=data,
        inputs=inputs,
        targets=targets,
        device=device,
        progress=bars(),
    )
    given = {"--stream": stream, "--attention": attention, "--diagonal": diagonal}
    words = ["icgd", "judge", weights.as_posix()]
    words += [word for name, value in given.items() if value for word in (name, value)]
    verdicts = tuple(
        replace(one, replay=shlex.join([*words, "--replay", _file(out, one.claim).as_posix()]))
        if one.status == "failed"
        else one
        for one in found.verdicts
    )
    found = replace(found, verdicts=verdicts)
    show_block(console, block, found, str(weights), time.perf_counter() - began)
    files = dict(counterexample_files(found))
    if found.certificate:
        files["certificate-judge.json"] = certificate_text(found.certificate)
    for name, text in files.items():
        write_atomically(out / name, text)
        console.print(f"wrote {out / name}", highlight=False, markup=False, soft_wrap=True)
    emit(block_document(block, found, weights) | closing(began), json_to)
    return FAILED if any_failed(verdicts) else KEPT


def _file(out: Path, claim: str) -> Path:
    return out / f"counterexample-judge-{claim.removeprefix(f'{CLAIM}/')}.json"


def _read(
    weights: Path,
    letters: Mapping[str, Any],
    stream: str | None,
    attention: str | None,
    diagonal: str | None,
    problem: Problem | None = None,
) -> GivenBlock:
    return GivenBlock.read(
        weights,
        problem,
        letters,
        stream=None if stream is None else parse_stream(stream),
        attention=attention,
        diagonal=None if diagonal is None else frozenset(filter(None, diagonal.split(","))),
    )


def check_command(
    letters: dict[str, Any],
    certificate: Annotated[Path, typer.Argument(help="a certificate that icgd audit wrote")],
    construction: Annotated[
        str | None,
        typer.Option(
            "--construction", help="lean, paper or softmax; default: the one named in the certificate"
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="a safetensors file to hold against its program, too")
    ] = None,
    coq: Annotated[
        bool, typer.Option("--coq", help="also export to Coq, and run coqc if it is installed")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="folder for the Coq files")] = Path("out/coq"),
    json_to: Json = None,
) -> int:
    """Check a certificate with the independent checker.

    Checks it against the problem in the options, and against the transformer built here for that problem.
    """
    began = time.perf_counter()
    found = load_certificate(certificate)
    problem = Problem.parse(letters)
    announce(checking(find_theorem(USUAL), found, problem))
    judged = judge(found, problem, construction, progress=bars())
    if coq and judged.construction in CONSTRUCTIONS and not CONSTRUCTIONS[judged.construction].coq:
        exported = " and ".join(name for name, way in CONSTRUCTIONS.items() if way.coq)
        raise ProblemError("coq", judged.construction, f"only certificates of {exported} are exported")
    apart = None
    if weights is not None and judged.refusal is None:
        posed = halved(problem) if judged.construction == "softmax" else problem
        apart = certificate_difference(GivenBlock.read(weights, posed), found)
    checked = time.perf_counter() - began
    console = console_for(json_to)
    show_judgement(console, judged, problem)
    if weights is not None and judged.refusal is None:
        held = "is its program, entry by entry" if apart is None else f"is another program: {apart}"
        console.print(escape(f"{weights} {held}"), highlight=False, soft_wrap=True)
    reason, machine = judged.refusal, None
    if coq and reason is None:
        export(found, out)
        machine = run_coq(out, progress=bars())
        for line in machine.statement.splitlines():
            console.print(escape(line), highlight=False)
        if machine.version and not machine.ok:
            reason = "Coq accepts its export"
    document = {
        "problem": problem.as_dict(),
        "construction": judged.construction,
        "coq": machine and machine.as_dict(),
        "accepted": reason is None,
        "refusal": reason,
        "built_here": None if reason else judged.apart or "the same program",
        **({} if weights is None or reason else {"weights": apart or "the same program"}),
        "bound": judged.bound if reason is None else None,
        "trusted": list(judged.trusted),
        "checking_seconds": round(checked, 3),
    }
    emit(document | closing(began), json_to)
    another = judged.apart if weights is None else apart
    return KEPT if reason is None and another is None else FAILED


JUDGING: Mapping[str, Callable[..., int]] = {"check": check_command, "judge": judge_command}
"""The commands that hold something against the letters of arXiv 2411.16549, whose options they show."""
