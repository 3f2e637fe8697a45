"""The curves that arXiv 2411.16549 shows in Figures 3 to 7, read off their vector graphics by us, to 0.005.

Nothing is published of their intervals.  Two things show how far they can be trusted: how a curve jumps from
one number of examples to the next, and that the comparison network of one N is shown twice, beside either
attention.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from icgd.verify.study.measures import MeasuredR2

READ_TO = 0.005
"""The error of our reading of the figures."""
PLATEAU = range(26, 51)
"""Numbers of examples over which curves are averaged: the second half of those that training saw."""
_STEADY = range(14, 51)
"""Where curves are so flat that their jumps are noise."""


@dataclass(frozen=True)
class PublishedCurve:
    """R^2 at 0 to 75 examples.

    curve: "transformer", trained, or "network", trained on the prompt.  share: of N(-2, I) among the inputs.
    mean: of the parameters of the random networks.
    """

    figure: str
    attention: str
    N: int
    curve: str
    share: float
    mean: float
    values: tuple[float, ...]

    @property
    def plateau(self) -> float:
        """The mean R^2 at 26 to 50 examples."""
        return float(np.mean([self.values[k] for k in PLATEAU]))

    @property
    def jumps(self) -> float:
        """The standard deviation of one point about its neighbours: noise that neighbours do not share."""
        return scatter(self.values)

    def interval(self) -> MeasuredR2:
        """The plateau, give or take our reading error and 1.96 standard deviations of one point.

        The standard deviation is that of the jumps, or that of the plateau between the two copies of the
        comparison network at this N where it is larger; that 25 points are averaged is not used, since their
        prompts are the same.
        """
        beside = READ_TO + 1.96 * max(self.jumps, repeated_plateau(self.N))
        return MeasuredR2(self.plateau, self.plateau - beside, self.plateau + beside)


def scatter(values: tuple[float, ...] | np.ndarray) -> float:
    """From second differences: of independent points of variance s^2 they have variance 6 s^2."""
    steady = np.asarray(values)[_STEADY.start : _STEADY.stop]
    return float(np.sqrt(np.mean(np.diff(steady, 2) ** 2) / 6))


@cache
def published_curves() -> tuple[PublishedCurve, ...]:
    """All curves of Figures 3 to 6."""
    found = []
    for row in _rows("published_curves.csv"):
        values = tuple(float(row[f"e{k}"]) for k in range(76))
        about = (row["figure"], row["attention"], int(row["N"]), row["curve"])
        found.append(PublishedCurve(*about, float(row["share"]), float(row["mean"]), values))
    return tuple(found)


def published_curve(
    attention: str, N: int, curve: str = "transformer", share: float = 1.0, mean: float = 0.0
) -> PublishedCurve:
    """One curve; what Figures 3 and 4 show again in 5 and 6 is taken from the former."""
    wanted = (attention, N, curve, share, mean)
    for one in published_curves():
        if (one.attention, one.N, one.curve, one.share, one.mean) == wanted:
            return one
    raise KeyError(wanted)


@cache
def published_depths() -> dict[tuple[str, int], dict[int, float]]:
    """Figure 7: for each attention and number of examples, R^2 by number of blocks."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for row in _rows("published_depths.csv"):
        by_blocks = found.setdefault((row["attention"], int(row["examples"])), {})
        by_blocks[int(row["blocks"])] = float(row["r2"])
    return found


@cache
def repeated_plateau(N: int) -> float:
    """The standard deviation of a plateau, from the two copies of the network trained on the prompt."""
    pair = [published_curve(attention, N, "network").plateau for attention in ("relu", "softmax")]
    return float(np.std(pair, ddof=1))


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    yield from csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
