"""Draws the error budget of a plan: a bar for every local error's share, the largest first."""

from __future__ import annotations

import re

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from icgd.reports.document.numbers import digits
from icgd.reports.document.shape import PlanDocument
from icgd.reports.figures.captions import drawn_in_budget
from icgd.reports.figures.style import COLUMN, SMALL, typeset_label

_ROW, _TOP, _BOTTOM, _LEFT, _RIGHT = 0.17, 0.22, 0.26, 0.95, 1.02
"""Margins and the height of a bar in inches."""

_SHARES, _PIECES = 1.34, 1.66
"""Right edges of the two columns of numbers, in widths of the axes."""

_MOST = 30
_KINDS = {
    "r": ("value $r$", "0.25", ""),
    "dr": ("slope $r$\u2032", "0.55", "////"),
    "product": ("product", "0.9", ""),
    "u": ("loss slope $u$", "0.75", "xxxx"),
}
_OTHER = ("rounding", "1.0", "....")


def budget_figure(plan: PlanDocument) -> Figure:
    """The figure of a plan: the share of each local error in its bound on norm2(err)/eta."""
    terms = [(name, term) for name, term in plan["terms"].items() if drawn_in_budget(term, plan)]
    terms = sorted(terms, key=lambda item: -item[1]["share"])[:_MOST]
    height = _TOP + _ROW * len(terms) + _BOTTOM
    figure = Figure(figsize=(COLUMN, height))
    inner = (COLUMN - _LEFT - _RIGHT) / COLUMN
    axes = figure.add_axes((_LEFT / COLUMN, _BOTTOM / height, inner, _ROW * len(terms) / height))
    kinds = [_kind(name) for name, _ in terms]
    for row, ((_, term), (_, grey, hatch)) in enumerate(zip(terms, kinds, strict=True)):
        axes.barh(row, term["share"], height=0.72, color=grey, edgecolor="black", hatch=hatch, linewidth=0.5)
        pieces = "" if term["pieces"] is None else f"{term['pieces']:,}"
        place = axes.get_yaxis_transform()
        axes.text(
            _SHARES, row, digits(term["share"]), transform=place, va="center", ha="right", fontsize=SMALL
        )
        axes.text(_PIECES, row, pieces, transform=place, va="center", ha="right", fontsize=SMALL)
    axes.set_ylim(len(terms) - 0.4, -0.6)
    axes.set_yticks(range(len(terms)), [_label(name) for name, _ in terms])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    for x, heading in ((_SHARES, "share"), (_PIECES, "pieces")):
        axes.text(x, 1.0, heading, transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL)
    used = list(dict.fromkeys(kinds))
    handles = [
        Patch(facecolor=grey, edgecolor="black", hatch=hatch, linewidth=0.5) for _, grey, hatch in used
    ]
    figure.legend(
        handles, [label for label, _, _ in used], loc="lower center", ncols=len(used), frameon=False,
        borderaxespad=0.1, handlelength=1.4, columnspacing=1.2,
    )  # fmt: skip
    return figure


def _kind(name: str) -> tuple[str, str, str]:
    return _KINDS.get(name.split("[")[0], _OTHER)


def _label(name: str) -> str:
    """The label of a local error: "product, layer 2" for product[2]."""
    found = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    if not found:
        return typeset_label(name)
    kind = {"dr": "$r$\u2032", "r": "$r$", "u": "$u$"}.get(found[1], typeset_label(found[1]))
    return f"{kind}, layer {found[2]}"
