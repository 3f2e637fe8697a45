"""Progress bars: an estimate once a part is done, no output unless on a terminal, and a clean end."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import clear_plan_caches, plan
from icgd.reports.command import progress_bars as module
from icgd.reports.command.progress_bars import progress_on


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched(monkeypatch):
    """A terminal, its progress, a clock to set, and a function that draws the bars as they are."""
    console = Console(file=io.StringIO(), force_terminal=True, width=70, color_system=None)
    made, clock = [], Clock()

    def bars(*columns, **options):
        made.append(module_bars(*columns, **options, auto_refresh=False, get_time=clock))
        return made[-1]

    module_bars = module.Bars
    monkeypatch.setattr(module, "Bars", bars)
    progress = progress_on(console)

    def drawn():
        paper = Console(file=io.StringIO(), width=70)
        with paper.capture() as seen:
            paper.print(made[0].get_renderable())
        return [Text.from_ansi(line).plain.strip() for line in seen.get().splitlines() if line.strip()]

    return console, progress, clock, drawn


def test_an_estimate_of_what_is_left(watched):
    _, progress, clock, drawn = watched
    with progress("plan", 10) as advance:
        clock.now += 3
        assert drawn()[0].endswith("3 s")  # nothing is done yet, nothing is known: the time gone by
        advance(2)
        assert drawn()[0].startswith("plan") and drawn()[0].endswith("12 s left")
        clock.now += 5
        assert drawn()[0].endswith("7 s left")  # it goes down between two pieces, too
        advance(6)
        assert drawn()[0].endswith("2 s left")
        clock.now += 60
        assert drawn()[0].endswith("1 s left")
        advance(100)  # more pieces than were expected
        assert drawn()[0].endswith("1 s left")
    assert drawn() == []
    with progress("plan", 10, 20.0) as advance:
        clock.now += 3
        assert drawn()[0].endswith("17 s left")  # as on a common machine
        advance(1)
        assert drawn()[0].endswith("27 s left")


def test_work_within_work_has_a_bar_below(watched):
    _, progress, clock, drawn = watched
    with progress("audit", 2) as outer:
        with progress("plan", 4) as inner:
            clock.now += 1
            inner(1)
            assert [line.split()[0] for line in drawn()] == ["audit", "plan"]
        outer(1)
        assert [line.split()[0] for line in drawn()] == ["audit"]
    with progress("again", 1):
        assert [line.split()[0] for line in drawn()] == ["again"]


def test_an_exception_takes_the_bars_away_and_gives_the_cursor_back(watched):
    console, progress, _, drawn = watched
    with pytest.raises(KeyboardInterrupt), progress("audit", 2), progress("plan", 2):
        raise KeyboardInterrupt
    assert drawn() == []
    written = console.file.getvalue()
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


def test_nothing_is_written_where_nobody_watches():
    console = Console(file=io.StringIO())
    with progress_on(console)("plan", 3) as advance:
        advance(3)
    assert console.file.getvalue() == ""


def test_who_listens_does_not_matter_to_what_is_kept():
    clear_plan_caches()
    heard = []

    def begin(what, total, seconds):
        heard.append((what, total))
        return silent(what, total, seconds)

    problem = Problem(N=1, d=1, n=2, eps=0.5)
    made = plan(problem, progress=Progress(begin))
    assert plan(problem) is made and plan(problem, "lean", "cells", progress=Progress(begin)) is made
    assert [what for what, _ in heard] == ["plan"]


@pytest.mark.parametrize("route", ["cells", "recurrence"])
@pytest.mark.parametrize("letters", [{}, {"N": 1, "eps": 0.3}, {"activation": "identity"}, {"N": 4, "K": 2}])
def test_a_plan_gets_on(letters, route):
    """Most of the pieces that are announced are done, and no piece is most of the work."""
    clear_plan_caches()
    pieces, totals = [], []

    class Heard:
        def __init__(self, what, total, seconds):
            totals.append(total)

        def __enter__(self):
            return pieces.append

        def __exit__(self, *_):
            return None

    plan(Problem.parse(letters), "lean", route, progress=Progress(Heard))
    assert len(totals) == 1 and 0.5 * totals[0] <= sum(pieces) <= 1.7 * totals[0]
    assert max(pieces) <= 0.5 * totals[0] and bool(totals[0]) == (letters != {"activation": "identity"})
