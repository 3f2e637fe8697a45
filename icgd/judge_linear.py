"""The body of `icgd judge` for linear attention, and what `icgd.judge` does with it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.commands import FAILED, KEPT
from icgd.construct.given_linear import Exact, GivenLinear, read_linear
from icgd.construct.machine.tensor_files import TensorHeader, read_header, read_tensors, real_tensor
from icgd.judge_options import JudgeOptions
from icgd.judge_report import finish_judging
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.forecast import announce
from icgd.reports.command.linear_attention import judging_linear, linear_document, show_linear
from icgd.reports.command.progress_bars import bars
from icgd.reports.command.terminal import show_verdicts
from icgd.reports.document.document import closing
from icgd.verify.given_linear.judge import LINEAR_PROMPTS, LinearResults, check_posed, judge_linear
from icgd.verify.given_linear.linear_prompt import LinearCounterexample, replay_linear
from icgd.verify.verdict import any_failed

LINEAR_LETTERS = ("n", "d", "B_x", "B_y", "S", "T", "covariates")
_OPTIONS = ("kind", "trust_pickle", "state", "mask", "divide_by", "prediction", "tolerance", "against")


def judge_linear_file(asked: JudgeOptions) -> int:
    """Judge linear attention from a file, show what was found out, and return the exit code."""
    asked.refuse_options("linear", _OPTIONS, LINEAR_LETTERS)
    given = _given(asked.weights, asked.header, asked.given, asked.letters)
    reference = None
    if asked.given["against"] is not None:
        other = Path(asked.given["against"])
        trusted = asked.given["trust_pickle"]
        reference = _given(other, read_header(other, "against", trust_pickle=trusted), {}, {})
    console = console_for(asked.json_to)
    if asked.replay_file:
        saved = LinearCounterexample.load(asked.replay_file)
        n = asked.letters.get("n", _letters(asked.header.metadata).get("n"))
        tolerance = asked.given["tolerance"] or 0.0
        check_posed(given, 1, 1.0, 1.0, (Fraction(1),), tolerance)
        verdict = replay_linear(given, reference, saved, n=n, tolerance=tolerance)
        show_verdicts(console, [verdict])
        emit({"verdicts": [verdict.as_dict()]} | closing(asked.began), asked.json_to)
        return FAILED if any_failed([verdict]) else KEPT
    samples = LINEAR_PROMPTS if asked.samples is None else asked.samples
    posed = _posed(given, asked.header.metadata, asked.letters)
    tolerance = asked.given["tolerance"] or 0.0
    chosen = {name: posed[name] for name in ("n", "B_x", "B_y", "S")}
    check_posed(given, **chosen, tolerance=tolerance)
    announce(judging_linear(given, posed["n"], samples, asked.effort))
    found = judge_linear(
        given,
        **posed,
        tolerance=tolerance,
        reference=reference,
        samples=samples,
        effort=asked.effort,
        seed=asked.seed,
        progress=bars(),
    )
    names = {one: f"counterexample-judge-{one}.json" for one in found.counterexamples}
    verdicts = tuple(
        replace(one, replay=f"{asked.command()} --replay {shlex.quote((asked.out / name).as_posix())}")
        if (name := names.get(one.claim.removeprefix("judge/"))) is not None
        else one
        for one in found.verdicts
    )
    found = replace(found, verdicts=verdicts)
    show_linear(console, found, str(asked.weights), time.perf_counter() - asked.began)
    files = {name: found.counterexamples[one].text for one, name in names.items()}
    return finish_judging(console, asked, "linear", found, linear_document(found, asked.weights), files)


def judge_linear_attention(
    source: Path | Mapping[str, Tensor] | nn.Module,
    n: int | None = None,
    *,
    header: TensorHeader | None = None,
    against: GivenLinear | Path | str | Mapping[str, Tensor] | nn.Module | None = None,
    mask: bool | str | None = None,
    divide_by: str | None = None,
    sign: int | None = None,
    B_x: float | None = None,
    B_y: float | None = None,
    S: str | None = None,
    T: int | None = None,
    d: int | None = None,
    covariates: str | None = None,
    **options: Any,
) -> LinearResults:
    """Judge linear attention of a path, tensors by name, or a module; see docs/judging_linear.md.

    n: examples of a prompt, where the file's metadata do not say.  options: as in `judge_linear`.
    """
    letters = {"n": n, "B_x": B_x, "B_y": B_y, "S": S, "T": T, "d": d, "covariates": covariates}
    letters = {name: value for name, value in letters.items() if value is not None}
    masks: dict[Any, str | None] = {None: None, True: "yes", False: "no", "yes": "yes", "no": "no"}
    signs: dict[Any, str | None] = {None: None, 1: "y", -1: "-y"}
    for name, value, known in (("mask", mask, masks), ("sign", sign, signs)):
        if isinstance(value, list | dict | set) or value not in known:
            raise ProblemError(
                name, value, "it is " + " or ".join(str(one) for one in known if one is not None)
            )
    chosen = {"mask": masks[mask], "divide_by": divide_by, "prediction": signs[sign]}
    given, metadata = _from(source, header, chosen, letters)
    reference = None
    if against is not None:
        reference = _from(Path(against) if isinstance(against, str) else against, None, {}, {})[0]
    return judge_linear(given, **_posed(given, metadata, letters), reference=reference, **options)


def _from(
    source: GivenLinear | Path | Mapping[str, Tensor] | nn.Module,
    header: TensorHeader | None,
    chosen: Mapping[str, Any],
    letters: Mapping[str, Any],
) -> tuple[GivenLinear, Mapping[str, str]]:
    if isinstance(source, GivenLinear):
        return source, {}
    if isinstance(source, Path):
        header = header or read_header(source, "weights")
        return _given(source, header, chosen, letters), header.metadata
    metadata = {}
    masked = getattr(source, "masked", None)
    if isinstance(source, nn.Module) and isinstance(masked, bool):
        metadata = {"M": "diag(1, .., 1, 0)" if masked else "I"}
    tensors = source.state_dict() if isinstance(source, nn.Module) else source
    return _read(tensors, metadata, chosen, letters), {}


def _given(
    path: Path, header: TensorHeader, chosen: Mapping[str, Any], letters: Mapping[str, Any]
) -> GivenLinear:
    return _read(read_tensors(path, "weights", header), header.metadata, chosen, letters)


def _read(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    chosen: Mapping[str, Any],
    letters: Mapping[str, Any],
) -> GivenLinear:
    mask, sign = chosen.get("mask"), chosen.get("prediction")
    for name, value, allowed in (("mask", mask, ("yes", "no")), ("prediction", sign, ("y", "-y"))):
        if value not in (None, *allowed):
            raise ProblemError(name, value, f"it is {' or '.join(allowed)}")
    found = read_linear(
        {name: real_tensor(name, one) for name, one in tensors.items()},
        metadata,
        d=letters.get("d"),
        mask=None if mask is None else mask == "yes",
        divisor=chosen.get("divide_by"),
        sign=None if sign is None else 1 if sign == "y" else -1,
    )
    loops = letters.get("T", _letters(metadata).get("T") if metadata.get("loops") == "any" else None)
    if loops is None:
        return found
    if type(loops) is not int or loops < 1:
        raise ProblemError("T", loops, "a number of loops from 1 is needed")
    return found.looped(loops)


def _letters(metadata: Mapping[str, str]) -> dict[str, Any]:
    text = metadata.get("problem", "{}")
    try:
        found = json.loads(text) if len(text) <= 1 << 16 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProblemError("problem", text, "these metadata are not letters with their values, as JSON")
    return found


def _posed(given: GivenLinear, metadata: Mapping[str, str], letters: Mapping[str, Any]) -> dict[str, Any]:
    """n, the radii, and the covariance of the expected loss; letters replace those in the metadata."""
    told = _letters(metadata)
    n = letters.get("n", told.get("n"))
    if type(n) is not int:
        why = "how many examples a prompt has is not in the metadata; give it, such as --n 20"
        raise ProblemError("n", n, why)
    S: tuple[Fraction, ...] = (Fraction(1),)
    axes: Exact | None = None
    text = letters.get("S", told.get("S"))
    if text is not None and given.d <= 5:
        problem = PreconditionedProblem(d=given.d, n=max(1, min(n, 10_000)), S=str(text))
        S = problem.eigenvalues
        axes = [list(row) for row in problem.rotation] if "S" in told and len(set(S)) > 1 else None
    elif text not in (None, "1"):
        raise ProblemError("S", text, "for d above 5 only 1 is taken, and d is " + str(given.d))
    radii = {}
    for name in ("B_x", "B_y"):
        value = letters.get(name, told.get(name, 1.0))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ProblemError(name, value, "a number is needed")
        radii[name] = float(value)
    covariates = str(letters.get("covariates", told.get("covariates", "normal")))
    return {"n": n, "S": S, "axes": axes, "covariates": covariates, **radii}
