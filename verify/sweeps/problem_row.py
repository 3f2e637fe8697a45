"""One row of a sweep's table: bounds of one problem, and what was built, searched and proved for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from icgd.bounds.estimate import Estimate
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import clear_plan_caches
from icgd.construct.machine.memory import available_bytes
from icgd.verify import workload
from icgd.verify.catalogue import find_theorem
from icgd.verify.results import Results
from icgd.verify.search.options import Search
from icgd.verify.sweeps.size_columns import TableRow, claim_columns, plan_columns
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import STATUSES

SweepStep = Literal["build", "verify", "attack", "certify"]
"""What is done with a problem besides its bounds; attack and certify include verify."""

SWEEP_STEPS: tuple[SweepStep, ...] = get_args(SweepStep)


class _Transient(Exception):
    """What may be otherwise next time: the row is not kept for later runs."""


def problem_row(asked: Mapping[str, Any]) -> tuple[TableRow, bool]:
    """The row of a request, as `problem_task` writes it, and whether later runs may take it over.

    outcome: "done"; "refused", with the reason, where theorem, plan or machine refuse the problem;
    "crashed", with the error, where icgd is at fault.  What was found before stays in the row.
    """
    row: TableRow = {"theorem": asked["theorem"]}
    keep, outcome, reason = True, "done", ""
    try:
        theorem = find_theorem(asked["theorem"])
        posed = asked["letters"]
        letters = {name: posed[name] for name in theorem.letters.names() if name in posed}
        row |= {"theorem": theorem.name, "construction": None, **letters, "seed": asked["seed"]}
        chosen = theorem.chosen(asked["construction"])
        row |= chosen
        _fill(row, theorem, theorem.letters.parse(asked["letters"]), chosen, asked)
    except ProblemError as error:
        outcome, reason = "refused", str(error)
    except (_Transient, MemoryError) as error:
        outcome, reason, keep = "refused", str(error) or "the memory of this machine is used up", False
    except Exception as error:
        outcome, reason = "crashed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        clear_plan_caches()
    return row | {"outcome": outcome, "reason": reason}, keep


def _fill(
    row: TableRow, theorem: Theorem, problem: Letters, chosen: Mapping[str, str], asked: Mapping[str, Any]
) -> None:
    """Add the columns one step after another, so that a refused step leaves those of the earlier ones."""
    steps, search = set(asked["steps"]), searched(asked)
    estimate = expected(theorem, problem, search, asked["steps"]).check(math.inf)
    theorem.applies(problem, **chosen)
    row |= claim_columns(theorem.name, theorem.claims(problem, **chosen), chosen.get("construction"))
    if theorem.plan and isinstance(problem, Problem):
        row |= plan_columns(theorem.plan(problem, **chosen))
    if not steps:
        return
    _in_memory(lambda: estimate.check(available_bytes()))
    _in_memory(lambda: theorem.fits(problem, **chosen))
    if steps == {"build"}:
        if theorem.model is None:
            raise ProblemError("with", "build", f"{theorem.name} is about the transformer of another theorem")
        counted = theorem.model.census(theorem.model.build(problem, **chosen))
        row |= {f"counted_{name}": value for name, value in counted.items()}
    else:
        row |= judged_columns(theorem.judged_by(search, problem))


def _in_memory(check: Callable[[], Any]) -> None:
    """What does not fit depends on what else runs; the reason names no number that would change."""
    try:
        check()
    except ProblemError as error:
        why = f"{error.field} = {error.value}: it does not fit in the memory of this machine"
        raise _Transient(why) from None


def searched(asked: Mapping[str, Any]) -> Search:
    """The options of the verification that a request describes."""
    steps = asked["steps"]
    return Search(
        construction=asked["construction"],
        seed=asked["seed"],
        samples=asked.get("samples", 1),
        effort=asked.get("effort", 0.0) if "attack" in steps else 0.0,
        certify="certify" in steps,
    )


def expected(theorem: Theorem, problem: Letters, search: Search, steps: Sequence[str]) -> Estimate:
    """How long a row takes once the libraries are loaded, and its memory."""
    if set(steps) - {"build"}:
        stages = theorem.estimate(problem, search).stages
        return Estimate(tuple(stage for stage in stages if stage != workload.START))
    if not isinstance(problem, Problem) or theorem.model is None:
        return Estimate(())
    construction: Any = search.construction or "lean"
    made = workload.planning(problem, construction)
    return made + workload.transformer(problem, construction) if steps and theorem.plan else made


def judged_columns(found: Results) -> TableRow:
    """The census, the errors of a step, how many claims got which verdict, and which failed."""
    row: TableRow = {f"counted_{name}": value for name, value in found.census.items()}
    if sandwich := found.sandwich:
        attacked = found.step is None or found.step.attack is not None
        row |= {
            "sampled": sandwich.sampled,
            "attacked": sandwich.attacked if attacked else None,
            "certified": sandwich.bound if found.is_certified else None,
        }
    counts = Counter(verdict.status for verdict in found.verdicts)
    row |= {status.replace(" ", "_"): counts[status] for status in STATUSES}
    failed = [verdict.claim for verdict in found.verdicts if verdict.status == "failed"]
    return row | {"failed_claims": " ".join(failed)}
