"""A sweep: one theorem on the problems of a grid, from what was asked to the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.printable import printable
from icgd.bounds.progress import Progress, silent
from icgd.bounds.tabular import Tabular
from icgd.verify.catalogue import command_name, find_theorem
from icgd.verify.search.options import BRIEF, Search
from icgd.verify.sweeps.cluster import check_scheduler, cluster_workers
from icgd.verify.sweeps.letter_grid import LetterGrid
from icgd.verify.sweeps.problem_row import SWEEP_STEPS, expected
from icgd.verify.sweeps.release import release
from icgd.verify.sweeps.row_store import RowStore
from icgd.verify.sweeps.run import Workers, local_workers, run_tasks
from icgd.verify.sweeps.sweep_table import write_table
from icgd.verify.sweeps.task import Task, problem_task
from icgd.verify.theorem import Theorem

SWEEP_FOLDER = Path("out/sweep")

_ESTIMATED = 200
"""The most problems of a grid whose time is estimated; the others are taken to be like the one before."""


@dataclass(frozen=True, eq=False, repr=False)
class SweptTable(Tabular):
    """The rows of a sweep in the order of its grid, and texts about it."""

    rows: Sequence[Mapping[str, Any]]
    about: Mapping[str, str]

    @property
    def table_rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows themselves."""
        return self.rows

    @property
    def table_about(self) -> Mapping[str, str]:
        """The texts themselves."""
        return self.about

    def __repr__(self) -> str:
        done = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items())
        return printable(f"<sweep of {self.about.get('theorem')} over {self.about.get('grid')}: {done}>")

    @property
    def outcomes(self) -> Counter[str]:
        """How many problems were done, refused, or crashed."""
        return Counter(str(row["outcome"]) for row in self.rows)

    @property
    def reasons(self) -> Counter[str]:
        """Why problems have no whole row, the most frequent first."""
        return Counter(str(row["reason"]) for row in self.rows if row["reason"])

    @property
    def failed(self) -> bool:
        """Whether a claim failed, or icgd itself."""
        return any(row.get("failed_claims") or row["outcome"] == "crashed" for row in self.rows)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write table.parquet and table.csv; returns their paths."""
        return write_table(self.arrow, folder)


@dataclass(frozen=True, eq=False, repr=False)
class PosedSweep:
    """What a sweep will do.  refused: for problems of the grid that are impossible, why.

    Raises ProblemError, from `pose_sweep`, where nothing of the grid is possible.
    """

    theorem: Theorem
    grid: LetterGrid
    tasks: tuple[Task, ...]
    steps: tuple[str, ...]
    refused: Counter[str]

    def __repr__(self) -> str:
        posed = f"{len(self.tasks):,} problems of {self.theorem.name}, {self.refused.total():,} impossible"
        return printable(f"<sweep over {self.grid}: {posed}, about {self.seconds:.0f} s>")

    @property
    def seconds(self) -> float:
        """The expected time on one core, once the libraries are loaded."""
        return sum(task.seconds for task in self.tasks)

    def run(
        self,
        workers: Callable[[], AbstractContextManager[Workers]],
        folder: Path = SWEEP_FOLDER,
        progress: Progress = silent,
    ) -> SweptTable:
        """Compute what is not in the folder yet, and return the whole table."""
        rows = run_tasks(self.tasks, workers, row_store(folder), progress)
        about = {"theorem": self.theorem.name, "grid": str(self.grid), "with": " ".join(self.steps)}
        return SweptTable(rows, {**about, "release": release()})


def row_store(folder: Path) -> RowStore:
    """The rows that sweeps with this folder keep."""
    return RowStore(folder / "rows")


def pose_sweep(
    theorem: str | Path | Theorem,
    grid: str,
    letters: Mapping[str, Any] | None = None,
    search: Search | None = None,
    steps: Sequence[str] = (),
) -> PosedSweep:
    """The sweep over a grid, at these letters elsewhere; search: its construction, seed, samples and effort.

    steps: of `SWEEP_STEPS`; without any, only bounds are computed.  A grid may have the letters of the
    theorem, its construction, and seed.
    """
    about = theorem if isinstance(theorem, Theorem) else find_theorem(theorem)
    search, letters = search or Search(**BRIEF), {} if letters is None else letters
    if not isinstance(letters, Mapping):
        raise ProblemError("letters", letters, 'letters by name are needed, such as {"d": 2}')
    if not isinstance(grid, str):
        raise ProblemError("grid", grid, 'a text is needed, such as "N=2:4 eps=0.1,0.05"')
    steps = steps.split() if isinstance(steps, str) else steps
    _check_steps(about, steps)
    kinds = about.letters.kinds() | {"seed": int} | ({"construction": str} if about.constructions else {})
    points = LetterGrid.parse(grid, kinds)
    for axis in points.axes:
        if axis.letter in letters:
            why = f"the grid has values of {axis.letter}, too; leave one of them out"
            raise ProblemError(axis.letter, letters[axis.letter], why)
    chosen = {"seed": search.seed or None, "construction": search.construction}
    for name in (axis.letter for axis in points.axes if chosen.get(axis.letter) is not None):
        raise ProblemError(name, chosen[name], f"the grid has values of {name}, too; leave one of them out")
    tasks, refused, first, seconds = [], Counter[str](), None, 0.0
    stride = -(-len(points) // _ESTIMATED)
    for index, point in enumerate(points):
        values = {**letters, **point}
        one = replace(
            search,
            seed=values.pop("seed", search.seed),
            construction=values.pop("construction", search.construction),
        )
        construction = about.chosen(one.construction).get("construction")
        one = replace(one, construction=construction)
        try:
            problem = about.letters.parse(values)
            posed = problem.as_dict()
            values = posed | {name: value for name, value in values.items() if name not in posed}
            if construction:
                about.applies(problem, construction=construction)
            if index % stride == 0:
                seconds = _seconds(about, problem, one, steps)
        except ProblemError as error:
            first = first or error
            refused[str(error)] += 1
            values = {**about.letters.defaults(), **values}
        tasks.append(problem_task(about, values, construction, one, steps, seconds))
    if first and refused.total() == len(tasks):
        raise first
    return PosedSweep(about, points, tuple(tasks), tuple(s for s in SWEEP_STEPS if s in steps), refused)


def _seconds(theorem: Theorem, problem: Letters, search: Search, steps: Sequence[str]) -> float:
    search = replace(search, certify="certify" in steps, effort=search.effort if "attack" in steps else 0.0)
    return 0.02 + expected(theorem, problem, search, steps).seconds


def _check_steps(theorem: Theorem, steps: Sequence[str]) -> None:
    """Raises ProblemError for a word that is no step, and for a step that the theorem does not have."""
    needs = {"attack": "effort", "certify": "certify"}
    for step in steps:
        if step not in SWEEP_STEPS:
            raise ProblemError("with", step, f"it may be {', '.join(SWEEP_STEPS)}")
        if step in needs and needs[step] not in theorem.options:
            raise ProblemError(
                "with", step, f"{theorem.name} has no such step; verify judges all of its claims"
            )
        if step == "build" and theorem.model is None:
            raise ProblemError("with", step, f"{theorem.name} is about the transformer of another theorem")


def chosen_workers(
    theorem: Theorem, jobs: int = 1, scheduler: str | None = None, executor: Executor | None = None
) -> Callable[[], AbstractContextManager[Workers]]:
    """Processes on this machine, the workers of a Dask scheduler, or those of an executor that is given.

    Raises ProblemError for what is no address, and where a cluster could not find the theorem's file.
    """
    if executor is not None:
        return lambda: nullcontext(Workers(executor, at_once=4 * jobs, parallel=jobs, fatal=()))
    if scheduler is None:
        return partial(local_workers, jobs)
    check_scheduler(scheduler)  # even where every row is there, and nobody asks it
    if (name := command_name(theorem)).endswith(".py"):
        why = "the machines of a cluster do not have this file: install it as a package, or use --jobs"
        raise ProblemError("theorem", name, why)
    return partial(cluster_workers, scheduler)


def sweep_grid(
    theorem: str | Path | Theorem,
    grid: str,
    *,
    letters: Mapping[str, Any] | None = None,
    steps: Sequence[str] = (),
    jobs: int = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    out: Path | str = SWEEP_FOLDER,
    progress: Progress = silent,
    **options: Any,
) -> SweptTable:
    """Pose a sweep, run it, write its table below `out`, and return it.

    options: construction, seed, samples and effort, as `Search` takes them.  executor: runs tasks in place of
    processes of our own.
    """
    if unknown := options.keys() - Search.__dataclass_fields__.keys():
        name = min(unknown)
        raise ProblemError(name, options[name], "sweep has no such option; letters go into letters=")
    posed = pose_sweep(theorem, grid, letters, Search(**{**BRIEF, **options}), steps)
    found = posed.run(chosen_workers(posed.theorem, jobs, scheduler, executor), Path(out), progress)
    found.write(Path(out))
    return found
