"""Affine maps between a table's columns and a prompt's, which keep every row within a theorem's radii."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from icgd.verify.data.table import DataError

_MARGIN = 1 - 2**-20
"""The norm of the longest row over the radius; the distance suffices for rounding, even in float32."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """The affine map between a table's columns and a prompt's: scaled = (value - centre) / unit.

    A constant column has unit 0; it scales to 0.
    """

    names: tuple[str, ...]
    centre: Float[np.ndarray, " columns"]
    unit: Float[np.ndarray, " columns"]

    def __post_init__(self) -> None:
        for name, centre, unit in zip(self.names, self.centre, self.unit, strict=True):
            if not (math.isfinite(centre) and math.isfinite(unit)):
                raise DataError(f"the numbers of column {name!r} are too large to be scaled")

    def apply(self, values: Float[np.ndarray, "*batch columns"]) -> Float[np.ndarray, "*batch columns"]:
        """Values of the table as a prompt holds them."""
        return np.where(self.unit > 0, (values - self.centre) / np.where(self.unit > 0, self.unit, 1), 0.0)

    def undo(self, scaled: Float[np.ndarray, "*batch columns"]) -> Float[np.ndarray, "*batch columns"]:
        """Values of a prompt in the table's own units."""
        return self.centre + self.unit * scaled


def _largest_row(values: Float[np.ndarray, "rows columns"]) -> float:
    return float(np.linalg.norm(values, axis=1).max())


def z_scores(names: Sequence[str], values: Float[np.ndarray, "rows columns"]) -> Scaling:
    """The scaling that gives every column mean 0 and standard deviation 1."""
    # In units of its largest entry no column overflows, and a constant column has an exact centre and spread.
    size = np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    centre = (values / size).mean(axis=0) * size
    return Scaling(tuple(names), centre, ((values - centre) / size).std(axis=0) * size)


def scale_to_ball(names: Sequence[str], values: Float[np.ndarray, "rows columns"], radius: float) -> Scaling:
    """The scaling that centres columns, equalises their spread and puts every row within 2-norm `radius`.

    Columns are z-scored, then all divided by one number: the largest row norm over the radius.
    """
    usual = z_scores(names, values)
    return Scaling(
        usual.names, usual.centre, usual.unit * (_largest_row(usual.apply(values)) / (radius * _MARGIN))
    )


def scale_to_range(
    names: Sequence[str], values: Float[np.ndarray, "rows columns"], low: float, high: float, radius: float
) -> Scaling:
    """The scaling that takes columns onto [low, high], then shrinks all rows to within 2-norm `radius`.

    Shrinking towards 0 stays in the range because low <= 0 <= high, as for the logistic loss's [0, 1].
    """
    unit = (values.max(axis=0) - values.min(axis=0)) / (high - low)
    centre = np.where(unit > 0, values.min(axis=0) - low * unit, values[0])
    onto = Scaling(tuple(names), centre, unit)
    largest = _largest_row(onto.apply(values))
    return onto if largest <= radius else Scaling(tuple(names), centre, unit * (largest / (radius * _MARGIN)))
