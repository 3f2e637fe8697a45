"""How long work reports that it is getting on, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

Advance = Callable[[float], None]
"""Called with the units of work just done."""


@dataclass(frozen=True)
class Progress:
    """Called with what is being done and how many units of it; gives, as a context, an `Advance`.

    Units should take about as long as each other: who listens may estimate the time that is left.  seconds:
    how long it all takes on a common machine, where that is known.  Any two are equal: a result that is kept
    (lru_cache) is the same whoever listened.
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
"""Progress that nobody watches."""
