"""The command `export`: weights in the formats of other tools."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from icgd.bounds.letters import ProblemError
from icgd.commands import KEPT
from icgd.construct.exports.formats import FORMATS, ExportFormat, export_weights, find_format
from icgd.construct.exports.read_weights import read_weights
from icgd.construct.machine.files import check_writable
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.options import Json
from icgd.reports.document.document import closing

_FORMATS_HELP = "; ".join(f"{one.name}: {one.says}" for one in FORMATS.values())


def export_command(
    weights: Annotated[Path, typer.Argument(help="a file of weights, as icgd build writes it")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=_FORMATS_HELP)],
    out: Annotated[Path, typer.Option("--out", help="the file, or the folder, to write")],
    json_to: Json = None,
) -> int:
    """Write weights in the format of another tool.

    The formats are in docs/exports.md.
    """
    began = time.perf_counter()
    found = find_format(to, out)
    if found.files and out.resolve() == out.resolve().parent:
        raise ProblemError("out", out, "this is where all files of the machine are; name a folder of its own")
    _keep_weights(weights, found, out)
    refuse_own_name(json_to, out if found.files else out.parent, found.files or (out.name,))
    for place in found.places(out):
        check_writable(place, out)
    given = read_weights(weights)
    paths = export_weights(given, to, out)
    console = console_for(json_to)
    for path in paths:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    emit({"format": to, "kind": given.kind, "files": [str(path) for path in paths]} | closing(began), json_to)
    return KEPT


def _keep_weights(weights: Path, chosen: ExportFormat, out: Path) -> None:
    """Raises ProblemError where the format would be written over the weights, by whatever name."""
    for place in chosen.places(out):
        if place.resolve() == weights.resolve() or (
            place.exists() and weights.exists() and os.path.samefile(place, weights)
        ):
            raise ProblemError("out", out, "the weights would be written over themselves; name another place")


EXPORTING: Mapping[str, Callable[..., int]] = {"export": export_command}
