"""Draws a plot: lines that are distinguishable without colour, and a legend outside the axes."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullFormatter, NullLocator

from icgd.reports.document.numbers import is_number
from icgd.reports.document.shape import CurveDocument, PlotDocument
from icgd.reports.figures.style import COLOURS, COLUMN, DASHES, GREY, MARKERS, PAGE, typeset_label

_LEFT, _RIGHT, _TOP, _BOTTOM = 0.7, 0.14, 0.1, 0.39
"""Margins of the axes in inches."""

_ALONE, _PANEL = 1.5, 1.35
"""Heights of a single pair of axes and of panels in a row, in inches."""

_LINE = 0.127
"""Height of a line of the legend in inches."""

_MOST_LINES = 6
"""Most lines in one pair of axes; more are divided into panels."""

_HALF_LINE = 20
"""Most characters of a label for a legend of two columns."""

_LONG = 500
_LAW = re.compile(r"c (\w+)\^\((-?[\d/]+)\)")


def drawable(curve: CurveDocument) -> tuple[list[float], list[float]]:
    """The points of a curve that are finite numbers; a long curve omits points inside constant stretches."""
    kept = [
        (float(x), float(y))
        for x, y in zip(curve["x"], curve["y"], strict=True)
        if is_number(y) and math.isfinite(y)
    ]
    if len(kept) > _LONG:
        level = [
            1 <= i < len(kept) - 1 and kept[i - 1][1] == kept[i][1] == kept[i + 1][1]
            for i in range(len(kept))
        ]
        kept = [point for point, drop in zip(kept, level, strict=True) if not drop]
    return [x for x, _ in kept], [y for _, y in kept]


def figure_of(plot: PlotDocument) -> Figure:
    """The figure of a plot.

    If there are many curves with labels "this, that", each `this` gets a panel.  A curve labelled
    "c eps^(-2)" is a power law: a thin line annotated with its exponent.
    """
    panels = _panels(plot["curves"])
    names = [label for label, _ in panels[0][1]]
    marks = {name: index for index, name in enumerate(name for name in names if not _LAW.fullmatch(name))}
    width = COLUMN if len(panels) == 1 else PAGE
    entries = [textwrap.fill(name, 54 if len(panels) == 1 else 200) for name in marks]
    short = len(entries) > 1 and max(map(len, entries), default=0) <= _HALF_LINE
    columns = (2 if short else 1) if len(panels) == 1 else max(1, min(len(entries), 4))
    lines = sum(entry.count("\n") + 1 for entry in entries) if columns == 1 else -(-len(entries) // columns)
    title = 0.2 if len(panels) > 1 else 0.0
    tall = _ALONE if len(panels) == 1 else _PANEL
    shown = lines if len(entries) > 1 or len(panels) > 1 else 0
    height = _TOP + title + tall + _BOTTOM + _LINE * shown + (0.06 if shown else 0.0)
    figure = Figure(figsize=(width, height))
    inner = (width - _LEFT - _RIGHT * len(panels)) / len(panels)
    first: Axes | None = None
    for number, (name, curves) in enumerate(panels):
        left = _LEFT + number * (inner + _RIGHT)
        place = left / width, 1 - (_TOP + title + tall) / height, inner / width, tall / height
        axes = figure.add_axes(place, sharey=first, sharex=first)
        first = first or axes
        _fill(axes, plot, curves, marks)
        axes.set_xlabel(typeset_label(plot["x"]))
        if number:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(typeset_label(plot["y"]))
        if len(panels) > 1:
            axes.set_title(typeset_label(name), pad=3)
    if shown:
        handles = [Line2D([], [], **look(index)) for index in marks.values()]
        figure.legend(
            handles,
            ["\n".join(map(typeset_label, entry.split("\n"))) for entry in entries],
            loc="lower left" if len(panels) == 1 else "lower center",
            bbox_to_anchor=(0.02 if len(panels) == 1 else 0.5, 0.0),
            ncols=columns,
            frameon=False,
            borderaxespad=0.2,
            borderpad=0.0,
            labelspacing=0.25,
            handlelength=3.0,
            columnspacing=1.2,
        )
    return figure


def look(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of line number `index`; any two of the first five differ in all three."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    return {
        "color": colour,
        "linestyle": DASHES[index % len(DASHES)],
        "marker": marker,
        "markersize": 3.2,
        "markerfacecolor": "white" if index % 2 else colour,
        "markeredgewidth": 0.7,
        "linewidth": 1.0,
    }


def _panels(curves: Sequence[CurveDocument]) -> list[tuple[str, list[tuple[str, CurveDocument]]]]:
    """(title, [(label, curve)]) for each panel: one panel, or one for each `this` in labels "this, that"."""
    whole = [("", [(curve["label"], curve) for curve in curves])]
    if len(curves) <= _MOST_LINES or not all(curve["label"].count(", ") == 1 for curve in curves):
        return whole
    panels: dict[str, list[tuple[str, CurveDocument]]] = {}
    for curve in curves:
        this, that = curve["label"].split(", ")
        panels.setdefault(this, []).append((that, curve))
    names = {tuple(label for label, _ in lines) for lines in panels.values()}
    return list(panels.items()) if len(names) == 1 and 1 < len(panels) <= 4 else whole


def _fill(
    axes: Axes, plot: PlotDocument, curves: Iterable[tuple[str, CurveDocument]], marks: dict[str, int]
) -> None:
    laws, xs, ys = [], set[float](), set[float]()
    for name, curve in curves:
        x, y = drawable(curve)
        xs.update(x)
        ys.update(y)
        if law := _LAW.fullmatch(name):
            axes.plot(x, y, color=GREY, linewidth=0.6, zorder=1, label=name)
            laws.append((law, x, y))
        else:
            axes.plot(x, y, **look(marks[name]), label=name, markevery=_every(marks[name], len(x)))
    _scale(axes, plot["log"], xs, ys)
    for law, x, y in laws:
        k = len(x) // 2
        axes.annotate(
            rf"$\propto{typeset_label(law[1]).strip('$')}^{{{law[2]}}}$",
            (math.sqrt(x[k] * x[k - 1]), math.sqrt(y[k] * y[k - 1])),
            xytext=(3, 2),
            textcoords="offset points",
            color="0.25",
        )


def _every(index: int, points: int) -> tuple[int, int]:
    """The offset and step of the points with a marker, about ten, offset by curve so that overlaps show."""
    step = max(1, -(-points // 10))
    return index * step // 2 % step, step


def _scale(axes: Axes, logarithmic: str, xs: set[float], ys: set[float]) -> None:
    if "x" in logarithmic and max(xs, default=0.0) > 0:
        axes.set_xscale("log", nonpositive="mask")
        _few_ticks(axes.xaxis, *axes.get_xlim())
    elif all(x == int(x) for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if "y" in logarithmic and max(ys, default=0.0) > 0:
        axes.set_yscale("log", nonpositive="mask")
        _few_ticks(axes.yaxis, *axes.get_ylim())


def _few_ticks(axis: Axis, low: float, high: float) -> None:
    """Set labels at 1, 2 and 5 if the axis has few powers of ten, and no minor ticks if it has many."""
    decades = math.log10(high / low)
    if decades < 2:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(9.0, 9.0)))
    elif decades > 6:
        axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_formatter(NullFormatter())
    if decades > 4:
        axis.set_minor_locator(NullLocator())
