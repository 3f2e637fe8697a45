"""Draws every figure of a document as PDF and SVG, from the document alone and reproducible byte for byte."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from icgd.bounds.progress import Advance
from icgd.construct.machine.files import write_atomically
from icgd.reports.document.numbers import is_number
from icgd.reports.document.shape import AuditDocument, CurveDocument, PlotDocument, TheoremDocument
from icgd.reports.document.step_bound import bound_name
from icgd.reports.document.studies import figure_place
from icgd.reports.figures.captions import (
    budget_caption,
    caption,
    loss_caption,
    steps_caption,
    stream_caption,
    study_caption,
)
from icgd.reports.figures.curves import figure_of
from icgd.reports.figures.error_budget import budget_figure
from icgd.reports.figures.messages import (
    budget_message,
    looks_like_one_line,
    loss_message,
    message,
    steps_message,
    stream_message,
    study_message,
)
from icgd.reports.figures.stream import stream_figure
from icgd.reports.figures.study_figure import study_figure
from icgd.reports.figures.study_panels import has_panels, panelled_figure
from icgd.reports.figures.style import STYLE


@dataclass(frozen=True)
class Drawn:
    """A figure on disk.

    theorem: the key of its theorem in the document.  name: unique in the document; letters, digits, hyphens.
    title: its message.  Both texts are in the notation of evidence strings, such as norm2(err) <= eta*eps.
    """

    theorem: str
    name: str
    title: str
    caption: str
    pdf: Path
    svg: Path


@dataclass(frozen=True, eq=False)
class Sketch:
    """A figure that is not saved yet."""

    theorem: str
    name: str
    title: str
    caption: str
    figure: Figure


def figures_expected(document: AuditDocument) -> int:
    """The approximate number of figures of a document, for the progress bar."""
    parts = document["theorems"].values()
    studied = sum(one["shown"] for study in document.get("studies") or () for one in study["figures"])
    return studied + sum(len(part.get("plots") or ()) + 3 * bool(part.get("trajectory")) for part in parts)


def draw_figures(
    document: AuditDocument, folder: Path, advance: Advance = lambda done: None
) -> tuple[Drawn, ...]:
    """Save a PDF and an SVG in `folder` for every figure of the document, in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context(STYLE):
        for one in sketches(document):
            pdf, svg = folder / f"{one.name}.pdf", folder / f"{one.name}.svg"
            _save(one.figure, pdf, {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None})
            _save(one.figure, svg, {"Date": None, "Creator": None})
            drawn.append(Drawn(one.theorem, one.name, one.title, one.caption, pdf, svg))
            advance(1)
    return tuple(drawn)


def sketches(document: AuditDocument) -> Iterator[Sketch]:
    """The figures of a document, each drawn only when the iterator reaches it; use within STYLE."""
    taken: set[str] = set()
    for theorem, part in document["theorems"].items():
        for title, said, text, figure in _of_part(part, document.get("seed", 0)):
            slug = re.sub(r"[^a-z0-9]+", "-", f"{theorem} {title}".lower()).strip("-")
            name = next(n for k in range(1, 1000) if (n := slug if k == 1 else f"{slug}-{k}") not in taken)
            taken.add(name)
            yield Sketch(theorem, name, said, text, figure)
    for study in document.get("studies") or ():
        for one in study["figures"]:
            if one["shown"]:
                name = f"study-{study['study']}-{one['key']}"
                made = panelled_figure(one) if has_panels(one) else study_figure(one)
                yield Sketch(figure_place(study), name, study_message(one), study_caption(study, one), made)


def _of_part(part: TheoremDocument, seed: int) -> Iterator[tuple[str, str, str, Figure]]:
    """(name, message, caption, figure) of one theorem: its transformer, its plots, its budget, its steps."""
    if part.get("stream"):
        said = stream_message(part["stream"])
        yield "The transformer as its stream", said, stream_caption(part), stream_figure(part["stream"])
    for plot in part.get("plots") or ():
        if plot["curves"] and not looks_like_one_line(plot):
            yield plot["title"], message(plot), caption(part, plot, seed), figure_of(plot)
    plan, path = part.get("plan"), part.get("trajectory")
    if plan and any(term["share"] > 0 for term in plan["terms"].values()):
        yield "Where the error budget goes", budget_message(plan), budget_caption(part), budget_figure(plan)
    if path:
        error = part.get("step_error")
        allowed = error["allowed"] if error else None
        said = steps_message(path, allowed) if is_number(allowed) else "Error of every step"
        yield "Error of every step", said, steps_caption(part), figure_of(steps_plot(part))
        losses = loss_plot(part)
        if path["source"] != "random prompts" and not looks_like_one_line(losses):
            yield "Loss along the descent", loss_message(path), loss_caption(part), figure_of(losses)


def steps_plot(part: TheoremDocument) -> PlotDocument:
    """A plot of norm2(err) of each followed step, with the sampled, attacked, bounded and allowed error."""
    path, error = part["trajectory"], part.get("step_error")
    steps = list(range(1, len(path["errors"]) + 1))
    ends = sorted({*steps[:1], *steps[-1:]})
    curves: list[CurveDocument] = [
        {"label": f"followed, {path['prompts']:,} prompts", "x": steps, "y": path["errors"]}
    ]
    if error:
        levels = {
            "sampled, any step": error["sampled"],
            "attacked, any step": error["attacked"],
            bound_name(part): error["bound"],
            f"{bound_name(part)} outside the margin": error.get("bound_off_margin"),
            "allowed, eta eps": error["allowed"],
        }
        curves += [
            {"label": label, "x": ends, "y": [level] * len(ends)}
            for label, level in levels.items()
            if level is not None
        ]
    return {"title": "", "x": "step", "y": "norm2(err)", "log": "y", "curves": curves}


def loss_plot(part: TheoremDocument) -> PlotDocument:
    """The plot of the mean loss of the transformer's iterates and of the exact ones."""
    path = part["trajectory"]
    lines = {"transformer": path["loss"], "exact descent": path["exact_loss"]}
    curves: list[CurveDocument] = [
        {"label": label, "x": range(len(line)), "y": line} for label, line in lines.items()
    ]
    return {"title": "", "x": "step", "y": "mean empirical loss", "log": "", "curves": curves}


def _save(figure: Figure, path: Path, metadata: dict[str, str | None]) -> None:
    held = io.BytesIO()
    figure.savefig(held, format=path.suffix[1:], metadata=metadata)
    data = held.getvalue()
    write_atomically(path, _compact(data.decode()) if path.suffix == ".svg" else data)


_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def _compact(svg: str) -> str:
    """The same SVG without comments and indentation; coordinates are rounded to a hundredth of a point."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: _NUMBER.sub(_rounded, found[0]), svg)
    return re.sub(r"\s*\n\s*", "\n", svg).replace("\nL ", " L ").replace("\nQ ", " Q ")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
