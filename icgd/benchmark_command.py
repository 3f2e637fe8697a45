"""The command `benchmark-set`: instances for verifiers of neural networks, and the judge of their claims."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from icgd.bounds.letters import ProblemError
from icgd.commands import FAILED, KEPT
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.options import Json
from icgd.reports.command.progress_lines import lines_or_bars
from icgd.reports.document.document import closing
from icgd.verify.benchmark_set.claims import ClaimJudgement, judge_claim
from icgd.verify.benchmark_set.writing import (
    SET_FILES,
    check_files,
    known_instance,
    network_path,
    property_path,
    write_benchmark_set,
)

BENCHMARK_FOLDER = Path("out/benchmark-set")


def benchmark_set_command(
    claim: Annotated[
        Path | None, typer.Option("--judge", metavar="CLAIM", help="instead: judge a claimed counterexample")
    ] = None,
    instance: Annotated[str | None, typer.Option(help="the instance that the claim is about")] = None,
    out: Annotated[Path, typer.Option(help="folder of the set")] = BENCHMARK_FOLDER,
    json_to: Json = None,
) -> int:
    """Write properties with known answers, for verifiers.

    They are step errors with known worst cases, as ONNX and VNN-LIB.

    With --judge: exit code 0 if the claim is a counterexample, 1 if it is none; docs/exports.md.
    """
    began, console = time.perf_counter(), console_for(json_to)
    if (claim is None) != (instance is None):
        given = "instance" if claim is None else "judge"
        raise ProblemError(given, instance or claim, "--judge CLAIM and --instance NAME go together")
    for folder, names in SET_FILES.items():
        refuse_own_name(json_to, out / folder, names)
    if claim is not None and instance is not None:
        known = known_instance(out, instance)
        check_files(out, known)
        judged = judge_claim(network_path(out, str(known["network"])), property_path(out, instance), claim)
        lines = [f"{instance}: {judged.said}"]
        if judged.accepted and known["answer"] == "unsat":
            lines.append("this instance is proved unsat: the proof or this judge is wrong; please report it")
        found = _judged(judged) | {"instance": instance, "answer": known["answer"]}
        code = KEPT if judged.accepted else FAILED
    else:
        written = write_benchmark_set(out, progress=lines_or_bars())
        answers = Counter(one["answer"] for one in written["instances"])
        lines = [
            f"{len(written['instances'])} instances: {answers['unsat']} unsat, proved by certificate, and "
            f"{answers['sat']} sat, with a counterexample each",
            f"wrote {out}",
        ]
        found, code = written, KEPT
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    emit(found | closing(began), json_to)
    return code


def _judged(judged: ClaimJudgement) -> dict[str, Any]:
    return {
        "counterexample": judged.accepted,
        "said": judged.said,
        "inside": judged.inside,
        "in_float64": judged.in_floats,
        "over_reals": judged.over_reals,
        "computed": judged.computed.reshape(-1).tolist(),
        "exact": [one.str(20) for one in judged.exact.reshape(-1)],
    }


BENCHMARKING: Mapping[str, Callable[..., int]] = {"benchmark-set": benchmark_set_command}
