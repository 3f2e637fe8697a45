"""The survey beside a verification: the same figures as in this process, and a process that never stays."""

import os
import subprocess
import sys

import pytest

from bounds.problem import Problem, ProblemError
from bounds.progress import silent
from verify.beside import surveying
from verify.survey import depths, losses, sizes

PROBLEM = Problem(N=2, K=2, d=2, n=4, L=2, eps=0.2)
GIVEN = {"seed": 3, "device": "cpu"}


@pytest.fixture
def started(monkeypatch):
    """The processes that were started meanwhile."""
    processes, popen = [], subprocess.Popen

    def start(*given, **options):
        processes.append(popen(*given, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


def titles(plots):
    return [plot.title for plot in plots]


def test_figures_are_those_of_this_process(started):
    steps = []

    def counted(what, total):
        steps.append((what, total))
        return silent(what, total)

    with surveying(PROBLEM, "lean", followed="", **GIVEN) as surveyed:
        found = surveyed(counted)
    here = (*sizes(PROBLEM), *depths(PROBLEM, seed=3), *losses(PROBLEM, seed=3))
    assert steps == [("survey", 3)] and titles(found) == titles(here)
    assert found[:2] == here[:2]  # no random numbers, so not a bit is different
    for one, other in zip(found, here, strict=True):
        for beside, own in zip(one.curves, other.curves, strict=True):
            assert (beside.label, beside.x) == (own.label, own.x)
            assert beside.y == pytest.approx(own.y, rel=1e-6)
    assert [process.poll() is not None for process in started] == [True]


def test_what_does_not_apply_is_not_asked():
    relu = Problem.parse({"N": 2, "K": 2, "d": 2, "n": 4, "activation": "relu"})
    with surveying(relu, "exact", followed="", **GIVEN) as surveyed:
        assert titles(surveyed(silent)) == [
            "Loss on diabetes data",
            "Distance from exact descent on diabetes data",
        ]
    with surveying(relu, "exact", followed="diabetes", **GIVEN) as surveyed:
        assert surveyed(silent) == ()
    with pytest.raises(ProblemError), surveying(relu, "lean", followed="", **GIVEN):
        pass


def test_leaving_early_ends_the_process(started):
    with pytest.raises(KeyboardInterrupt), surveying(PROBLEM, "lean", followed="", **GIVEN):
        raise KeyboardInterrupt
    assert started[0].returncode is not None and os.getpgid(0) != started[0].pid


def test_a_process_that_dies_is_an_error_and_no_shorter_report(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        pytest.raises(RuntimeError, match="depths ended with code 1"),
        surveying(PROBLEM, "lean", followed="", **GIVEN) as surveyed,
    ):
        surveyed(silent)
