"""Runs the surveys of a report in a background process, in parallel with the verification.

`python -m icgd.verify.survey.background REQUEST`, with a request in JSON, prints one line of JSON per survey.
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
    """Start the surveys that build transformers; yields a function that runs the rest and waits for all.

    followed: the data whose prompts the verification itself follows; the survey does not follow them again.
    The background process ends when the context is left or when this process ends for any reason.  A Ctrl-C
    does not reach it directly; leaving the context stops it.  It uses one thread unless OMP_NUM_THREADS is
    set, to leave the other cores to the verification.  If it is killed, this process computes the missing
    surveys.  Raises ProblemError where the construction does not apply to the problem.
    """
    check_construction(problem, construction)
    approximated = construction != "exact"  # `exact` has no error at any size or depth
    surveys = (("depths", approximated), ("losses", followed != SURVEYED_DATA))
    requested = [name for name, wanted in surveys if wanted]
    given: dict[str, Any] = {"construction": construction, "seed": seed, "device": str(device)}
    process = _start({"problem": problem.as_dict(), "requested": requested, **given})

    def surveyed(progress: Progress) -> tuple[Plot, ...]:
        plots: list[Plot] = []
        with progress("survey", approximated * len(FACTORS) + len(requested)) as advance:
            if approximated:
                plots += sizes(problem, construction, advance=advance)
            for name in requested:
                assert process.stdout
                line = process.stdout.readline()
                whole = line.endswith("\n")  # a partial line means that the process was killed
                plots += map(Plot.from_dict, json.loads(line)) if whole else _SURVEYS[name](problem, **given)
                advance(1)
        return tuple(plots)

    with process:
        try:
            yield surveyed
        finally:
            process.kill()


def _start(request: dict[str, Any]) -> subprocess.Popen[str]:
    """Start the background process; -P keeps modules in the user's current folder from shadowing ours."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "icgd.verify.survey.background", json.dumps(request)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def _answer(request: dict[str, Any]) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    problem, requested = Problem.parse(request.pop("problem")), request.pop("requested")
    for name in requested:
        plots = _SURVEYS[name](problem, **request)
        print(json.dumps([asdict(plot) for plot in plots]), flush=True)


def _exit_with_parent() -> None:
    """Exit when the standard input closes, which happens when the parent process ends."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
