"""Runs the tasks of a sweep by any `concurrent.futures.Executor`, and keeps every row at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError, whole
from icgd.bounds.progress import Progress, silent
from icgd.construct.machine.memory import available_bytes
from icgd.verify.sweeps.processes import ProcessEnded, Processes, Stopped
from icgd.verify.sweeps.row_store import RowStore
from icgd.verify.sweeps.task import Task, perform

MOST_JOBS = 1024
_PROCESS_BYTES = 300 * 2**20
"""Memory of a process that has loaded the libraries and works on nothing yet."""


@dataclass(frozen=True)
class Workers:
    """Who performs tasks.

    executor: takes `perform` and the text of a task.  at_once: how many tasks it is given at a time.
    parallel: how many it performs at a time, for estimates.  fatal: the errors by which an executor says that
    a task has ended its worker several times; any other error ends the sweep.
    """

    executor: Executor
    perform: Callable[[str], str] = perform
    at_once: int = 1
    parallel: int = 1
    fatal: tuple[type[BaseException], ...] = (ProcessEnded,)


def check_jobs(jobs: int) -> int:
    """The number of processes; raises ProblemError for an impossible one, or more than fit in memory."""
    found = whole("jobs", jobs, 1, MOST_JOBS, f"a whole number from 1 to {MOST_JOBS} is needed")
    if found > 1 and found * _PROCESS_BYTES > 0.9 * (free := available_bytes()):
        each = f"each process takes about {bytes_text(_PROCESS_BYTES)}, and {bytes_text(free)} is free"
        raise ProblemError("jobs", jobs, f"{each}; take fewer")
    return found


@contextmanager
def local_workers(jobs: int) -> Iterator[Workers]:
    """So many processes on this machine; the first tasks start them."""
    jobs = check_jobs(jobs)
    processes, executor = Processes(), ThreadPoolExecutor(jobs)
    try:
        yield Workers(executor, processes.perform, jobs, jobs)
    finally:
        processes.end()
        executor.shutdown(cancel_futures=True)


def run_tasks(
    tasks: Sequence[Task],
    workers: Callable[[], AbstractContextManager[Workers]],
    store: RowStore,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """The rows of the tasks, in their order; those in the store are not computed again.

    workers: a context manager of `Workers`, entered if there is something to do.  A task whose worker ended
    every time it was tried has a row that says so, and is tried again by the next run.
    Raises ProblemError where the workers as a whole are lost; all rows until then are in the store.
    """
    rows = {index: row for index, task in enumerate(tasks) if (row := store.get(task)) is not None}
    left = [index for index in range(len(tasks)) if index not in rows]
    if not left:
        return [rows[index] for index in range(len(tasks))]
    seconds = sum(tasks[index].seconds for index in left)
    with workers() as by, progress("sweep", len(left), seconds / by.parallel) as advance:
        running: dict[Future[str], int] = {}
        waiting = iter(left)
        try:
            while True:
                while len(running) < by.at_once and (index := next(waiting, None)) is not None:
                    running[by.executor.submit(by.perform, tasks[index].asked)] = index
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    rows[index] = _outcome(tasks[index], future, by, store)
                    advance(1)
        finally:
            for future in running:
                future.cancel()
    return [rows[index] for index in range(len(tasks))]


def _outcome(task: Task, future: Future[str], by: Workers, store: RowStore) -> dict[str, Any]:
    try:
        found = json.loads(future.result())
    except by.fatal as error:
        asked = json.loads(task.asked)
        told = {"outcome": "crashed", "reason": str(error)}
        return {"theorem": asked["theorem"], **asked["letters"], "seed": asked["seed"], **told}
    except (ProblemError, Stopped):
        raise
    except (Exception, CancelledError) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        why = f"they are lost ({said}); the rows so far are kept: run it again"
        raise ProblemError("workers", type(by.executor).__name__, why) from error
    row: dict[str, Any] = found["row"]
    if found["keep"]:
        store.put(task, row)
    return row
