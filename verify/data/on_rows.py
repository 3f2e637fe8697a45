"""How a regression in context goes, step by step, on people's own rows and in their own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import Letters
from icgd.bounds.printable import printable
from icgd.verify.data.columns import Names, choose_columns, usable_rows
from icgd.verify.data.real_prompts import RealRegressions, regressions_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataTable
from icgd.verify.results import Curve, Grid, Plot
from icgd.verify.search.options import Search
from icgd.verify.search.prompts import seeded

_ROWS = 24
"""The most steps that a table shows, evenly spread."""

ROW_OPTIONS = frozenset({"data", "table", "inputs", "targets", "prompts"})
"""The options of a theorem whose prompts can be cut from a table."""


def regression_rows(
    data: str | DataTable | None,
    table: str,
    columns: tuple[Names, Names],
    *,
    d: int,
    n: int,
    count: int,
    seed: int,
    radius: float | None = None,
) -> RealRegressions | None:
    """The prompts that `regressions_from_table` cuts from the data; None without data.

    columns: the inputs and the target.  Raises DataError.
    """
    if data is None:
        return None
    read, generator = load_table(data, table), seeded(seed)
    return regressions_from_table(read, *columns, d=d, n=n, count=count, generator=generator, radius=radius)


def regression_reader(
    letters: type[Letters], **usual: str
) -> Callable[[Mapping[str, Any], Search], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The `read` of a theorem on regression: d from the inputs, and the table, which is read once.

    usual: letters whose defaults are others where the prompts come from a table.  It raises DataError.
    """

    def read(given: Mapping[str, Any], search: Search) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if search.data is None:
            return given, {}
        table = load_table(search.data, search.table)
        chosen = choose_columns(table, search.inputs, search.targets, given.get("d"), 1)
        n = given.get("n", letters.defaults()["n"])
        if isinstance(n, int):  # otherwise the problem refuses it
            usable_rows(table, chosen, n)
        return {**usual, **given, "d": chosen.d}, {"data": table, "table": ""}

    return read


def followed_on_rows(
    labels: Float[Tensor, "steps B tokens"],
    real: RealRegressions,
    step: str,
    certified: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Grid, Plot]:
    """A table and a figure of the errors on the rows of a table.

    labels: y_i - f(x_i) of every prompt and, last, -f(x_q), before the first step and after each.
    step: what one is called.  certified: further columns, a number for each step.
    """
    target = real.y_scaling.names[0]
    unit = float(real.y_scaling.unit[0])
    off = -labels[..., -1] - real.answer.to(labels.device)
    at_query = (unit * off.square().mean(dim=1).sqrt()).tolist()
    on_examples = (unit * labels[..., :-1].square().mean(dim=(1, 2)).sqrt()).tolist()
    names = (f"error at the query, {target}", f"error on the examples, {target}")
    steps = [int(k) for k in np.unique(np.linspace(0, len(labels) - 1, _ROWS).round())]
    others = certified or {}
    rows = tuple((k, at_query[k], on_examples[k], *(column[k] for column in others.values())) for k in steps)
    best = unit * float((_least_squares(real) - real.answer).square().mean().sqrt())
    note = (
        f"root mean square over {len(real.x):,} prompts of {real.use.source}, in the units of {target}; at 0 "
        f"it answers with the mean of the column; least squares on the same examples: {best:.6g} at the query"
    )
    title = f"Errors on rows of {printable(real.use.source)}"
    x = tuple(float(k) for k in range(len(labels)))
    curves = tuple(
        Curve(name, x, tuple(line)) for name, line in zip(names, (at_query, on_examples), strict=True)
    )
    return Grid(title, (step, *names, *others), rows, note), Plot(title, step, target, curves)


def _least_squares(real: RealRegressions) -> Float[Tensor, " B"]:
    """What linear least squares answers to each query: of all best fits the one of least norm."""
    fitted = torch.linalg.pinv(real.x) @ real.y[..., None]
    answers: Tensor = (real.query[:, None] @ fitted)[:, 0, 0]
    return answers
