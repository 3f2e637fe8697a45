"""The command `zoo`: small models whose every part is known, with certified errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from icgd.bounds.letters import ProblemError
from icgd.commands import KEPT
from icgd.construct.machine.files import check_writable, write_atomically
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.options import Json
from icgd.reports.command.terminal import show_grid
from icgd.reports.document.document import closing
from icgd.reports.zoo.page import error_told, model_slots, page_grids, readme, zoo_list
from icgd.verify.zoo.built_model import ZooSize, build_model, model_places
from icgd.verify.zoo.models import ZOO, ZooModel, zoo_model
from icgd.verify.zoo.sizes import zoo_sizes


def zoo_command(
    name: Annotated[str | None, typer.Argument(help="of a model; default: list them all")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder for its weights, certificate, code and README")
    ] = None,
    json_to: Json = None,
) -> int:
    """List small models whose every part is known, or build one.

    Each has a certified error and slots with names: for work on interpretability, docs/zoo.md.
    """
    began, console = time.perf_counter(), console_for(json_to)
    if name is None:
        if out is not None:
            raise ProblemError("out", out, "name the model that is to be built there")
        show_grid(console, zoo_list())
        listed = [_listed(model, zoo_sizes()[one]) for one, model in ZOO.items()]
        emit({"models": listed} | closing(began), json_to)
        return KEPT
    model = zoo_model(name)
    for place in (out / "README.md", *model_places(model, out)) if out is not None else ():
        refuse_own_name(json_to, place.parent, (place.name,))
        check_writable(place, out)
    built = build_model(model)
    console.print(f"{model.name}: {model.says}; {error_told(built)}", highlight=False, markup=False)
    for grid in page_grids(built):
        show_grid(console, grid)
    paths: tuple[Path, ...] = ()
    if out is not None:
        paths = (out / "README.md", *built.write(out))
        write_atomically(paths[0], readme(built))
        for path in paths:
            console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    slots = [{"name": slot, **told} for slot, told in model_slots(built).items()]
    found = {"slots": slots, "files": [str(path) for path in paths]}
    emit(_listed(model, built.size) | found | closing(began), json_to)
    return KEPT


def _listed(model: ZooModel, size: ZooSize) -> dict[str, object]:
    found = {one: getattr(model, one) for one in ("name", "theorem", "construction", "says", "exact")}
    return found | {"letters": dict(model.letters)} | asdict(size)


ZOO_COMMANDS: Mapping[str, Callable[..., int]] = {"zoo": zoo_command}
"""The command of the zoo."""
