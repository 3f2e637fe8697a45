"""Checkpoints that keep every state of a training, as the code of arXiv 2306.00297 writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from icgd.bounds.letters import ProblemError

_OF_ONE_RUN, _OF_RUNS = ("hist_list", "hist"), "hist_dict"
"""Where its notebooks keep the tensor `allparam` before each step: a list, or a list for each seed."""

_ASKED = re.compile(r"(?:(\d{1,9}):)?(\d{1,9})?")


def chosen_state(found: Any, asked: str | None, path: Path) -> tuple[dict[str, Any], str] | None:
    """One state of a history as {"allparam": state}, and which it is; None where `found` is no history.

    asked: its number, RUN:NUMBER, or RUN: for the last of a run, all counted from 0; by default the last of
    the first run.  Raises ProblemError for a state that is not there, or one asked of another file.
    """
    runs = _runs(found)
    if runs is None:
        if asked is not None:
            raise ProblemError("state", asked, f"{path} keeps no history of training")
        return None
    parts = _ASKED.fullmatch("0:" if asked is None else asked)
    if parts is None or (not asked and asked is not None):
        why = "it is the number of a state, such as 300, or with its run, such as 1:300, or 1: for its last"
        raise ProblemError("state", asked, why)
    names = list(runs)
    run = int(parts[1] or 0)
    if run >= len(names):
        raise ProblemError("state", asked, f"{path} has {_counted(len(names), 'run')}, counted from 0")
    states = runs[names[run]]
    at = len(states) - 1 if parts[2] is None else int(parts[2])
    if at >= len(states):
        raise ProblemError("state", asked, f"the run has {_counted(len(states), 'state')}, counted from 0")
    said = f"state {at} of 0 to {len(states) - 1}"
    if len(names) > 1:
        said = f"{said} of run {run} of 0 to {len(names) - 1}"
    return {"allparam": states[at]}, said


def _runs(found: Any) -> Mapping[Any, list[Any]] | None:
    if not isinstance(found, Mapping):
        return None
    runs = found.get(_OF_RUNS)
    if runs is None:
        runs = {name: found[name] for name in _OF_ONE_RUN if name in found}
    if not isinstance(runs, Mapping) or not runs:
        return None
    whole = all(
        isinstance(states, list) and states and all(isinstance(one, Tensor) for one in states)
        for states in runs.values()
    )
    return runs if whole else None


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
