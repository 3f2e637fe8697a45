"""A figure of a sweep's table, as a file."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib

from icgd.construct.machine.files import write_atomically
from icgd.reports.figures.curves import figure_of
from icgd.reports.figures.style import STYLE
from icgd.verify.results import Plot

FIGURE_KINDS = (".svg", ".pdf", ".png")
_UNDATED: dict[str, Any] = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}


def save_plot(plot: Plot, path: Path) -> None:
    """Write a plot in the style of the reports; the path ends in one of `FIGURE_KINDS`."""
    drawn: Any = asdict(plot)
    drawn["log"] = drawn.pop("logarithmic")
    held = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure_of(drawn).savefig(held, format=path.suffix[1:], metadata=_UNDATED[path.suffix], dpi=200)
    write_atomically(path, held.getvalue())
