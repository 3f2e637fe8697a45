"""The experiment of arXiv 2306.00297: training deep linear attention reaches the predicted matrices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.algebra.best_steps import best_steps
from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.preconditioned import AS_PUBLISHED, PreconditionedProblem
from icgd.construct.preconditioned import family, sparse
from icgd.verify.linear_attention.cubature import ensemble
from icgd.verify.linear_attention.training import Run, train
from icgd.verify.results import Cell, Grid
from icgd.verify.study.study import Study, StudyCurve, StudyFigure, StudyOptions, StudyResult

NAME_OF_TRAINING = "preconditioned-training"
TRAINED_DEPTHS = (1, 2, 3, 4)
TRAINED_STARTS = 3
_REACHED = 1e-4
"""Relative distance from the prediction below which training has reached it."""
_MOST_PROMPTS = 60_000


def train_depth(
    problem: PreconditionedProblem, starts: int, generator: torch.Generator
) -> tuple[float, list[Run]]:
    """The predicted loss at the problem's depth, and training runs over all entries of A_l.

    The loss is the expectation over all prompts, exactly, so nothing is sampled but the starts.
    """
    d, L = problem.d, problem.L
    prompts = ensemble(problem, 2 * L, True, generator, _MOST_PROMPTS)
    assert prompts.exact, "the weighted prompts of this depth are too many"
    best = best_steps(problem.n, d, L)
    targets = [family(problem, order).A for order in set(permutations(best.a))]

    def loss(z: Float[Tensor, " size"]) -> Float[Tensor, ""]:
        return prompts.loss(*sparse(z.reshape(L, d, d), None, AS_PUBLISHED.sign))

    def apart(z: Float[Tensor, " size"]) -> float:
        A = z.reshape(L, d, d)
        return min(float((A - target).norm() / target.norm()) for target in targets)

    first = [0.3 * torch.randn(L * d * d, generator=generator, dtype=torch.float64) for _ in range(starts)]
    return float(best.loss), [train(loss, one, apart) for one in first]


def run_training(options: StudyOptions) -> StudyResult:
    """Train at every depth from random matrices; compare the ends with the predicted ones."""
    generator = torch.Generator().manual_seed(options.seed)
    rows: list[tuple[Cell, ...]] = []
    curves, said = [], []
    with options.progress("train", sum(TRAINED_DEPTHS)) as advance:
        for L in TRAINED_DEPTHS:
            problem = PreconditionedProblem(L=L)
            predicted, runs = train_depth(problem, TRAINED_STARTS, generator)
            for number, run in enumerate(runs):
                rows.append((L, number, len(run.losses) - 1, run.loss, predicted, run.distances[-1]))
            nearest = min(runs, key=lambda run: run.distances[-1])
            steps = tuple(float(i) for i in range(len(nearest.distances)))
            away = tuple(max(one, 1e-16) for one in nearest.distances)
            curves.append(StudyCurve(f"{L} layer{'s' * (L > 1)}", steps, away))
            said.append(_said(L, predicted, runs))
            advance(L)
    columns = ("layers", "start", "iterations", "loss", "predicted loss", "distance")
    note = (
        "L-BFGS on the expected loss over all entries of A_l; distance: relative, in Frobenius norm, from "
        "the nearest order of the predicted layers"
    )
    table = Grid("Where training from random matrices ends", columns, tuple(rows), note)
    figure = StudyFigure(
        "distance",
        "Distance from the predicted matrices, the nearest start of each depth",
        "iteration",
        "relative distance",
        tuple(curves),
        "y",
    )
    return StudyResult(
        study=NAME_OF_TRAINING,
        scale=options.scale,
        seed=options.seed,
        settings={"problem": PreconditionedProblem().as_dict() | {"L": list(TRAINED_DEPTHS)}},
        trained_on=f"cpu, {TRAINED_STARTS} random starts a depth",
        said=tuple(said),
        tables=(table,),
        figures=(figure,),
        columns=columns,
        rows=tuple(rows),
    )


def _said(L: int, predicted: float, runs: Sequence[Run]) -> str:
    reached = sum(run.distances[-1] <= _REACHED for run in runs)
    least = min(run.loss for run in runs)
    below = least < predicted * (1 - 1e-6)
    lower = f"; a run ends below the predicted loss, at {least:.6g} of {predicted:.6g}" if below else ""
    return (
        f"{L} layer{'s' * (L > 1)}: {reached} of {len(runs)} starts end at the predicted matrices, to a "
        f"relative distance of {_REACHED:g}{lower}."
    )


PRECONDITIONED_TRAINING = Study(
    name=NAME_OF_TRAINING,
    title="Training deep linear attention reaches preconditioned descent",
    source="arXiv 2306.00297, experiments",
    theorems=("preconditioned",),
    task="linear regression in context, inputs with covariance S, weights with covariance S^-1",
    models=("linear attention of 1 to 4 layers, all entries of A_l trained",),
    baselines=("Theorem 3's matrices at their best steps",),
    measures=("relative distance of the trained matrices from the predicted", "expected loss, exactly"),
    scales={"tiny": "d = 2, depths 1 to 4, seconds on a core; the paper trains d = 5 on samples with Adam"},
    estimate=lambda options: Estimate((Stage("training", 20.0),)),
    run=run_training,
)
