"""Draws a figure of a study: intervals as bands, published curves as dots; legible in grey."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icgd.reports.document.numbers import is_number
from icgd.reports.document.study_shape import StudyCurveDocument, StudyFigureDocument
from icgd.reports.figures.curves import look
from icgd.reports.figures.style import COLUMN, typeset_label

_TALL, _LINE, _BELOW = 2.0, 0.127, 0.55
"""Height of the axes, of a line of the legend, and of what lies below the axes, in inches."""

_LOWEST = -0.6
"""A curve below this is cut off, where an axis is linear: predictors from one example may be far below."""

_FEW = 3
"""A curve of so many points has its intervals as lines, not as a band."""

DOTS: tuple[dict[str, str], ...] = (
    {"color": "black", "marker": "o", "markerfacecolor": "black"},
    {"color": "0.35", "marker": "o", "markerfacecolor": "white"},
    {"color": "0.35", "marker": "x"},
)
"""How published curves are marked, in their order."""


def study_figure(figure: StudyFigureDocument) -> Figure:
    """The figure; a point that is not a finite number is left out."""
    curves = [one for one in figure["curves"] if points_drawn(one)]
    rows = -(-len(curves) // 2)
    height = _TALL + _BELOW + _LINE * rows
    made = Figure(figsize=(COLUMN, height))
    bottom = (_BELOW + _LINE * rows) / height
    axes = made.add_axes((0.17, bottom, 0.79, (_TALL - 0.06) / height))
    handles, lines, dots = [], 0, 0
    for curve in curves:
        if curve["published"]:
            style: dict[str, Any] = {"linestyle": "", "markersize": 2.2, "markeredgewidth": 0.5, "zorder": 1}
            style |= DOTS[dots % len(DOTS)]
            dots += 1
        else:
            style = look(lines)
            lines += 1
        draw_curve(axes, curve, style)
        handles.append(Line2D([], [], **{name: one for name, one in style.items() if name != "zorder"}))
    for letter, scale in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        if letter in figure["logarithmic"]:
            scale("log", nonpositive="mask")
    if "y" not in figure["logarithmic"] and axes.get_ylim()[0] < _LOWEST:
        axes.set_ylim(bottom=_LOWEST)
    axes.set_xlabel(typeset_label(figure["x"]))
    axes.set_ylabel("$R^2$" if figure["y"] == "R^2" else typeset_label(figure["y"]))
    names = [typeset_label(one["label"]) for one in curves]
    made.legend(
        handles,
        names,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2,
        frameon=False,
        borderaxespad=0.2,
        borderpad=0.0,
        labelspacing=0.25,
        handlelength=2.6,
        columnspacing=1.0,
    )
    return made


def points_drawn(curve: StudyCurveDocument) -> list[int]:
    """The places of a curve that can be drawn."""
    numbers = enumerate(zip(curve["x"], curve["y"], strict=True))
    return [place for place, pair in numbers if all(is_number(one) and math.isfinite(one) for one in pair)]


def draw_curve(axes: Axes, curve: StudyCurveDocument, style: dict[str, Any], aside: float = 0.0) -> None:
    """Draw a curve with its intervals.  aside: how far it is moved to the right."""
    places = points_drawn(curve)
    x, y = ([float(curve[name][place]) for place in places] for name in ("x", "y"))
    x = [one + aside for one in x]
    axes.plot(x, y, **style)
    if not curve["low"]:
        return
    low, high = ([float(curve[name][place]) for place in places] for name in ("low", "high"))
    if len(places) > _FEW:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.13, linewidth=0, zorder=0)
    else:  # bands of few points, from few prompts, would cover everything
        axes.vlines(x, low, high, color=style["color"], linewidth=0.5, zorder=0)
