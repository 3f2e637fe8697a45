"""The report of an audit in a folder: figures, LaTeX and PDF, HTML and JSON, all from one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bounds.progress import Progress, silent
from construct.atomic import write_atomically
from construct.json_file import json_text
from reports import latex
from reports.figures import draw, figures_expected
from reports.html import page
from reports.typeset import typeset


@dataclass(frozen=True)
class Report:
    """What was written.  pdf: None where no TeX engine made one.  message: what became of it."""

    json: Path
    html: Path
    tex: Path
    pdf: Path | None
    message: str

    @property
    def files(self) -> list[Path]:
        """What there is to open."""
        return [path for path in (self.pdf, self.html, self.tex, self.json) if path is not None]


def write(document: Mapping[str, Any], folder: Path, *, progress: Progress = silent) -> Report:
    """The report of a document below `folder`.

    document: as `reports.document.audit_document` makes it, or as `reports.document.load` reads it back.
    """
    count = max(1, figures_expected(document))
    with progress("report", 2.5 * count) as advance:  # to typeset them takes longer than to draw them
        write_atomically(folder / "report.json", json_text(document, indent=1) + "\n")
        figures = draw(document, folder / "figures", advance)
        write_atomically(folder / "report.html", page(document, figures))
        tex = latex.write(document, figures, folder)
        made = typeset(tex)
    message = "; ".join((made.message, *made.warnings))
    return Report(folder / "report.json", folder / "report.html", tex, made.pdf, message)
