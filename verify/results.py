"""What the verification of a theorem found, in the nouns that every report prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from icgd.bounds.claims import Claim
from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem
from icgd.verify.verdict import Verdict

Cell = str | int | float | None


@dataclass(frozen=True)
class Grid:
    """A table of results.  columns: headings with units.  rows: one value a column.  note: how made."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """The table as plain values."""
        return {"title": self.title, "columns": self.columns, "rows": self.rows, "note": self.note}


@dataclass(frozen=True)
class Curve:
    """One line of a plot: y over x."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """A figure as data; reports draw it.  logarithmic: "", "x", "y" or "xy"."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    logarithmic: str = ""

    def as_dict(self) -> dict[str, object]:
        """The figure's data as plain values."""
        curves = [{"label": curve.label, "x": curve.x, "y": curve.y} for curve in self.curves]
        return {"title": self.title, "x": self.x, "y": self.y, "log": self.logarithmic, "curves": curves}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plot:
        """The figure whose `as_dict`, perhaps by way of JSON, this is."""
        curves = (Curve(one["label"], tuple(one["x"]), tuple(one["y"])) for one in values["curves"])
        return cls(values["title"], values["x"], values["y"], tuple(curves), values["log"])


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that was found out about one theorem on one problem.

    theorem: its name, such as "looped".  title, source: of the theorem, with the arXiv number.
    claims: the bounds, with explicit constants.  census: sizes counted off the tensors.
    verdicts: one for each claim that was judged.  certificate: of the step error, where there is one.
    """

    theorem: str
    title: str
    source: str
    problem: Letters | Problem
    seed: int
    verdicts: tuple[Verdict, ...]
    claims: tuple[Claim, ...] = ()
    census: Mapping[str, int | float] = field(default_factory=dict)
    grids: Sequence[Grid] = ()
    plots: Sequence[Plot] = ()
    certificate: Mapping[str, Any] | None = None
