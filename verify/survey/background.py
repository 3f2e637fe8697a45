"""The survey of a report in two processes, one of them beside the verification.

`python -m icgd.verify.survey.background QUESTION`, in JSON, answers with a line of JSON a survey.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress
from icgd.bounds.step_error.budget import Construction
from icgd.construct.relu_icgd import check_construction
from icgd.verify.results import Plot
from icgd.verify.survey.surveys import FACTORS, SURVEYED_DATA, depths, losses, sizes
from icgd.verify.theorem import Surveyed

_SURVEYS = {"depths": depths, "losses": losses}


@contextmanager
def surveying(
    problem: Problem, construction: Construction, *, followed: str, seed: int, device: torch.device | str
) -> Iterator[Surveyed]:
    """Starts what is surveyed by building transformers; gives a function that does the rest and waits.

    followed: the data whose prompts the verification itself follows; they are not followed again.
    The process ends with the context, or with this process, whatever ends it, and does not hear a Ctrl-C: who
    leaves the context does.  It computes on one thread unless OMP_NUM_THREADS says otherwise, so that it
    leaves the verification a core.  What it cannot answer is computed here.
    Raises ProblemError where the construction does not apply to the problem.
    """
    check_construction(problem, construction)
    approximated = construction != "exact"  # else there is no error at any size or depth
    asked = [
        name for name, wanted in (("depths", approximated), ("losses", followed != SURVEYED_DATA)) if wanted
    ]
    given: dict[str, Any] = {"construction": construction, "seed": seed, "device": str(device)}
    process = _start({"problem": problem.as_dict(), "asked": asked, **given})

    def surveyed(progress: Progress) -> tuple[Plot, ...]:
        plots: list[Plot] = []
        with progress("survey", approximated * len(FACTORS) + len(asked)) as advance:
            if approximated:
                plots += sizes(problem, construction, advance=advance)
            for name in asked:
                assert process.stdout
                line = process.stdout.readline()
                whole = line.endswith("\n")  # else the process was killed
                plots += map(Plot.from_dict, json.loads(line)) if whole else _SURVEYS[name](problem, **given)
                advance(1)
        return tuple(plots)

    with process:
        try:
            yield surveyed
        finally:
            process.kill()


def _start(question: dict[str, Any]) -> subprocess.Popen[str]:
    """-P: modules come from where this process has them, not from the folder that the user is in."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "icgd.verify.survey.background", json.dumps(question)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def _answer(question: dict[str, Any]) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    problem, asked = Problem.parse(question.pop("problem")), question.pop("asked")
    for name in asked:
        plots = _SURVEYS[name](problem, **question)
        print(json.dumps([asdict(plot) for plot in plots]), flush=True)


def _leave_with_parent() -> None:
    """The standard input ends when the process that holds the other end does."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
