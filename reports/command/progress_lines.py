"""Progress of long commands where there is no terminal: a line for every tenth, for logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from icgd.bounds.estimate import duration_text
from icgd.bounds.progress import Advance, Progress
from icgd.reports.command.console import Terminal
from icgd.reports.command.progress_bars import bars

_TENTHS = 10


@contextmanager
def _lines(what: str, total: float, seconds: float | None) -> Iterator[Advance]:
    done, told, began = 0.0, 0, time.perf_counter()

    def advance(units: float) -> None:
        nonlocal done, told
        done += units
        if done < total and (tenths := int(_TENTHS * done / total)) > told:
            told = tenths
            left = (time.perf_counter() - began) * (total - done) / done
            sentence = f"{what}: {done:,.0f} of {total:,.0f}, about {duration_text(left)} left"
            print(sentence, file=sys.stderr, flush=True)

    yield advance


def lines_or_bars() -> Progress:
    """Bars on a terminal; elsewhere a line on the standard error stream for every tenth that is done."""
    return bars() if Terminal(stderr=True).is_terminal else Progress(_lines)
