"""Prints and documents what was measured about a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from icgd.bounds.estimate import Estimate, Stage
from icgd.construct.gpt2 import GPT2
from icgd.reports.command.terminal import show_grid, show_verdicts
from icgd.verify import workload
from icgd.verify.given_predictor.judge import PredictorResults
from icgd.verify.given_predictor.nearness import BootstrapInterval
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import RegressionTask

_MULTIPLICATIONS = 1.5e10
"""How many one core does in a second in a model, with everything around them."""


def measuring(model: GPT2, task: RegressionTask) -> Estimate:
    """Estimate of measuring a GPT-2: every prompt once, half of the longest ones for each change of them."""
    tokens = sum(2 * n + 1 for n in task.lengths) + 5 * task.n + 5 * task.n
    run = float(task.prompts) * tokens * model.sizes.weights / _MULTIPLICATIONS
    fit = 1.5e-5 * task.prompts * task.d * len(task.lengths)
    return Estimate(
        (workload.START, Stage("answers", run, letter="samples", value=task.prompts), Stage("fits", fit))
    )


def show_predictor(console: Console, found: PredictorResults, source: str, seconds: float) -> None:
    """Print the conclusion, what else must be known, and every table."""
    console.print(f"[bold]{escape(source)}[/]: {escape(found.name)}", highlight=False)
    console.print(escape(found.task.options), style="dim", soft_wrap=True)
    console.print(escape(found.conclusion), highlight=False)
    for remark in found.remarks:
        console.print(f"Note: {escape(remark)}", highlight=False)
    for grid in found.grids:
        show_grid(console, grid)
    if found.verdicts:
        show_verdicts(console, list(found.verdicts))
    console.print(f"seed {found.seed}, {seconds:.1f} s", style="dim")


def predictor_document(found: PredictorResults) -> dict[str, Any]:
    """Every number that was measured, as plain values."""
    return {
        "conclusion": found.conclusion,
        "proved": False,
        "remarks": list(found.remarks),
        "predictor": found.name,
        "called_with": found.arrays,
        "problem": found.task.as_dict(),
        "nearest": list(found.tied),
        "runner_up": found.others[0] if found.others else None,
        "unexplained": found.left,
        "distances": {name: asdict(one) for name, one in found.apart.items()},
        "lengths": [
            {
                "n": one.n,
                "spread": one.spread,
                "error": asdict(one.error),
                "references": [
                    {
                        "reference": row.reference,
                        "in_words": REFERENCES[row.reference].words([row.parameters]),
                        "parameters": list(row.parameters),
                        "distance": asdict(row.apart),
                        "error": asdict(row.error),
                    }
                    for row in one.rows
                ],
            }
            for one in found.lengths
        ],
        "sensitivities": [
            {
                "reference": one.reference,
                "query": _interval(one.by_query),
                "labels": _interval(one.by_labels),
            }
            for one in found.sensitivities
        ],
        "gradients_by": found.gradients_by,
        "moves": {name: one.change for name, one in found.dependences.items()},
        "out_of_distribution": {
            name: {
                "prompts": one.words,
                "error": _interval(one.error),
                "distances": _intervals(one.apart),
                "errors_of_references": _intervals(one.errors),
                "not_run": one.refused or None,
            }
            for name, one in found.shifted.items()
        },
        "verdicts": [one.as_dict() for one in found.verdicts],
        "seed": found.seed,
    }


def _interval(one: BootstrapInterval | None) -> dict[str, float] | None:
    return None if one is None else asdict(one)


def _intervals(found: Mapping[str, BootstrapInterval]) -> dict[str, dict[str, float]]:
    return {name: asdict(one) for name, one in found.items()}
