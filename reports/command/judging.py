"""Prints and documents what was found out about a block that others built."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.letters import ProblemError
from icgd.construct.block.given_block import GivenBlock
from icgd.reports.command.terminal import show_doubts, show_grid, show_trusted
from icgd.reports.document.data_used import data_document
from icgd.verify import workload
from icgd.verify.given_block.judge import BlockResults
from icgd.verify.given_block.measures import MEASURES, numbers_for, rows_at_once
from icgd.verify.given_block.prompt_ascent import CLIMBS
from icgd.verify.results import Grid
from icgd.verify.verdict import Verdict

_PER_SECOND = 3e9
"""Multiplications of matrices that one core does in a second, with everything around them."""


def judging(block: GivenBlock, samples: int, effort: float) -> Estimate:
    """Estimate of judging a block: a plan for the proof, random prompts, ascents, properties."""
    climbed = 6 * effort * min(1.0, effort) * sum(this.points * this.iterations for this in CLIMBS)
    count = samples + climbed + 400 * len(MEASURES)
    try:
        rows_at_once(block)
    except ProblemError:  # then no prompt is run at all
        count = 0
    run = count * numbers_for(block) / _PER_SECOND
    search = Stage("search", run, letter="samples and effort" if effort else "samples", value=samples)
    return Estimate((workload.START, search)) + workload.planning(block.problem, "lean")


def show_block(console: Console, block: GivenBlock, found: BlockResults, source: str, seconds: float) -> None:
    """Print what a block is, which descent it comes near to, and every verdict."""
    sizes = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found.census.items())
    console.print(f"[bold]{escape(source)}[/]: {block.attention} attention, {sizes}", highlight=False)
    console.print(escape(block.problem.options), style="dim", soft_wrap=True)
    console.print(escape(found.conclusion), highlight=False)
    show_doubts(console, found.data)
    for grid in found.grids:
        show_grid(console, grid)
    rows = tuple((one.claim, one.said, one.evidence) for one in found.verdicts)
    show_grid(console, Grid("Verdicts", ("claim", "verdict", "evidence"), rows))
    if found.proved:
        show_trusted(console, found.recovery.trusted)
    show_replays(console, found.verdicts)
    console.print(f"seed {found.seed}, {seconds:.1f} s", style="dim")


def show_replays(console: Console, verdicts: tuple[Verdict, ...]) -> None:
    """Print the commands that replay failures, each on one line."""
    for one in verdicts:
        if one.replay:
            console.print(f"replay: {escape(one.replay)}", highlight=False, soft_wrap=True)


def block_document(block: GivenBlock, found: BlockResults, path: Path) -> dict[str, Any]:
    """Every number about a judged file, as plain values."""
    return {
        "weights": {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "conclusion": found.conclusion,
        "problem": found.problem.as_dict(),
        "construction": found.construction,
        "own_sums": found.recovery.own,
        "not_proved": found.recovery.why,
        "attention": block.attention,
        "census": dict(found.census),
        "step_error": {
            "sampled": found.sampled,
            "attacked": found.attacked,
            "certified": found.certified,
            "allowed": found.allowed,
        },
        "descent": [
            {"matrix": f"V{one.layer}", "factor": one.factor, "unexplained": one.unexplained}
            for one in found.factors
        ],
        "verdicts": [one.as_dict() for one in found.verdicts],
        "trusted": list(found.recovery.trusted),
        "seed": found.seed,
        **({"data": data_document(found.data)} if found.data else {}),
    }


def counterexample_files(found: BlockResults) -> Mapping[str, str]:
    """Name -> text of the file of each counterexample."""
    return {f"counterexample-judge-{name}.json": one.text for name, one in found.counterexamples.items()}
