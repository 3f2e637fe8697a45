"""Which readings of the published study tell its curves apart from the mean of the labels, and from ridge.

    python -m icgd.verify.study.readings          # writes reports/studies/icl-networks-readings.csv
    python -m icgd.verify.study.readings --prompts 640 --width 20 --out few.csv

Width, biases, scale of a layer and last activation of the random networks are not stated in arXiv 2411.16549,
nor which R^2 is meant.  For every choice the predictors are measured at the positions over which the
published curves are averaged.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.measures import R2_MEASURES, MeasuredR2, between, measures
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask
from icgd.verify.study.published_curves import PLATEAU, PublishedCurve, published_curves

WIDTHS = (20, 50, 200)
READ_PROMPTS = 3200
PREDICTORS = ("mean", "ridge", "kernel")
SHIFTED_SHARES = (0.9, 0.7, 0.5)
"""Shares of N(-2, I) at which trained transformers were tested away from their training."""
OUT = Path("reports/studies/icl-networks-readings.csv")
_WHERE_SHIFTED = {"share": (20,), "mean": (20, 200)}
"""Widths at which the shifted tests are read, with a linear output."""


@dataclass(frozen=True)
class Reading:
    """One choice of everything that is not stated, and one published test.

    measured: for each measure and predictor the mean over 26 to 50 examples.  between: the share of the
    variance of labels that lies between prompts.
    """

    task: NetworkTask
    share: float
    prompts: int
    seed: int
    between: MeasuredR2
    measured: dict[tuple[str, str], MeasuredR2]

    def verdict(self, curve: PublishedCurve, measure: str, predictor: str) -> str:
        """Where the published plateau is: "above" the predictor, "below" it, or "not apart"."""
        published, found = curve.interval(), self.measured[measure, predictor]
        if math.isnan(found.value):
            return ""
        if not published.disjoint(found):
            return "not apart"
        return "above" if published.value > found.value else "below"

    @property
    def curves(self) -> list[PublishedCurve]:
        """The published curves of this test."""
        key = (self.task.N, self.share, self.task.mean)
        found = [one for one in published_curves() if (one.N, one.share, one.mean) == key]
        return [one for one in found if self.task.mean or one.figure[0] in "34"]  # 5a, 6a show 3b, 4b again


def task_readings(N: int, mean: float = 0.0, widths: Sequence[int] = WIDTHS) -> Iterator[NetworkTask]:
    """Every reading of the task; without biases the scale changes all labels by one factor, and no R^2."""
    for width in widths:
        for biases, scaled in ((False, True), (True, True), (True, False)):
            yield NetworkTask(N, width=width, biases=biases, scaled=scaled, mean=mean)


def read_task(
    task: NetworkTask, share: float = 1.0, prompts: int = READ_PROMPTS, seed: int = 0
) -> Iterator[Reading]:
    """The readings with a linear and with an activated output, on the same networks and inputs.

    The tests away from training are read with a linear output alone.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = task.prompts(prompts, max(PLATEAU), share, generator, dtype=torch.float64)
    for activated in (False, True) if share == 1 and not task.mean else (False,):
        y = drawn.y.relu() if activated else drawn.y
        posed = replace(task, activated=activated)
        yield _measured(NetworkPrompts(drawn.x, y, posed), share, seed)


def _measured(prompts: NetworkPrompts, share: float, seed: int) -> Reading:
    at = list(PLATEAU)
    found: dict[tuple[str, str], MeasuredR2] = {}
    for predictor, predicted in baseline_predictions(prompts, at, PREDICTORS, seed).items():
        numbers = measures(prompts.y, at, predicted, together=True, seed=seed)
        found |= {(measure, predictor): number for measure, (number,) in numbers.items()}
    c = between(prompts.y, seed=seed)
    return Reading(prompts.task, share, prompts.count, seed, c, found)


def published_tests(widths: Sequence[int] = WIDTHS) -> Iterator[tuple[NetworkTask, float]]:
    """Every test whose curves are published, under every reading: the task, and the share of N(-2, I)."""
    for N in (3, 4, 6):
        yield from ((task, 1.0) for task in task_readings(N, widths=widths))
    of_inputs, of_parameters = (
        [width for width in widths if width in _WHERE_SHIFTED[what]] for what in ("share", "mean")
    )
    for N in (3, 4, 6):
        yield from ((task, share) for share in SHIFTED_SHARES for task in task_readings(N, widths=of_inputs))
    for mean in (-0.5, 0.5):
        yield from ((task, 1.0) for task in task_readings(4, mean, of_parameters))


def table_header() -> list[str]:
    """The names of the columns of the table."""
    about = ["N", "share", "parameters", "width", "biases", "scaled", "output", "measure"]
    numbers = [f"{name}{end}" for name in PREDICTORS for end in ("", " low", " high")]
    verdicts = [f"{_CURVES[curve]} against {one}" for one in PREDICTORS for curve in _CURVES]
    return [*about, "between", *numbers, *verdicts, "prompts", "seed"]


_CURVES = {
    ("relu", "transformer"): "ReLU transformer",
    ("softmax", "transformer"): "softmax transformer",
    ("relu", "network"): "network beside ReLU",
    ("softmax", "network"): "network beside softmax",
}


def table_rows(reading: Reading) -> Iterator[list[str]]:
    """The lines of the table, one for each measure."""
    task = reading.task
    curves = {(one.attention, one.curve): one for one in reading.curves}
    for measure in R2_MEASURES:
        yield [
            *(str(task.N), f"{reading.share:g}", f"{task.mean:g}", str(task.width)),
            "yes" if task.biases else "no",
            ("yes" if task.scaled else "no") if task.biases else "either",
            "activated" if task.activated else "linear",
            measure,
            f"{reading.between.value:.4f}",
            *(
                f"{number:.4f}"
                for one in PREDICTORS
                for found in (reading.measured[measure, one],)
                for number in (found.value, found.low, found.high)
            ),
            *(
                reading.verdict(curves[key], measure, one) if key in curves else ""
                for one in PREDICTORS
                for key in _CURVES
            ),
            *(str(reading.prompts), str(reading.seed)),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m icgd.verify.study.readings", description=__doc__)
    parser.add_argument("--prompts", type=int, default=READ_PROMPTS, help="prompts of each test (at least 2)")
    parser.add_argument("--width", type=int, action="append", help="of the random networks; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        if options.prompts < 2:
            raise ProblemError("prompts", options.prompts, "at least 2 are needed")
        if options.seed < 0:
            raise ProblemError("seed", options.seed, "it is at least 0")
        check_writable(options.out)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(table_header())
        for task, share in published_tests(options.width or WIDTHS):
            print(f"N = {task.N}, share {share:g}, {task}", file=sys.stderr)
            for reading in read_task(task, share, options.prompts, options.seed):
                table.writerows(table_rows(reading))
        write_atomically(options.out, text.getvalue())
    except (ProblemError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
