"""The experiment of arXiv 2410.11268: how many examples T loops need for the error to fall."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.looped import LoopedProblem
from icgd.construct.looped import build
from icgd.verify.given_predictor.nearness import bootstrapped
from icgd.verify.looped import draw_regressions
from icgd.verify.results import Cell, Grid
from icgd.verify.study.study import Study, StudyCurve, StudyFigure, StudyOptions, StudyResult

NAME_OF_LOOPS = "loops-against-examples"
LOOP_COUNTS = (1, 2, 4, 8, 16)
LOOPED_EXAMPLES = (8, 16, 32, 64, 128)
LOOPED_PROMPTS = 512


def loop_errors(
    problem: LoopedProblem, prompts: int, generator: torch.Generator
) -> Float[Tensor, "{problem.T}+1 prompts"]:
    """norm2(w_T - w*) / norm2(w*) after each loop of the built block; w is read off by d queries."""
    drawn, block, d = draw_regressions(problem, prompts, generator), build(problem), problem.d
    units = torch.eye(d, dtype=torch.float64).expand(prompts, d, d)
    reached = torch.stack([block.predict(drawn.x, drawn.y, units[:, k], problem.T) for k in range(d)], dim=-1)
    target = torch.linalg.lstsq(drawn.x, drawn.y[..., None]).solution[..., 0]
    return torch.linalg.vector_norm(reached - target, dim=-1) / torch.linalg.vector_norm(target, dim=-1)


def run_loops(options: StudyOptions) -> StudyResult:
    """The error of every number of loops on every number of examples, at the step size of the theorem."""
    generator = torch.Generator().manual_seed(options.seed)
    usual = replace(LoopedProblem(), T=max(LOOP_COUNTS))
    cells: list[tuple[Cell, ...]] = []
    curves = []
    with options.progress("loop", len(LOOPED_EXAMPLES)) as advance:
        for n in LOOPED_EXAMPLES:
            errors = loop_errors(replace(usual, n=n), LOOPED_PROMPTS, generator)
            found = bootstrapped([errors[list(LOOP_COUNTS)].T], options.seed)
            cells += [(n, T, one.mean, one.low, one.high) for T, one in zip(LOOP_COUNTS, found, strict=True)]
            mean, low, high = (
                tuple(float(getattr(one, part)) for one in found) for part in ("mean", "low", "high")
            )
            curves.append(StudyCurve(f"{n} examples", tuple(map(float, LOOP_COUNTS)), mean, low, high))
            advance(1)
    table: tuple[tuple[Cell, ...], ...] = tuple(
        (n, *(f"{row[2]:.3g} ({row[3]:.3g} to {row[4]:.3g})" for row in cells if row[0] == n))
        for n in LOOPED_EXAMPLES
    )
    rate = {n: _rate([float(row[2] or 0) for row in cells if row[0] == n]) for n in LOOPED_EXAMPLES}
    said = (
        "A loop multiplies the mean error by "
        + ", ".join(f"{rate[n]:.3g} at {n} examples" for n in LOOPED_EXAMPLES)
        + f" ({LOOP_COUNTS[-2]} to {LOOP_COUNTS[-1]} loops, d = {usual.d}): the number of examples sets the "
        "rate, whatever the number of loops.",
    )
    columns = ("examples", "loops", "error", "low", "high")
    headings = ("examples", *(f"T = {T}" for T in LOOP_COUNTS))
    note = (
        f"mean of norm2(w_T - w*) / norm2(w*) over {LOOPED_PROMPTS} prompts, with bootstrap intervals of 95%"
    )
    return StudyResult(
        study=NAME_OF_LOOPS,
        scale=options.scale,
        seed=options.seed,
        settings={
            "problem": usual.as_dict() | {"n": list(LOOPED_EXAMPLES)},
            "loops": list(LOOP_COUNTS),
            "prompts": LOOPED_PROMPTS,
        },
        trained_on="cpu, the built block; nothing is trained",
        said=said,
        tables=(Grid("Error after T loops", headings, table, note),),
        figures=(
            StudyFigure("error", "Error after T loops", "loops T", "relative error", tuple(curves), "y"),
        ),
        columns=columns,
        rows=tuple(cells),
    )


def _rate(errors: list[float]) -> float:
    """By how much one of the last loops multiplies the error."""
    return math.exp(math.log(errors[-1] / errors[-2]) / (LOOP_COUNTS[-1] - LOOP_COUNTS[-2]))


LOOPS_AGAINST_EXAMPLES = Study(
    name=NAME_OF_LOOPS,
    title="Loops against examples: T loops of one block, with n examples in context",
    source="arXiv 2410.11268, Section 6",
    theorems=("looped",),
    task="linear regression in context without noise, standard normal inputs and weights",
    models=("one block of linear attention, built, looped 1 to 16 times",),
    baselines=("least squares, the limit of all loops",),
    measures=("relative distance of the weights from least squares",),
    scales={"tiny": "d = 4, 8 to 128 examples, 512 prompts each: seconds on a core; nothing is trained"},
    estimate=lambda options: Estimate((Stage("looping", 5.0),)),
    run=run_loops,
)
