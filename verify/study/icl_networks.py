"""The numerical study of arXiv 2411.16549, Section 5, with the baselines and the measures that it lacked."""

from __future__ import annotations

import time

from icgd.bounds.estimate import Estimate, Stage
from icgd.verify.study.baselines.table import BASELINES
from icgd.verify.study.judged_pieces import judge_pieces, seconds_left
from icgd.verify.study.measures import R2_MEASURES
from icgd.verify.study.network_judging import (
    network_curves,
    network_distances,
    network_tests,
    read_answers,
    read_discrepancies,
)
from icgd.verify.study.network_report import RESULT_COLUMNS, network_figures, network_tables, said_of
from icgd.verify.study.network_scales import CHANGES, find_scale
from icgd.verify.study.study import Study, StudyOptions, StudyResult, folder_of, lines_in_rows
from icgd.verify.study.train_cells import train_cells, trained_steps

NETWORKS = "icl-networks"

_PER_SECOND = 4.5e10
"""Floating-point operations in a second of training on one core."""


def run_networks(options: StudyOptions) -> StudyResult | None:
    """Train, or read, the models; measure them beside every baseline; None where time ended first."""
    began = time.monotonic()
    scale, folder = find_scale(options.scale, options.changes), folder_of(NETWORKS, options)
    seconds = None if options.minutes is None else 60 * options.minutes
    if not options.as_trained:
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
    tests = list(network_tests(scale, options.seed, answers))
    distances = list(network_distances(scale, options.seed, answers))
    stop = lambda: seconds is not None and time.monotonic() - began > seconds  # noqa: E731
    judged = judge_pieces([*(one.piece for one in tests), *distances], folder, options.progress, stop)
    if judged is None:
        options.say("stopped while judging; what is judged is kept")
        return None
    curves = network_curves(tests, judged)
    apart = [one for place in distances for one in read_discrepancies(judged[place.name])]
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


def estimated_networks(options: StudyOptions) -> Estimate:
    """The time that is left of a scale on the device, training first."""
    scale = find_scale(options.scale, options.changes)
    folder = folder_of(NETWORKS, options)
    batch, examples = scale.training.batch, scale.training.examples
    step = scale.seconds
    if not options.device.startswith("cuda"):
        step = 3 * batch * scale.sizes.forward_operations(examples) / _PER_SECOND
    trained = trained_steps(scale, folder)
    seconds = step * sum(scale.training.steps - trained[cell] for cell in scale.cells)
    if options.minutes is not None:
        seconds = min(seconds, 60 * options.minutes)
    tests = seconds_left((one.piece for one in network_tests(scale, options.seed, {})), folder)
    judged = seconds_left(network_distances(scale, options.seed, {}), folder)
    size = 64.0 * batch * scale.sizes.blocks * (2 * examples + 1) ** 2 * scale.sizes.heads
    stages = [Stage("baselines", tests), Stage("distances", judged)]
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
