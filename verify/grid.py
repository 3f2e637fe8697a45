"""A grid of ordinary problems: each ends in a proof or is refused in advance with a reason; none fails.

`python -m icgd.verify.grid` (`make grid`) judges all of them and prints the outcome of each; the tests judge
a sample.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import clear_plan_caches
from icgd.construct.machine.memory import refuse_if_too_large
from icgd.verify.relu_icgd import verify
from icgd.verify.verdict import Status

GRID_ACTIVATIONS = (
    "tanh", "sigmoid", "softplus", "gelu", "sin", "identity", "t/(1+exp(-t))", "1/(1+t**2)", "t/sqrt(1+t**2)",
    "t/(1+t**2)", "1/cosh(t)", "log(1+t**2)", "sqrt(1+t**2)", "exp(-t**4)", "log(cosh(t))", "cosh(t)-1",
    "tanh(t)/(1+t**2)", "(t**2+1)**0.3", "atan(t)", "Abs(-1)*tanh(t)+t/4",
)  # fmt: skip
COUNT, SEED = 300, 0


@dataclass(frozen=True)
class _Outcome:
    """The outcome of one problem.

    status: the verdict on its step error, or "refused" if it was not built.  evidence: that of the verdict,
    or why it was refused.  failed: all claims that failed.
    """

    posed: dict[str, Any]
    construction: Construction
    status: Status | str
    evidence: str
    failed: tuple[str, ...] = ()


def grid_problems(count: int = COUNT, seed: int = SEED) -> Iterator[tuple[dict[str, Any], Construction]]:
    """Letters and construction of every problem: the activations in turn, everything else random.

    N from 1 to 6, radii from 0.01 to 10, three losses, both outputs, lean and paper.

    >>> letters, construction = next(grid_problems())
    >>> letters["activation"], letters["N"], construction
    ('tanh', 4, 'lean')
    """
    rng = random.Random(seed)

    def about(low: float, high: float) -> float:
        return float(f"{10 ** rng.uniform(low, high):.2g}")

    for index in range(count):
        letters: dict[str, Any] = {"activation": GRID_ACTIVATIONS[index % len(GRID_ACTIVATIONS)]}
        letters |= {"N": rng.randint(1, 6), "K": rng.randint(1, 5), "d": rng.randint(1, 4)}
        letters |= {
            "d_out": rng.randint(1, 4),
            "n": rng.choice([1, 2, 8, 50]),
            "eta": rng.choice([0.01, 0.1, 1.0]),
        }
        letters |= {"eps": about(-3, 0), "B_x": about(-2, 1), "B_y": about(-2, 1), "B_v": about(-2, 1)}
        letters |= {"loss": rng.choice(["squared", "logistic", "huber"])}
        letters |= {"output": rng.choice(["activated", "activated", "linear"])}
        yield letters, rng.choice(["lean", "paper"])


def outcome(letters: dict[str, Any], construction: Construction, samples: int = 200) -> _Outcome:
    """Plan, certify and check one problem, compare its matrices, and sweep over `samples` prompts."""
    try:
        problem = Problem.parse(letters)
        refuse_if_too_large(problem, construction)
        found = verify(problem, construction, samples=samples, effort=0, certify=True)
    except ProblemError as error:
        return _Outcome(letters, construction, "refused", str(error))
    step = next(verdict for verdict in found.verdicts if verdict.claim.endswith("/step-error"))
    failed = tuple(verdict.claim for verdict in found.verdicts if verdict.status == "failed")
    return _Outcome(letters, construction, step.status, step.evidence, failed)


def run_grid(posed: Iterable[tuple[dict[str, Any], Construction]], console: Console) -> Counter[str]:
    """Judge the problems one by one; returns how many had each outcome."""
    counts: Counter[str] = Counter()
    for index, (letters, construction) in enumerate(posed):
        began = time.perf_counter()
        one = outcome(letters, construction)
        clear_plan_caches()
        counts[one.status] += 1
        counts["failed"] += bool(one.failed) and one.status != "failed"
        shown = " ".join(f"{name}={value}" for name, value in letters.items())
        console.print(
            escape(f"{index:3} {time.perf_counter() - began:6.1f} s {one.status:8} {construction} {shown}"),
            highlight=False,
            soft_wrap=True,
        )
        if one.status != "proved" or one.failed:
            console.print(
                escape(f"      {one.evidence} {' '.join(one.failed)}"), highlight=False, soft_wrap=True
            )
    return counts


def main() -> int:
    """Judge the whole grid; the exit code is 1 if a claim failed or a step error is held but not proved."""
    console = Console()
    counts = run_grid(grid_problems(), console)
    console.print(", ".join(f"{count} {status}" for status, count in counts.most_common() if count))
    return 1 if counts["failed"] or counts["held"] else 0


if __name__ == "__main__":
    sys.exit(main())
