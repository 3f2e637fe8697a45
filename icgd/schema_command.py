"""The command `schema`: the JSON Schemas of what the other commands write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from icgd.commands import KEPT
from icgd.construct.machine.files import write_atomically
from icgd.reports.command.console import console_for
from icgd.reports.command.options import Json
from icgd.reports.command.terminal import show_grid
from icgd.reports.document.schema_files import SCHEMA_FOLDER, SCHEMAS, schema_text
from icgd.verify.results import Grid


def schema_command(
    name: Annotated[str | None, typer.Argument(help="of a document; default: list them all")] = None,
    json_to: Json = None,
) -> int:
    """Print the JSON Schema of what a command writes.

    It has every key, its type and its meaning.
    """
    if name is None:
        listed = Grid(
            "JSON Schemas", ("name", "of what"), tuple(SCHEMAS.items()), f"files in {SCHEMA_FOLDER}"
        )
        show_grid(console_for(json_to), listed)
        text = "{\n" + ",\n".join(f'"{one}": {schema_text(one).rstrip()}' for one in SCHEMAS) + "\n}\n"
    else:
        text = schema_text(name)
    if json_to not in (None, "-"):
        write_atomically(Path(str(json_to)), text)
    elif name is not None or json_to == "-":
        print(text, end="", flush=True)
    return KEPT


SCHEMING: Mapping[str, Callable[..., int]] = {"schema": schema_command}
"""The command about schemas."""
