"""The numerical study of arXiv 2411.16549, Section 5, with the baselines and the measures that it lacked."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import write_atomically
from icgd.verify.study.baselines.table import BASELINES, baseline_predictions
from icgd.verify.study.discrepancy import Discrepancy, discrepancies
from icgd.verify.study.measures import R2_MEASURES, measures
from icgd.verify.study.network_report import (
    RESULT_COLUMNS,
    MeasuredCurve,
    network_figures,
    network_tables,
    said_of,
)
from icgd.verify.study.network_scales import CHANGES, NetworkCell, NetworkScale, PromptCondition, find_scale
from icgd.verify.study.network_task import NetworkPrompts
from icgd.verify.study.study import Study, StudyOptions, StudyResult, folder_of, lines_in_rows
from icgd.verify.study.train_cells import CellFiles, train_cells

NETWORKS = "icl-networks"
QUICK = tuple(name for name, one in BASELINES.items() if not one.slow)
SLOW = ("network, best epoch", "network, last epoch", "network, validated", "exact", "lean")

_PER_SECOND = 3e10
"""Floating-point operations in a second of training on two cores."""
_KIND = {"mean": "trivial", "last": "trivial", "exact": "constructed", "lean": "constructed"}


@dataclass(frozen=True, eq=False)
class Answers:
    """What a trained model answered.  tests: by condition (B, len(at)); judged: by step (B, examples).

    device: the kind of device that it was trained on.
    """

    step: int
    device: str
    tests: dict[str, Tensor]
    judged: dict[int, Tensor]


def run_networks(options: StudyOptions) -> StudyResult | None:
    """Train, or read, the models; measure them beside every baseline; None where training was stopped."""
    scale, folder = find_scale(options.scale, options.changes), folder_of(NETWORKS, options)
    if not options.as_trained:
        seconds = None if options.minutes is None else 60 * options.minutes
        finished = train_cells(
            scale,
            folder,
            options.seed,
            options.device,
            seconds=seconds,
            progress=options.progress,
            say=options.say,
        )
        if not finished:
            return None
    answers = {cell: read_answers(scale, cell, folder, options.seed) for cell in scale.cells}
    curves = list(_measured(scale, answers, folder, options))
    apart = list(_apart(scale, answers, options))
    lines = [line for curve in curves for line in curve.lines()]
    changed = "".join(f", {name} {value}" for name, value in options.changes.items())
    steps = sorted({one.step for one in answers.values()})
    devices = " or ".join(sorted({one.device for one in answers.values()}))
    trained = f"trained on {devices}, {' or '.join(f'{step:,}' for step in steps)} steps"
    return StudyResult(
        study=NETWORKS,
        scale=scale.name,
        seed=options.seed,
        settings=scale.as_dict() | {"steps": steps, "changes": dict(options.changes)},
        trained_on=trained,
        said=(f"Scale {scale.name}{changed}: {scale.words}.", *said_of(scale, curves, apart)),
        tables=tuple(network_tables(scale, curves, apart)),
        figures=tuple(network_figures(scale, curves, apart)),
        columns=RESULT_COLUMNS,
        rows=lines_in_rows(RESULT_COLUMNS, lines),
    )


def read_answers(scale: NetworkScale, cell: NetworkCell, folder: Path, seed: int) -> Answers:
    """The answers that training kept; raises ProblemError where they are missing, or to other prompts."""
    path = CellFiles(folder, cell).answers
    if not path.is_file():
        raise ProblemError("as-trained", path, "there is no such file; leave the option out to train it")
    with np.load(path, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    posed = json.loads(str(arrays["posed"]))
    wanted = {"task": asdict(scale.task_of(cell.N)), "seed": seed}
    if any(posed[name] != value for name, value in wanted.items()):
        raise ProblemError("out", path, "its answers are of another task or seed; choose another folder")
    tests = {}
    for condition in scale.conditions(cell.N):
        y = scale.test_prompts(cell.N, condition, seed).y[:64, list(scale.at)].numpy()
        known = arrays[f"labels {condition.name}"]
        if known.shape != y.shape or np.abs(known - y).max() > 1e-3 * np.abs(y).max():
            why = "its answers are to prompts that are not drawn here; train again, with this version"
            raise ProblemError("out", path, why)
        tests[condition.name] = torch.from_numpy(arrays[f"test {condition.name}"])
    judged = {
        int(name.removeprefix("judged-")): torch.from_numpy(one)
        for name, one in arrays.items()
        if name.startswith("judged-")
    }
    return Answers(int(arrays["step"]), posed["device"], tests, judged)


def _measured(
    scale: NetworkScale, answers: dict[NetworkCell, Answers], folder: Path, options: StudyOptions
) -> Iterator[MeasuredCurve]:
    """Every predictor under every condition, measured."""
    conditions = [(N, one) for N in scale.depths for one in scale.conditions(N)]
    with options.progress("baselines and measures", len(conditions)) as advance:
        for N, condition in conditions:
            prompts = scale.test_prompts(N, condition, options.seed)
            for cell, one in answers.items():
                if cell.N == N:
                    yield _curve(scale, prompts, condition, f"{cell.attention} transformer", one, options)
            for names, (count, at) in ((QUICK, (scale.prompts, scale.at)), (SLOW, scale.slow)):
                if names is QUICK or condition.name == "share 1.0":
                    few = prompts[: min(count, scale.prompts)]
                    told = _kept_baselines(few, at, names, folder, condition, options.seed)
                    for name, predicted in told.items():
                        kind = _KIND.get(name, "network" if name.startswith("network") else "regression")
                        found = measures(few.y, at, predicted, seed=options.seed)
                        yield MeasuredCurve(name, kind, N, condition, tuple(at), len(few.y), found)
            advance(1)


def _curve(
    scale: NetworkScale,
    prompts: NetworkPrompts,
    condition: PromptCondition,
    name: str,
    one: Answers,
    options: StudyOptions,
) -> MeasuredCurve:
    found = measures(prompts.y, scale.at, one.tests[condition.name], seed=options.seed)
    N = prompts.task.N
    return MeasuredCurve(name, "trained", N, condition, scale.at, len(prompts.y), found)


def _kept_baselines(
    prompts: NetworkPrompts,
    at: tuple[int, ...],
    names: tuple[str, ...],
    folder: Path,
    condition: PromptCondition,
    seed: int,
) -> dict[str, Tensor]:
    """Baselines, read from the folder where they were computed before, as they take minutes."""
    shift = f"{condition.share:g}-{condition.mean:g}"
    kind = "quick" if names == QUICK else "slow"
    path = folder / f"baselines-{kind}-{prompts.task.N}-{shift}.npz"
    posed = json.dumps([asdict(prompts.task), len(prompts.y), list(at), list(names), seed])
    if path.is_file():
        with np.load(path, allow_pickle=False) as held:
            if str(held["posed"]) == posed:
                return {name: torch.from_numpy(held[name]) for name in names}
    found = baseline_predictions(prompts, at, names, seed)
    buffer = io.BytesIO()
    arrays = {name: one.numpy() for name, one in found.items()}
    arrays["posed"] = np.array(posed)
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())
    return found


def _apart(
    scale: NetworkScale, answers: dict[NetworkCell, Answers], options: StudyOptions
) -> Iterator[Discrepancy]:
    """How far every model was from every reference, over its training."""
    places = [(N, k) for N in scale.depths for k in scale.judged[1]]
    with options.progress("what they compute", len(places)) as advance:
        for N, k in places:
            given = {
                (cell.name, step): one.judged[step][:, scale.judged[1].index(k)]
                for cell, one in answers.items()
                if cell.N == N
                for step in sorted(one.judged)
            }
            yield from discrepancies(scale.judged_prompts(N, options.seed), k, given, options.seed)
            advance(1)


def estimated_networks(options: StudyOptions) -> Estimate:
    """The time that a scale takes on the device, training first."""
    scale = find_scale(options.scale, options.changes)
    batch, examples, steps = scale.training.batch, scale.training.examples, scale.training.steps
    step = scale.seconds
    if not options.device.startswith("cuda"):
        step = 3 * batch * scale.sizes.forward_operations(examples) / _PER_SECOND
    seconds = step * steps * len(scale.cells)
    if options.minutes is not None:
        seconds = min(seconds, 60 * options.minutes)
    count, at = scale.slow
    slow = 0.08 * count * sum(at) * len(scale.depths) / 3
    quick = 1.5e-4 * scale.prompts * max(scale.at) / 20 * sum(len(scale.conditions(N)) for N in scale.depths)
    judged = 10.0 * len(scale.depths) * len(scale.judged[1])
    size = 64.0 * batch * scale.sizes.blocks * (2 * examples + 1) ** 2 * scale.sizes.heads
    stages = [Stage("baselines", slow + quick), Stage("distances", judged)]
    if not options.as_trained:
        stages.insert(0, Stage("training", seconds, size, "scale", scale.name))
    return Estimate(tuple(stages))


ICL_NETWORKS = Study(
    name=NETWORKS,
    title="In-context training of N-layer networks by trained transformers",
    source="arXiv 2411.16549, Section 5 and Appendix F, Figures 3 to 7",
    theorems=("relu-icgd", "softmax-icgd"),
    task="inputs around -2 or 2, labels of a random N-layer ReLU network for each prompt, N = 3, 4, 6",
    models=("a GPT-2 with softmax attention, trained", "the same with ReLU attention, trained"),
    baselines=tuple(one.said for one in BASELINES.values()),
    measures=tuple(f"{name}: {said}" for name, said in R2_MEASURES.items()),
    scales={name: find_scale(name).words for name in ("tiny", "small", "paper")},
    estimate=estimated_networks,
    run=run_networks,
    changes=tuple(CHANGES),
)
