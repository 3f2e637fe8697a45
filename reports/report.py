"""Writes the report of an audit into a folder: figures, LaTeX, PDF, HTML and JSON, all from one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from icgd.bounds.progress import Progress, silent
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.folders import replacing
from icgd.construct.machine.json_files import json_text
from icgd.reports.document.shape import AuditDocument
from icgd.reports.figures.figures import draw_figures, figures_expected
from icgd.reports.html.page import page
from icgd.reports.latex import source as latex
from icgd.reports.latex.macros import PREFIX
from icgd.reports.latex.typeset import typeset


@dataclass(frozen=True)
class Report:
    """The files of a written report.

    pdf: None if no TeX engine made one.  message: why there is no PDF, and the warnings of the TeX run.
    """

    json: Path
    html: Path
    tex: Path
    pdf: Path | None
    message: str

    @property
    def files(self) -> list[Path]:
        """The files that exist, the PDF first."""
        return [path for path in (self.pdf, self.html, self.tex, self.json) if path is not None]


def write_report(
    document: AuditDocument,
    folder: Path,
    files: Mapping[str, str] = MappingProxyType({}),
    *,
    progress: Progress = silent,
    prefix: str = PREFIX,
) -> Report:
    """Write the report of a document; it replaces `folder` once it is complete.

    document: from `icgd.reports.document.document.audit_document` or `icgd.reports.document.upgrade.load`.
    files: name -> text of other files of the run, such as its certificates.
    prefix: how the names of the LaTeX macros begin.
    """
    count = max(1, figures_expected(document))
    # Typesetting takes 1.5 times as long as drawing the figures.
    with replacing(folder) as made, progress("report", 2.5 * count) as advance:
        for name, text in files.items():
            write_atomically(made / name, text)
        write_atomically(made / "report.json", json_text(document, indent=1) + "\n")
        figures = draw_figures(document, made / "figures", advance)
        write_atomically(made / "report.html", page(document, figures))
        tex = latex.write_source(document, figures, made, prefix)
        printed = typeset(tex)
    message = "; ".join((printed.message, *printed.warnings))
    pdf = printed.pdf and folder / printed.pdf.name
    return Report(folder / "report.json", folder / "report.html", folder / tex.name, pdf, message)
