"""The survey of a report in two processes, one of them beside the verification.

`python -m verify.beside QUESTION`, in JSON, answers with a line of JSON a survey.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bounds.budget import Construction
from bounds.problem import Problem
from bounds.progress import Progress
from construct.relu_icgd import check_construction
from verify.findings import Plot
from verify.survey import DATA, depths, losses, sizes

Surveyed = Callable[[Progress], tuple[Plot, ...]]
"""Waits for the figures of a survey, in their order."""


@contextmanager
def surveying(
    problem: Problem, construction: Construction, *, followed: str, seed: int, device: str
) -> Iterator[Surveyed]:
    """Starts what is surveyed by building transformers; gives a function that does the rest and waits.

    followed: the data whose prompts the verification itself follows; they are not followed again.
    The process ends with the context and does not hear a Ctrl-C: who leaves the context does.  It computes
    on one thread unless OMP_NUM_THREADS says otherwise, so that it leaves the verification a core.
    Raises ProblemError where the construction does not apply to the problem.
    """
    check_construction(problem, construction)
    approximated = construction != "exact"  # else there is no error at any size or depth
    asked = ["depths"] * approximated + ["losses"] * (followed != DATA)
    question = {
        "problem": problem.as_dict(),
        "asked": asked,
        "construction": construction,
        "seed": seed,
        "device": device,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "verify.beside", json.dumps(question)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert process.stdout
    answers = process.stdout
    with process:
        try:

            def surveyed(progress: Progress) -> tuple[Plot, ...]:
                with progress("survey", approximated + len(asked)) as advance:
                    plots = list(sizes(problem, construction)) if approximated else []
                    advance(approximated)
                    for name in asked:
                        if not (line := answers.readline()):
                            raise RuntimeError(f"the survey of {name} ended with code {process.wait()}")
                        plots += map(Plot.from_dict, json.loads(line))
                        advance(1)
                return tuple(plots)

            yield surveyed
        finally:
            process.kill()


def _answer(question: dict[str, Any]) -> None:
    problem, asked = Problem.parse(question.pop("problem")), question.pop("asked")
    for survey in asked:
        plots = {"depths": depths, "losses": losses}[survey](problem, **question)
        print(json.dumps([plot.as_dict() for plot in plots]), flush=True)


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
