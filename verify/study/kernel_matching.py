"""The experiment of arXiv 2312.06528: attention with the kernel of the data predicts best."""

from __future__ import annotations

import torch

from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.functional import COMPARED, FunctionalProblem
from icgd.verify.kernels.matching import MATCHED, TRIALS, matched
from icgd.verify.study.study import Study, StudyOptions, StudyResult, plot_figure

NAME_OF_MATCHING = "kernel-matching"


def run_matching(options: StudyOptions) -> StudyResult:
    """Test errors over depth for data of one kernel and attention with another."""
    problem = FunctionalProblem()
    with options.progress("compare", TRIALS) as advance:
        grid, plot, verdict = matched(problem, torch.Generator().manual_seed(options.seed), advance)
    layers = max(row[1] for row in grid.rows if isinstance(row[1], int))
    said = [f"{verdict.said}: {verdict.evidence}."]
    for row in grid.rows:
        if row[1] == layers:
            errors = dict(zip(COMPARED, row[2:], strict=True))
            best = min(errors, key=lambda name: float(errors[name] or 0))
            said.append(f"On {row[0]} data {best} attention has the least error at {layers} layers.")
    return StudyResult(
        study=NAME_OF_MATCHING,
        scale=options.scale,
        seed=options.seed,
        settings={"problem": problem.as_dict()},
        trained_on="cpu, step sizes alone are chosen, on prompts of their own",
        said=tuple(said),
        tables=(grid,),
        figures=(plot_figure("error", plot),),
        columns=grid.columns,
        rows=grid.rows,
    )


KERNEL_MATCHING = Study(
    name=NAME_OF_MATCHING,
    title="Which attention fits which data: functional descent with one kernel on data of another",
    source="arXiv 2312.06528, experiments",
    theorems=("functional",),
    task=f"labels from Gaussian processes with the kernels {', '.join(MATCHED)}",
    models=tuple(f"{name} attention, built, its step size chosen" for name in COMPARED),
    baselines=("the limit of each descent; on linear and exp data that of the same kernel is Bayes",),
    measures=("mean squared error over the power of the labels",),
    scales={"tiny": "d = 4, 12 examples, 40 layers, 256 prompts: seconds on a core; nothing is trained"},
    estimate=lambda options: Estimate((Stage("comparing", 20.0),)),
    run=run_matching,
)
