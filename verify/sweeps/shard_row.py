"""One part of a large random sample: its own seed, so that parts can be drawn anywhere and in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.search.covered import coverage
from icgd.verify.search.excerpt import excerpt
from icgd.verify.search.prompts import seeded
from icgd.verify.search.sweep import Sweep, sweep


def shard_seed(seed: int, index: int) -> int:
    """The seed of a part: 62 bits of a hash, so that no two parts of any two seeds draw the same prompts."""
    digest = hashlib.sha256(f"icgd shard {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def shard_sweep(asked: Mapping[str, Any]) -> Sweep:
    """The sweep of one part, over prompts of the excerpt that a verification searches."""
    problem = Problem.parse(asked["letters"])
    planned = plan(problem, asked["construction"] or "lean")
    searched = assemble(excerpt(planned))
    generator = seeded(shard_seed(asked["seed"], asked["index"]))
    return sweep(searched, asked["count"], generator, covers=coverage(planned))


def shard_row(asked: Mapping[str, Any]) -> tuple[dict[str, int | float | str | None], bool]:
    """Counts and the largest error of one part; `shard_sweep` finds its prompt again."""
    try:
        found = shard_sweep(asked)
    except ProblemError as error:
        return {"index": asked["index"], "outcome": "refused", "reason": str(error)}, False
    row = {"index": asked["index"], "count": found.count, "covered": found.covered, "largest": found.largest}
    return {**row, "outcome": "done", "reason": ""}, True
