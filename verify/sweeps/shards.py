"""A random sample of a billion prompts: drawn in parts by any number of workers, combined into one result."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.verify.search.options import Search
from icgd.verify.search.sweep import Sweep
from icgd.verify.sweeps.one_thread import one_thread
from icgd.verify.sweeps.posed_sweep import row_store
from icgd.verify.sweeps.run import Workers, run_tasks
from icgd.verify.sweeps.shard_row import shard_sweep
from icgd.verify.sweeps.task import Task, shard_task
from icgd.verify.theorem import Theorem

SHARD = 1_000_000
"""Prompts of a part; a sample of no more is drawn as a whole."""

_MOST_SHARDS = 10_000


def is_sharded(theorem: Theorem, search: Search) -> bool:
    """Whether a verification draws its sample in parts: if it is large, on the CPU, and taken."""
    takes = "swept" in inspect.signature(theorem.judge).parameters
    return takes and search.samples > SHARD and search.device == "cpu"


def sweep_shared(estimate: Estimate, jobs: int) -> Estimate:
    """The estimate where so many processes draw the sample."""
    return Estimate(
        tuple(
            replace(stage, seconds=stage.seconds / jobs) if stage.name == "sweep" else stage
            for stage in estimate.stages
        )
    )


def shard_tasks(theorem: Theorem, problem: Letters, search: Search) -> list[Task]:
    """The parts of a sample; they depend on the problem, the size of the sample and its seed alone."""
    size = max(SHARD, -(-search.samples // _MOST_SHARDS))
    counts = [min(size, search.samples - first) for first in range(0, search.samples, size)]
    given = theorem, problem.as_dict(), search.construction, search.seed
    return [shard_task(*given, index, count) for index, count in enumerate(counts)]


def sharded_sweep(
    theorem: Theorem,
    problem: Letters,
    search: Search,
    workers: Callable[[], AbstractContextManager[Workers]],
    folder: Path,
    progress: Progress = silent,
) -> Sweep:
    """The result of the whole sample, the same for any number of workers: counts, and the largest error.

    Of equal errors the one of the first part counts; its prompt is drawn again from the seed of its part.
    """
    tasks = shard_tasks(theorem, problem, search)
    rows = run_tasks(tasks, workers, row_store(folder), progress)
    for row in rows:
        if row["outcome"] != "done":
            why = f"a part of them was not drawn: {row['reason']}"
            raise ProblemError("samples", search.samples, why)
    largest = max(float(row["largest"]) for row in rows)
    first = next(index for index, row in enumerate(rows) if float(row["largest"]) == largest)
    with one_thread():
        again = shard_sweep(json.loads(tasks[first].asked))
    count, covered = (sum(int(row[name]) for row in rows) for name in ("count", "covered"))
    return Sweep(count, covered, again.largest, again.worst)
