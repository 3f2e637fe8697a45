"""Estimates of the time and memory that a command needs, made before it starts; too much is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from icgd.bounds.letters import ProblemError

DAY = 86_400.0
"""The longest that a command may take, in seconds."""

WORTH_SAYING = 6.0
"""Estimates of at least this many seconds are shown before the work starts."""


@dataclass(frozen=True)
class Stage:
    """A stage of a command.  seconds: on a common machine with one core free.  bytes: its peak memory.

    letter, value: the option that drives its cost most, the one to lower.
    """

    name: str
    seconds: float
    bytes: float = 0.0
    letter: str = ""
    value: object = None

    @property
    def advice(self) -> str:
        """How to make it cheaper."""
        return "raise eps" if self.letter == "eps" else f"lower {self.letter or 'the sizes'}"


@dataclass(frozen=True)
class Estimate:
    """The stages of a command, which run one after another; accurate to about a factor of three.

    >>> str(Estimate((Stage("plan", 3), Stage("sweep", 36.6), Stage("properties", 0.2))))
    'about 40 s: plan 3 s, sweep 40 s'
    """

    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def bytes(self) -> float:
        return max((stage.bytes for stage in self.stages), default=0.0)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate((*self.stages, *other.stages))

    def __str__(self) -> str:
        shown = (f"{stage.name} {duration_text(stage.seconds)}" for stage in self._longest())
        return f"about {duration_text(self.seconds)}: {', '.join(shown)}"

    def _longest(self) -> Iterator[Stage]:
        summed: dict[str, float] = {}
        for stage in self.stages:
            summed[stage.name] = summed.get(stage.name, 0.0) + stage.seconds
        for name, seconds in summed.items():
            if seconds >= max(0.5, self.seconds / 50):
                yield Stage(name, seconds)

    def check(self, free: float) -> Estimate:
        """Returns this estimate; raises ProblemError if it exceeds a day or 0.9 of `free` bytes."""
        longest = max(self.stages, key=lambda stage: stage.seconds, default=Stage("", 0.0))
        largest = max(self.stages, key=lambda stage: stage.bytes, default=Stage("", 0.0))
        if not largest.bytes <= 0.9 * free:
            raise ProblemError(
                largest.letter or "size",
                largest.value if largest.letter else largest.name,
                f"{largest.name} would take about {bytes_text(largest.bytes)} of memory, but only "
                f"{bytes_text(free)} is free; {largest.advice}",
            )
        if not self.seconds <= DAY:
            raise ProblemError(
                longest.letter or "work",
                longest.value if longest.letter else longest.name,
                f"{longest.name} would take {duration_text(longest.seconds)}, but at most a day is allowed; "
                f"{longest.advice}",
            )
        return self


def duration_text(seconds: float) -> str:
    """A duration as readable text.

    >>> (
    ...     duration_text(3.2),
    ...     duration_text(41),
    ...     duration_text(500),
    ...     duration_text(7300),
    ...     duration_text(1e7),
    ...     duration_text(1e12),
    ... )
    ('3 s', '40 s', '8 min', '2 h', '116 days', 'more than a century')
    """
    if not seconds < 3e9:
        return "more than a century"
    if seconds < 20:
        return f"{max(1, round(seconds))} s"
    if seconds < 100:
        return f"{round(seconds, -1):.0f} s"
    for unit, name, limit in ((60.0, "min", 6000.0), (3600.0, "h", 172_800.0), (86_400.0, "days", math.inf)):
        if seconds < limit:
            return f"{seconds / unit:,.0f} {name}"
    raise AssertionError


def bytes_text(size: float) -> str:
    """A number of bytes as readable text."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.3g} {unit}"
        size /= 1024
    raise AssertionError
