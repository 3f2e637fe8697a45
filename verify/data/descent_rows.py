"""Prompts for descent on an N-layer network, random ones beside those of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt
from icgd.verify.data.columns import Names, letters_from
from icgd.verify.data.real_prompts import RealPrompts, prompts_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataError, DataTable
from icgd.verify.search.excerpt import followed
from icgd.verify.search.options import Search
from icgd.verify.search.prompts import random_prompts, seeded, start

FOLLOWED = 32
"""How many random prompts, and how many of the bundled data, are followed."""


def descent_reader(
    **usual: Any,
) -> Callable[[Mapping[str, Any], Search], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The `read` of a theorem on descent: d and d_out from the columns, and the table, which is read once.

    usual: letters whose defaults are others where the prompts come from a table.  It raises DataError.
    """

    def read(letters: Mapping[str, Any], search: Search) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if search.data is None:
            return letters, {}
        table = load_table(search.data, search.table)
        posed = letters_from(table, letters, search.inputs, search.targets)
        return {**usual, **posed}, {"data": table, "table": ""}

    return read


def descent_rows(
    problem: Problem,
    data: str | DataTable | None,
    table: str,
    columns: tuple[Names, Names],
    *,
    count: int,
    seed: int,
    weights: str = "zero",
) -> RealPrompts | None:
    """The prompts that `prompts_from_table` cuts from the data; None without data.

    columns: the inputs and the targets.  Raises DataError.
    """
    if data is None:
        return None
    read, generator = load_table(data, table), seeded(seed)
    return prompts_from_table(problem, read, *columns, count=count, generator=generator, weights=weights)


def random_and_real(
    problem: Problem,
    generator: torch.Generator,
    device: torch.device | str,
    real: RealPrompts | None = None,
) -> tuple[list[tuple[str, Prompt]], str]:
    """Random and real prompts at random w(0), and why real ones are missing ("" if they are not).

    real: prompts of a user's table; by default they are cut from the diabetes data.
    """
    random = random_prompts(problem, followed(problem, FOLLOWED), generator)
    random = random.with_weights(start(problem, "random", random.batch, generator)).to(device)
    made, missing = [("random", random)], ""
    if real is not None:
        return [*made, (real.use.source, real.prompt.to(device))], missing
    try:
        table = load_table("diabetes")
        named = problem.d_out > 1 and problem.d + problem.d_out <= len(table.names)
        inputs = table.names[: problem.d] if named else None
        targets = (*table.names[problem.d : problem.d + problem.d_out - 1], "target") if named else None
        cut = prompts_from_table(
            problem, table, inputs, targets, count=FOLLOWED, generator=generator, weights="random"
        )
        made.append(("diabetes", cut.prompt.to(device)))
    except DataError as error:
        missing = str(error)
    return made, missing
