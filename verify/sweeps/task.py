"""The tasks of a sweep as text: whatever decides an outcome is in it, and its hash is the key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.verify.catalogue import command_name
from icgd.verify.search.options import Search
from icgd.verify.sweeps.one_thread import one_thread
from icgd.verify.sweeps.problem_row import SWEEP_STEPS, problem_row
from icgd.verify.sweeps.release import release
from icgd.verify.sweeps.shard_row import shard_row
from icgd.verify.theorem import Theorem

_ROWS = {"problem": problem_row, "shard": shard_row}


@dataclass(frozen=True)
class Task:
    """A request in JSON, which any process can perform.  seconds: its expected time."""

    asked: str
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """The hash of problem, release and options."""
        return hashlib.sha256(self.asked.encode()).hexdigest()


def problem_task(
    theorem: Theorem,
    letters: Mapping[str, Any],
    construction: str | None,
    search: Search,
    steps: Sequence[str],
    seconds: float = 0.0,
) -> Task:
    """The request for one row; only options that the steps use are in it."""
    asked: dict[str, Any] = {"letters": dict(letters), "construction": construction, "seed": search.seed}
    asked["steps"] = [step for step in SWEEP_STEPS if step in steps]
    if set(steps) - {"build"} and "samples" in theorem.options:
        asked["samples"] = search.samples
    if "attack" in steps:
        asked["effort"] = search.effort
    return _task("problem", theorem, asked, seconds)


def shard_task(
    theorem: Theorem, letters: Mapping[str, Any], construction: str | None, seed: int, index: int, count: int
) -> Task:
    """The request for `count` random prompts, those of part `index` of a large sample."""
    asked = {"letters": dict(letters), "construction": construction, "seed": seed}
    return _task("shard", theorem, asked | {"index": index, "count": count}, count * 1e-6)


def _task(kind: str, theorem: Theorem, asked: Mapping[str, Any], seconds: float) -> Task:
    name = command_name(theorem)
    head = {"kind": kind, "release": release(), "theorem": name}
    if name.endswith(".py"):
        head["file"] = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return Task(json.dumps(head | dict(asked), sort_keys=True), seconds)


def perform(asked: str) -> str:
    """Perform a task, in any process and on any machine: its row, and whether it may be kept, in JSON.

    Raises ProblemError where another release
    of icgd is installed.
    """
    request = json.loads(asked)
    if request["release"] != release():
        why = f"the worker has {release()}, and it needs the same icgd, torch and numpy"
        raise ProblemError("release", request["release"], why)
    with one_thread():
        row, keep = _ROWS[request["kind"]](request)
    return json.dumps({"row": row, "keep": keep})
