"""The commands about what others hand in: judge (their weights) and check (a certificate)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved
from icgd.commands import FAILED, KEPT, USUAL
from icgd.construct.machine.device import check_device
from icgd.construct.machine.files import check_writable
from icgd.construct.machine.tensor_files import read_header
from icgd.judge_options import JudgeOptions
from icgd.kinds import FILE_KINDS, kind_of
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import OF_A_REPORT, OF_A_RUN, refuse_own_name
from icgd.reports.command.forecast import announce, checking
from icgd.reports.command.options import Json
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.run_files import run_folder
from icgd.reports.command.terminal import show_judgement
from icgd.reports.document.document import closing
from icgd.verify.catalogue import find_theorem
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import load_certificate
from icgd.verify.certificate.origin import another_certificate
from icgd.verify.certificate.proof import judge
from icgd.verify.coq.export import export
from icgd.verify.coq.run import run as run_coq
from icgd.verify.given_block.judge import JUDGED_PROMPTS
from icgd.verify.given_block.recovery import file_difference

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
    weights: Annotated[
        Path, typer.Argument(help="a file of tensors: docs/judging.md lists the kinds and their names")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="what it holds, if names do not say: " + " or ".join(FILE_KINDS)),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="open a pickle of torch, too, with its weights_only")
    ] = False,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="[RUN:]NUMBER", help="of a history of training; default: the last"),
    ] = None,
    stream: _Stream = None,
    attention: _Attention = None,
    diagonal: _Diagonal = None,
    construction: Annotated[
        str | None, typer.Option("--construction", help="the only program to look for in the matrices")
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help=f"random prompts, of a block {JUDGED_PROMPTS}")
    ] = None,
    effort: Annotated[float, typer.Option("--effort", help="length of the ascents, 0 for none")] = 1.0,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE.json", help="settings of a GPT-2: config.json")
    ] = None,
    heads: Annotated[int | None, typer.Option("--heads", help="of a GPT-2, in place of its n_head")] = None,
    mask: Annotated[
        str | None,
        typer.Option("--mask", metavar="yes|no", help="of linear attention: is the query left out"),
    ] = None,
    divide_by: Annotated[
        str | None, typer.Option("--divide-by", metavar="n|n+1|1", help="of linear attention: by what")
    ] = None,
    prediction: Annotated[
        str | None, typer.Option("--prediction", metavar="y|-y", help="of linear attention: how it is read")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="how far from descent linear attention may be")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="FILE", help="linear attention that it should be")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="diabetes|FILE", help="real prompts, too")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="WORDS", help="how its text is laid out: docs/data.md")
    ] = None,
    inputs: Annotated[list[str] | None, typer.Option("--inputs", help="columns that are x")] = None,
    targets: Annotated[list[str] | None, typer.Option("--targets", help="columns that are y")] = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of all random work")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda")] = "cpu",
    out: Annotated[Path, typer.Option("--out", help="folder for counterexamples and the certificate")] = Path(
        "out"
    ),
    reported: Annotated[
        bool, typer.Option("--report", help="also write PDF, HTML and JSON below --out, as an audit does")
    ] = False,
    replay_file: Annotated[
        Path | None, typer.Option("--replay", help="a saved counterexample to run on these weights again")
    ] = None,
    json_to: Json = None,
) -> int:
    """Judge somebody's transformer: is it a descent?

    What it computes, how near that is to descent, and whether it is proved.

    Letters replace those in the file's metadata; all are for the loss with 1/(2n).
    """
    began = time.perf_counter()
    if samples is not None and samples < 1:
        raise ProblemError("samples", samples, "a whole number of at least 1 is needed")
    if not 0 <= effort <= 1000:
        raise ProblemError("effort", effort, "a number from 0 (no ascent) to 1000 is needed")
    check_device(device)
    check_writable(out / "counterexample.json", out)
    if json_to not in (None, "-"):
        check_writable(Path(str(json_to)))
    refuse_own_name(json_to, out, OF_A_RUN)
    if reported:
        refuse_own_name(json_to, run_folder(out, reported=True), OF_A_REPORT)
    header = read_header(weights, "weights", trust_pickle=trust_pickle, state=state)
    asked = JudgeOptions(
        began=began,
        weights=weights,
        header=header,
        letters=letters,
        given={
            "kind": kind,
            "trust_pickle": trust_pickle,
            "state": state,
            "stream": stream,
            "attention": attention,
            "diagonal": diagonal,
            "construction": construction,
            "config": config,
            "heads": heads,
            "mask": mask,
            "divide_by": divide_by,
            "prediction": prediction,
            "tolerance": tolerance,
            "against": against,
            "data": data,
            "table": table,
            "inputs": tuple(inputs or ()) or None,
            "targets": tuple(targets or ()) or None,
        },
        samples=samples,
        effort=effort,
        seed=seed,
        device=device,
        out=out,
        reported=reported,
        replay_file=replay_file,
        json_to=json_to,
    )
    return kind_of(header.shapes, kind).command(asked)


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
    primitive: Annotated[
        bool,
        typer.Option(
            "--primitive-floats/--no-primitive-floats",
            help="whether Coq computes with the processor's floats, which adds axioms and is faster",
        ),
    ] = True,
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
    apart = told = None
    if weights is not None and judged.refusal is None:
        posed = halved(problem) if judged.construction == "softmax" else problem
        header = read_header(weights, "weights")
        apart = file_difference(weights, header, posed, found)
        told = another_certificate(header.metadata, found)
    checked = time.perf_counter() - began
    console = console_for(json_to)
    show_judgement(console, judged, problem)
    if weights is not None and judged.refusal is None:
        held = "is its program, entry by entry" if apart is None else f"is another program: {apart}"
        console.print(escape(f"{weights} {held}"), highlight=False, soft_wrap=True)
        if told:
            console.print(escape(f"{weights}: {told}"), highlight=False, soft_wrap=True)
    reason, machine = judged.refusal, None
    if coq and reason is None:
        export(found, out, primitive=primitive)
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
        **({"another_certificate": told} if told else {}),
        "bound": judged.bound if reason is None else None,
        "trusted": list(judged.trusted),
        "checking_seconds": round(checked, 3),
    }
    emit(document | closing(began), json_to)
    another = judged.apart if weights is None else apart
    return KEPT if reason is None and another is None else FAILED


JUDGING: Mapping[str, Callable[..., int]] = {"check": check_command, "judge": judge_command}
"""The commands that hold something against the letters of arXiv 2411.16549, whose options they show."""
