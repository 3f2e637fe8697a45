"""Prompts cut from the rows of a table, scaled into a theorem's radii or to mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icgd.bounds.estimate import bytes_text
from icgd.bounds.problem import Problem
from icgd.construct.machine.memory import available_bytes
from icgd.construct.prompt import Prompt
from icgd.verify.data.columns import Columns, Names, choose_columns, usable_rows
from icgd.verify.data.scaling import Scaling, scale_to_ball, scale_to_range, z_scores
from icgd.verify.data.table import DataError, DataTable
from icgd.verify.data.use import DataUse, describe_use
from icgd.verify.search.prompts import Device, start


@dataclass(frozen=True, eq=False)
class RealPrompts:
    """Prompts cut from a table.

    rows: the table's rows in each prompt, the query's last (0 is the first row below the header).
    x_scaling, y_scaling: the maps from the table's units, with their inverses.
    """

    prompt: Prompt
    rows: Int[Tensor, "B rows"]
    x_scaling: Scaling
    y_scaling: Scaling
    use: DataUse


@dataclass(frozen=True, eq=False)
class RealRegressions:
    """Prompts of one target cut from a table, without weights; answer: the target in the query's row."""

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    query: Float[Tensor, "B d"]
    answer: Float[Tensor, " B"]
    rows: Int[Tensor, "B rows"]
    x_scaling: Scaling
    y_scaling: Scaling
    use: DataUse


def prompts_from_table(
    problem: Problem,
    table: DataTable,
    inputs: Names = None,
    targets: Names = None,
    *,
    count: int,
    generator: torch.Generator,
    weights: str = "zero",
    device: Device | None = None,
    dtype: torch.dtype = torch.float64,
) -> RealPrompts:
    """`count` prompts, each n examples and a query drawn without replacement from the table's rows.

    Columns are chosen as by `choose_columns` and must number problem.d and problem.d_out.  They are scaled
    over the whole table, so that every row (not only those drawn) obeys B_x and B_y: see `scale_to_ball`, and
    `scale_to_range` for targets of a loss with a `data_range`.  weights: "zero" or "random", as `start`
    takes them.  Raises DataError.
    """
    columns = choose_columns(table, inputs, targets, problem.d, problem.d_out)
    kept = _kept(table, columns, problem.n, count)
    x_values, y_values = table.select(columns.inputs)[kept], table.select(columns.targets)[kept]
    x_scaling = scale_to_ball(columns.inputs, x_values, problem.B_x)
    if problem.loss.data_range is None:
        y_scaling = scale_to_ball(columns.targets, y_values, problem.B_y)
    else:
        y_scaling = scale_to_range(columns.targets, y_values, *problem.loss.data_range, problem.B_y)
    places = _drawn(len(kept), problem.n, count, generator)
    x = torch.from_numpy(x_scaling.apply(x_values))[places]
    y = torch.from_numpy(y_scaling.apply(y_values))[places]
    w = start(problem, weights, count, generator, device, dtype)
    prompt = Prompt(x[:, :-1], y[:, :-1], x[:, -1], w).to(w.device, dtype)
    both = x_scaling, y_scaling
    use = describe_use(table, columns, kept, both, prompts=count, examples=problem.n)
    return RealPrompts(prompt.check(problem), torch.tensor(kept)[places], *both, use)


def regressions_from_table(
    table: DataTable,
    inputs: Names = None,
    targets: Names = None,
    *,
    d: int,
    n: int,
    count: int,
    generator: torch.Generator,
    radius: float | None = None,
) -> RealRegressions:
    """`count` prompts for linear and kernel regression, drawn as by `prompts_from_table`.

    Every column is scaled to mean 0 and standard deviation 1 over the whole table; with a radius, all inputs
    are then divided by one number, so that each row is within 2-norm `radius`.  Raises DataError.
    """
    columns = choose_columns(table, inputs, targets, d, 1)
    kept = _kept(table, columns, n, count)
    x_values, y_values = table.select(columns.inputs)[kept], table.select(columns.targets)[kept]
    x_scaling = (
        z_scores(columns.inputs, x_values)
        if radius is None
        else scale_to_ball(columns.inputs, x_values, radius)
    )
    y_scaling = z_scores(columns.targets, y_values)
    places = _drawn(len(kept), n, count, generator)
    x = torch.from_numpy(x_scaling.apply(x_values))[places]
    y = torch.from_numpy(y_scaling.apply(y_values))[places][..., 0]
    both = x_scaling, y_scaling
    use = describe_use(table, columns, kept, both, prompts=count, examples=n)
    return RealRegressions(x[:, :-1], y[:, :-1], x[:, -1], y[:, -1], torch.tensor(kept)[places], *both, use)


def _kept(table: DataTable, columns: Columns, n: int, count: int) -> list[int]:
    if count < 1:
        raise DataError(f"prompts = {count}: at least one prompt is needed")
    kept = usable_rows(table, columns, n)
    seconds, needed = 1.5e-8 * count * len(kept), 32 * count * (n + 1) * (columns.d + columns.d_out + 1)
    for amount, most, shown in (
        (seconds, 3600.0, f"{seconds / 3600:.3g} h"),
        (needed, available_bytes(), bytes_text(needed)),
    ):
        if amount > most:
            raise DataError(
                f"prompts = {count:,}: cutting them from {len(kept):,} rows takes about {shown}; take fewer"
            )
    return kept


def _drawn(rows: int, n: int, count: int, generator: torch.Generator) -> Int[Tensor, "B rows"]:
    """For each prompt n + 1 different places among the rows."""
    drawn = [
        torch.randperm(rows, generator=generator, device=generator.device)[: n + 1] for _ in range(count)
    ]
    return torch.stack(drawn).cpu()
