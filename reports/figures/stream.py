"""Draws a transformer as its residual stream: a line for every slot, a column for every sub-layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icgd.reports.document.shape import SlotDocument, StreamDocument, SublayerDocument
from icgd.reports.figures.style import GREY, PAGE, SMALL, typeset_label

_MOST_ROWS = 48
"""Most slots that get a line each; if there are more, slots of one kind share a line."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 1.25, 0.1, 0.36, 0.82
"""Margins in inches."""

_ROW, _GAP = 0.138, 0.07
_GROUPS = ("example", "weights $w$", "scratch", "constants")
_GROUP = {"x": 0, "y": 0, "V": 1, "one": 3, "t": 3}
_LETTERS = {"dr": "r\u2032", "one": "1"}


@dataclass(frozen=True)
class Row:
    """One line of the drawing.  name: of a slot, or of a kind of slots.  members: the slots on this line."""

    name: str
    group: int
    size: int
    members: frozenset[str]

    @property
    def label(self) -> str:
        """The name typeset as mathematics: z(1) for z1, r'(2) for dr2, V_1 for V1."""
        kind, number = _split(self.name)
        if not kind:
            return typeset_label(self.name)
        letter = _LETTERS.get(kind, kind)
        if self.group == 1:
            return f"${letter}_{{{number}}}$" if number else f"${letter}$"
        return f"${letter}({number})$" if number else f"${letter}$"


def rows_of(slots: Sequence[SlotDocument]) -> list[Row]:
    """The lines of the drawing, grouped; more than _MOST_ROWS slots are joined by kind."""
    joined = len(slots) > _MOST_ROWS
    found: dict[str, list[SlotDocument]] = {}
    for slot in slots:
        kind, number = _split(slot["name"])
        found.setdefault(f"{kind}j" if joined and number else slot["name"], []).append(slot)
    rows = [
        Row(
            name,
            _GROUP.get(_split(same[0]["name"])[0], 2),
            sum(slot["size"] for slot in same),
            frozenset(slot["name"] for slot in same),
        )
        for name, same in found.items()
    ]
    return sorted(rows, key=lambda row: row.group)


def stream_figure(stream: StreamDocument) -> Figure:
    """The figure of a transformer's stream."""
    rows, sublayers = rows_of(stream["slots"]), stream["sublayers"]
    gaps = [sum(rows[i].group != rows[i - 1].group for i in range(1, k + 1)) for k in range(len(rows))]
    at = [-(k * _ROW + gap * _GAP) for k, gap in enumerate(gaps)]  # inches below the first line
    tall = -at[-1] + _ROW
    height = _TOP + tall + _BOTTOM
    figure = Figure(figsize=(PAGE, height))
    inner = PAGE - _LEFT - _RIGHT
    axes = figure.add_axes((_LEFT / PAGE, _BOTTOM / height, inner / PAGE, tall / height))
    axes.set_xlim(-0.6, len(sublayers) - 0.4)
    axes.set_ylim(at[-1] - _ROW / 2, _ROW / 2)
    axes.axis("off")
    size = max(2.2, min(3.6, 72 * inner / len(sublayers) * 0.16))
    _shade(axes, sublayers)
    for row, y in zip(rows, at, strict=True):
        _wire(axes, row, y, sublayers, size)
    for column, sublayer in enumerate(sublayers):
        touched = {*sublayer["reads"], *sublayer["writes"]}
        met = [y for row, y in zip(rows, at, strict=True) if row.members & touched]
        if met:
            axes.plot([column, column], [min(met), max(met)], color=GREY, linewidth=0.5, zorder=2)
        axes.text(
            column,
            at[-1] - _ROW * 0.75,
            _counted(sublayer),
            rotation=90,
            ha="center",
            va="top",
            fontsize=SMALL,
        )
    _name_groups(axes, rows, at)
    _legend(figure, size)
    return figure


def _split(name: str) -> tuple[str, str]:
    """z1 -> (z, 1); V_j of several -> (V, j)."""
    found = re.fullmatch(r"([A-Za-z]+?)(\d+|j|)", name)
    return (found[1], found[2]) if found else ("", "")


def _counted(sublayer: SublayerDocument) -> str:
    count, what = (
        (sublayer["heads"], "head") if sublayer["kind"] == "attention" else (sublayer["units"], "ReLU")
    )
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _shade(axes: Axes, sublayers: Sequence[SublayerDocument]) -> None:
    """Shade every other layer grey, and write the number of each layer above it."""
    for layer in sorted({sublayer["layer"] for sublayer in sublayers}):
        columns = [k for k, sublayer in enumerate(sublayers) if sublayer["layer"] == layer]
        if layer % 2:
            axes.axvspan(columns[0] - 0.5, columns[-1] + 0.5, color="0.93", linewidth=0, zorder=0)
        axes.text(
            (columns[0] + columns[-1]) / 2,
            1.0,
            str(layer),
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
        )
    axes.text(-0.02, 1.0, "layer", transform=axes.transAxes, ha="right", va="bottom")


def _wire(axes: Axes, row: Row, y: float, sublayers: Sequence[SublayerDocument], size: float) -> None:
    """Draw the line of a slot, solid from where it may be nonzero, with marks for reads and writes."""
    reads = [k for k, sublayer in enumerate(sublayers) if row.members & set(sublayer["reads"])]
    writes = [k for k, sublayer in enumerate(sublayers) if row.members & set(sublayer["writes"])]
    end = len(sublayers) - 0.5
    alive = -0.5 if row.group != 2 else writes[0] if writes else end
    axes.plot([-0.5, alive], [y, y], color="0.7", linewidth=0.4, linestyle=(0, (1, 2)), zorder=1)
    axes.plot([alive, end], [y, y], color="0.3", linewidth=0.6, zorder=1)
    both = set(reads) & set(writes)
    axes.plot(
        [k - 0.2 * (k in both) for k in reads], [y] * len(reads), "o", color="black", markerfacecolor="white",
        markersize=size, markeredgewidth=size / 5, zorder=3, gid=f"reads-{row.name}",
    )  # fmt: skip
    axes.plot(
        [k + 0.2 * (k in both) for k in writes], [y] * len(writes), "s", color="black",
        markersize=size, markeredgewidth=size / 5, zorder=3, gid=f"writes-{row.name}",
    )  # fmt: skip
    place = axes.get_yaxis_transform()
    axes.text(-0.055, y, row.label, transform=place, ha="right", va="center")
    axes.text(
        -0.008, y, f"{row.size:,}", transform=place, ha="right", va="center", fontsize=SMALL - 1, color="0.35"
    )


def _name_groups(axes: Axes, rows: Sequence[Row], at: Sequence[float]) -> None:
    for group in sorted({row.group for row in rows}):
        mine = [y for row, y in zip(rows, at, strict=True) if row.group == group]
        place = axes.get_yaxis_transform()
        left = -0.13
        axes.text(
            left - 0.012, (mine[0] + mine[-1]) / 2, _GROUPS[group], transform=place, ha="right", va="center"
        )
        ends = [mine[-1] - _ROW * 0.35, mine[0] + _ROW * 0.35]
        axes.plot([left, left], ends, transform=place, color=GREY, linewidth=0.6, clip_on=False)


def _legend(figure: Figure, size: float) -> None:
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            color="black",
            markerfacecolor="white",
            linestyle="",
            markersize=size,
            markeredgewidth=size / 5,
        ),
        Line2D([], [], marker="s", color="black", linestyle="", markersize=size),
        Line2D([], [], color="0.3", linewidth=0.6),
        Line2D([], [], color="0.7", linewidth=0.4, linestyle=(0, (1, 2))),
    ]
    labels = ["read", "written", "may hold numbers", "still zero"]
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, borderaxespad=0.1)
