"""Columns of a sweep's table that need no search: the bounds of a theorem, and what a plan spends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from icgd.bounds.claims import Claim
from icgd.bounds.step_error.plan import Plan

TableEntry = int | float | str | None
TableRow = dict[str, TableEntry]
"""One row by column, in the order of the columns."""


def claim_columns(theorem: str, claims: Sequence[Claim], construction: str | None = None) -> TableRow:
    """The value of each bound under the last part of its key; built_ before those of a construction.

    >>> from icgd.bounds.looped import LoopedProblem, claims
    >>> sorted(claim_columns("looped", claims(LoopedProblem())))[:2]
    ['condition', 'contraction']
    """
    found: TableRow = {}
    for claim in claims:
        name = claim.key.removeprefix(f"{theorem}/")
        own = construction and name.startswith(f"{construction}/")
        name = f"built_{name.removeprefix(f'{construction}/')}" if own else name
        found[name.replace("/", "_").replace("-", "_")] = claim.value
    return found


def plan_columns(made: Plan) -> TableRow:
    """ReLUs of one step, the lower bound on them, the bound on norm2(err) and what is allowed.

    bound: before any checker saw it; `exact` has none on all prompts.
    """
    bound = made.problem.eta * made.bound
    return {
        "units": made.units,
        "fewest_units": made.fewest_units,
        "bound": None if made.construction == "exact" else bound,
        "allowed": made.problem.eta * made.problem.eps,
    }


def column_points(
    rows: Iterable[Mapping[str, TableEntry]], x: str, y: str
) -> list[tuple[float, int | float]]:
    """(x, y) of every row that has both as numbers, in the order of the rows."""
    pairs = ((row.get(x), row.get(y)) for row in rows)
    return [(float(a), b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)]
