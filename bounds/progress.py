"""Progress of long computations, reported independently of how it is displayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

Advance = Callable[[float], None]
"""Called with the number of units of work just completed."""


@dataclass(frozen=True)
class Progress:
    """Called with a description and a number of units of work; returns a context manager for an `Advance`.

    All units should take about equally long, so that a display can estimate the remaining time.  seconds:
    the expected total on a common machine, where known.  All instances compare equal, so that functions
    under lru_cache can take one as an argument.
    """

    begin: Callable[[str, float, float | None], AbstractContextManager[Advance]] = field(compare=False)

    def __call__(
        self, what: str, total: float, seconds: float | None = None
    ) -> AbstractContextManager[Advance]:
        return self.begin(what, total, seconds)


@contextmanager
def _nobody(what: str, total: float, seconds: float | None) -> Iterator[Advance]:
    yield lambda done: None


silent = Progress(_nobody)
"""Progress that is not displayed."""
