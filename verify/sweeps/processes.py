"""Worker processes on this machine: each performs one task at a time, and is replaced if it is killed.

`python -m icgd.verify.sweeps.processes` reads tasks, a line each, and prints a line with the outcome of each.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps.task import perform

TRIES = 3
"""How often a task is begun again whose process ended; after that it may be the task that ends it."""


class ProcessEnded(RuntimeError):
    """The process of a task ended, `TRIES` times."""


class Stopped(RuntimeError):
    """The sweep ended before the task did."""


class Processes:
    """Performs tasks in processes, one for each thread that calls `perform`; `end` ends them all.

    A pool of `concurrent.futures` fails as a whole when one of its processes is killed, and does not say
    whose task it was; here only that process is replaced.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[subprocess.Popen[str]] = []
        self._stopped = False
        self._lock = threading.Lock()

    def end(self) -> None:
        """Kill the processes, and wait for them; tasks that run raise Stopped."""
        with self._lock:
            self._stopped = True
        for process in self._all:
            process.kill()
        for process in self._all:
            with suppress(OSError), process:  # what was not written to a killed one cannot be flushed
                pass

    def perform(self, asked: str) -> str:
        """The outcome of a task; raises what the task raises, ProcessEnded or Stopped."""
        for _ in range(TRIES):
            process = self._process()
            answer = _answer(process, asked)
            if answer.endswith("\n"):  # else it was killed before, or while it wrote
                if refusal := json.loads(answer).get("error"):
                    raise ProblemError(*refusal)
                return answer
            self._own.process = None
            code = process.wait()
            if self._stopped:
                raise Stopped
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise ProcessEnded(f"its process ended {TRIES} times, the last time by {ended}")

    def _process(self) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] | None = getattr(self._own, "process", None)
        if process is None:
            with self._lock:
                if self._stopped:
                    raise Stopped
                process = self._own.process = _start()
                self._all.append(process)
        return process


def _start() -> subprocess.Popen[str]:
    """A worker; -P keeps modules in the user's current folder from shadowing ours.

    It is in a session of its own, so that Ctrl-C reaches only the sweep, which then ends it.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "icgd.verify.sweeps.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=os.environ | threads | path,
        start_new_session=True,
    )


def _answer(process: subprocess.Popen[str], asked: str) -> str:
    """The line that a worker answers; not a whole line if it ended."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(asked + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except (OSError, ValueError):  # the pipe is broken, or closed at the end of the context
        return ""


def _work(tasks: IO[str], answers: IO[str]) -> None:
    waiting: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(tasks, waiting), daemon=True).start()
    while True:
        try:
            answer = perform(waiting.get())
        except ProblemError as error:
            answer = json.dumps({"error": [error.field, str(error.value), error.allowed]})
        answers.write(answer + "\n")
        answers.flush()


def _read(tasks: IO[str], waiting: queue.Queue[str]) -> None:
    """Hand on every task; exit when the input closes, which happens when the sweep ends, however it ends."""
    for line in tasks:
        waiting.put(line)
    os._exit(1)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a theorem prints must not be taken for an answer
    _work(sys.stdin, answers)
