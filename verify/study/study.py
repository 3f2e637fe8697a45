"""A study: an experiment of a paper, run again with the baselines and the measures that it lacked."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.verify.results import Cell, Grid, Plot


@dataclass(frozen=True)
class StudyCurve:
    """A curve of a figure.  low, high: the ends of its intervals, or empty.  published: drawn as dots."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    published: bool = False


@dataclass(frozen=True)
class StudyFigure:
    """A figure as data.  key: its name in files.  logarithmic: "", "x", "y" or "xy".

    shown: whether reports draw it; the others are in the files of the result alone.
    """

    key: str
    title: str
    x: str
    y: str
    curves: tuple[StudyCurve, ...]
    logarithmic: str = ""
    shown: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StudyFigure:
        """The inverse of `asdict`, also after a round trip through JSON."""
        tuples = ("x", "y", "low", "high")
        curves = []
        for one in values["curves"]:
            parts: dict[str, Any] = {
                name: tuple(part) if name in tuples else part for name, part in one.items()
            }
            curves.append(StudyCurve(**parts))
        return cls(**{**values, "curves": tuple(curves)})


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How a study is run.  out: a folder for its files.  minutes: after which it stops at a checkpoint.

    as_trained: whether nothing is trained, and the models are those in the folder.  changes: of the scale,
    by name.
    """

    scale: str = "tiny"
    seed: int = 0
    device: str = "cpu"
    out: Path = Path("out/study")
    minutes: float | None = None
    as_trained: bool = False
    changes: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default=silent, compare=False)
    say: Callable[[str], None] = field(default=print, compare=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyResult:
    """What a study found.  columns, rows: every number, one line each.  said: its sentences.

    settings: what was trained and tested.  trained_on: what the models were trained on, in words.
    """

    study: str
    scale: str
    seed: int
    settings: Mapping[str, Any]
    trained_on: str
    said: tuple[str, ...]
    tables: tuple[Grid, ...]
    figures: tuple[StudyFigure, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the lines, as plain values."""
        return {
            "study": self.study,
            "scale": self.scale,
            "seed": self.seed,
            "settings": dict(self.settings),
            "trained_on": self.trained_on,
            "said": list(self.said),
            "tables": [asdict(one) for one in self.tables],
            "figures": [asdict(one) for one in self.figures],
        }

    def as_csv(self) -> str:
        """The lines as a table of text."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        table.writerows(
            [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in self.rows
        )
        return text.getvalue()


@dataclass(frozen=True, eq=False)
class Study:
    """An experiment: a task, models, baselines, measures and scales.

    theorems: those that it is about, by name.  task, models, baselines, measures: in words.  scales: what
    each size shows, by name.  estimate: the cost at given options, in advance.  run: the result; None where
    it stopped before its end, to be run again.  changes: the names of what can be changed in a scale.
    """

    name: str
    title: str
    source: str
    theorems: tuple[str, ...]
    task: str
    models: tuple[str, ...]
    baselines: tuple[str, ...]
    measures: tuple[str, ...]
    scales: Mapping[str, str]
    estimate: Callable[[StudyOptions], Estimate]
    run: Callable[[StudyOptions], StudyResult | None]
    changes: tuple[str, ...] = ()

    def check_options(self, options: StudyOptions) -> None:
        """Raises ProblemError where the study has no such scale, or nothing of that name to change."""
        if options.scale not in self.scales:
            allowed = f"the scales of {self.name} are {', '.join(self.scales)}"
            raise ProblemError("scale", options.scale, allowed)
        for name in options.changes:
            if name not in self.changes:
                known = f"what can be changed in {self.name} is {', '.join(self.changes) or 'nothing'}"
                raise ProblemError("with", name, known)


def plot_figure(key: str, plot: Plot) -> StudyFigure:
    """A plot of a theorem as a figure of a study."""
    curves = tuple(StudyCurve(one.label, one.x, one.y) for one in plot.curves)
    return StudyFigure(key, plot.title, plot.x, plot.y, curves, plot.logarithmic)


def folder_of(study: str, options: StudyOptions) -> Path:
    """Where the files of a study lie: `options.out`, then its name, its scale and what is changed in it."""
    changed = (f"-{name}-{value}" for name, value in sorted(options.changes.items()))
    return options.out / f"{study}-{options.scale}{''.join(changed)}"


def lines_in_rows(
    columns: Sequence[str], lines: Sequence[Mapping[str, Cell]]
) -> tuple[tuple[Cell, ...], ...]:
    """Lines by name as rows; what a line lacks is empty."""
    return tuple(tuple(line.get(name) for name in columns) for line in lines)
