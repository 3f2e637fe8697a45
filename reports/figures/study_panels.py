"""Draws the study of networks in a panel for each group of predictors, the trained ones faint in all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from icgd.reports.document.studies import capitalised
from icgd.reports.document.study_shape import StudyCurveDocument, StudyFigureDocument
from icgd.reports.figures.curves import look
from icgd.reports.figures.study_figure import DOTS, draw_curve, points_drawn
from icgd.reports.figures.style import PAGE, SMALL, typeset_label

TRAINED_PANEL = "trained transformers"
PANELS: Mapping[str, Mapping[str, str]] = {
    TRAINED_PANEL: {"softmax transformer": "softmax", "relu transformer": "ReLU"},
    "averages of labels": {"mean": "mean", "neighbours": "neighbours", "last": "last label"},
    "linear and kernel": {"ridge": "ridge", "least squares": "least squares", "kernel": "kernel"},
    "network trained on the prompt": {
        "network, best epoch": "best by test",
        "network, last epoch": "fixed epoch",
        "network, validated": "validated",
        "network, each best epoch": "best by each test",
    },
    "constructed": {"exact": "exact", "lean": "lean"},
}
"""Title of a panel -> the predictors in it, and what each is called beside its line."""

IN_PANELS = tuple(name for panel in PANELS.values() for name in panel)
_PUBLISHED, _PROMPTS = ", published", " prompts"

_ROWS, _COLUMNS = 2, 3
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP, _TITLE, _TALL = 0.55, 0.04, 0.02, 0.38, 0.12, 0.21, 1.5
"""Margins, gaps, height of a title and of a panel, in inches."""

_LOOKS = (0, 1, 3, 2)
"""The looks of the lines of a panel: yellow last, which in grey is as pale as the trained ones."""
_LOWEST = -2.0
"""No axes begin below this: predictors from one example may be far below."""
_LABELS = 1.66
"""The axes are so many times as wide as the data, for the names of the lines."""
_APART = 0.1
"""Least distance of two names, as a share of the height of a panel."""
_ASIDE = 0.02
"""Curves of few points are moved sideways by this share of the width, so that no interval hides another."""


def predictor_of(curve: StudyCurveDocument) -> str:
    """The predictor that a curve is about, without what its label adds.

    >>> predictor_of({"label": "network, best epoch, 256 prompts"})
    'network, best epoch'
    """
    name, _, prompts = curve["label"].removesuffix(_PUBLISHED).rpartition(", ")
    return name if prompts.endswith(_PROMPTS) else curve["label"].removesuffix(_PUBLISHED)


def has_panels(figure: StudyFigureDocument) -> bool:
    """Whether a figure compares trained transformers with other predictors, and so is drawn in panels."""
    trained = PANELS[TRAINED_PANEL]
    return any(predictor_of(one) in trained and not one["published"] for one in figure["curves"])


def lowest_drawn(figure: StudyFigureDocument) -> float:
    """Where the axes begin: below the trained transformers and the averages, which are drawn whole."""
    whole = {*PANELS[TRAINED_PANEL], *PANELS["averages of labels"]}
    ends = [
        float(one[name][place])
        for one in figure["curves"]
        if predictor_of(one) in whole
        for name in ("y", "low")
        for place in points_drawn(one)
        if one[name] and math.isfinite(float(one[name][place]))
    ]
    return max(_LOWEST, math.floor(10 * min(ends, default=0.0)) / 10)


def panelled_figure(figure: StudyFigureDocument) -> Figure:
    """The figure of a study that `has_panels`; a name stands beside each line, and the rest in a key."""
    height = _TOP + _ROWS * (_TITLE + _TALL) + _BOTTOM + _GAP
    wide = (PAGE - _LEFT - _RIGHT - _GAP * (_COLUMNS - 1)) / _COLUMNS
    made = Figure(figsize=(PAGE, height))
    first: Axes | None = None
    for number, (title, names) in enumerate(PANELS.items()):
        row, column = divmod(number, _COLUMNS)
        left = _LEFT + column * (wide + _GAP)
        bottom = height - _TOP - (row + 1) * (_TITLE + _TALL) - row * _GAP
        place = left / PAGE, bottom / height, wide / PAGE, _TALL / height
        axes = made.add_axes(place, sharex=first, sharey=first)
        if first is None:
            _prepare(axes, figure)
        first = first or axes
        axes.set_title(capitalised(title), loc="left", pad=3)
        axes.spines["bottom"].set_bounds(0, _most(figure))
        axes.tick_params(labelleft=not column, labelbottom=number >= len(PANELS) - _COLUMNS)
        if not column:
            axes.set_ylabel("$R^2$", labelpad=1)
        if number >= len(PANELS) - _COLUMNS:
            axes.set_xlabel(typeset_label(figure["x"]), x=0.5 / _LABELS)
        _fill(axes, figure, names)
    left = (_LEFT + (_COLUMNS - 1) * (wide + _GAP)) / PAGE
    made.legend(
        *zip(*_key(figure), strict=True),
        loc="upper left",
        bbox_to_anchor=(left, (_BOTTOM + _TALL - 0.15) / height),
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.0,
        handlelength=2.4,
    )
    return made


def cut_off(figure: StudyFigureDocument) -> list[str]:
    """The predictors of which a value or an interval is below the axes."""
    lowest = lowest_drawn(figure)
    below = [
        predictor_of(one)
        for one in figure["curves"]
        if any(float(number) < lowest for name in ("y", "low") for number in one[name])
    ]
    return list(dict.fromkeys(below))


def _most(figure: StudyFigureDocument) -> float:
    return max(float(x) for one in figure["curves"] for x in one["x"])


def _prepare(axes: Axes, figure: StudyFigureDocument) -> None:
    most = _most(figure)
    axes.set_xlim(-0.02 * most, _LABELS * most)
    axes.set_ylim(lowest_drawn(figure), 1.0)
    ticks = MaxNLocator(4, steps=[1, 2.5, 5, 10], integer=True).tick_values(0, most)
    axes.set_xticks([float(one) for one in ticks if one <= most])


def _fill(axes: Axes, figure: StudyFigureDocument, names: Mapping[str, str]) -> None:
    curves = [one for one in figure["curves"] if points_drawn(one)]
    lines = [one for one in curves if not one["published"]]
    trained = [one for one in lines if predictor_of(one) in PANELS[TRAINED_PANEL]]
    for one in trained if names is not PANELS[TRAINED_PANEL] else ():
        axes.plot(*curve_data(one), zorder=1, **_faint(predictor_of(one)))
    measured = {float(x) for one in trained for x in one["x"]}
    for one in (one for one in curves if one["published"] and predictor_of(one) in names):
        x, y = (list(part) for part in curve_data(one))
        kept = [place for place, value in enumerate(x) if value in measured]
        style = _dots(predictor_of(one))
        axes.plot([x[place] for place in kept], [y[place] for place in kept], zorder=4, **style)
    found = {predictor_of(one): one for one in lines if predictor_of(one) in names}
    shown = [name for name in names if name in found]
    ends = []
    for index, name in enumerate(shown):
        style = look(_LOOKS[index]) | {"markersize": 2.2, "markeredgewidth": 0.5}
        aside = 0.0
        if len(points_drawn(found[name])) < len(measured):
            aside = _ASIDE * _most(figure) * (index - (len(shown) - 1) / 2)
        draw_curve(axes, found[name], style, aside)
        x, y = curve_data(found[name])
        ends.append((x[-1] + aside, y[-1], names[name], str(style["color"])))
    _name_lines(axes, ends)


def _name_lines(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """A name beside the end of every line, moved apart where they would meet."""
    low, high = axes.get_ylim()
    most = axes.get_xlim()[1] / _LABELS
    order = sorted(ends, key=lambda one: one[1])
    heights = spread([(one[1] - low) / (high - low) for one in order], _APART)
    for (x, y, name, colour), share in zip(order, heights, strict=True):
        level = low + share * (high - low)
        if y >= low:
            axes.plot([x, 1.08 * most], [y, level], color=colour, linewidth=0.35, zorder=1)
        axes.text(1.1 * most, level, name, fontsize=SMALL, va="center")


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Ascending places between 0 and 1, moved as little as it takes to be so far apart.

    >>> [round(one, 2) for one in spread([0.5, 0.52, 0.99], 0.1)]
    [0.46, 0.56, 0.96]
    """
    found = [min(max(one, apart / 2), 1 - 0.4 * apart) for one in places]
    for _ in range(100):
        for place in range(1, len(found)):
            short = apart - (found[place] - found[place - 1])
            if short > 0:
                found[place - 1] -= short / 2
                found[place] += short / 2
        over = max(0.0, found[-1] - (1 - 0.4 * apart)) if found else 0.0
        if over:
            found[-1] -= over
    return found


def curve_data(curve: StudyCurveDocument) -> tuple[list[float], list[float]]:
    """x and y of the points that can be drawn."""
    places = points_drawn(curve)
    return [float(curve["x"][one]) for one in places], [float(curve["y"][one]) for one in places]


def _faint(name: str) -> dict[str, Any]:
    """The look of a trained transformer where other predictors are compared with it."""
    which = list(PANELS[TRAINED_PANEL]).index(name)
    return {"color": "0.6", "linewidth": 0.8, "linestyle": look(which)["linestyle"]}


def _dots(name: str) -> dict[str, Any]:
    which = (*PANELS[TRAINED_PANEL], "network, best epoch").index(name)
    return {"linestyle": "", "markersize": 2.6, "markeredgewidth": 0.6} | DOTS[which]


def _key(figure: StudyFigureDocument) -> Iterator[tuple[Line2D | Patch, str]]:
    """What no name stands beside: grey lines, dots and bands."""
    for name, said in PANELS[TRAINED_PANEL].items():
        yield Line2D([], [], **_faint(name)), f"{said} transformer, trained"
    known = dict.fromkeys(predictor_of(one) for one in figure["curves"] if one["published"])
    words = dict(PANELS[TRAINED_PANEL]) | {"network, best epoch": "network best by test"}
    for name in known:
        yield Line2D([], [], **_dots(name)), f"{words[name]}, published"
    yield Patch(facecolor="0.45", alpha=0.3, linewidth=0), "interval of 95%"
