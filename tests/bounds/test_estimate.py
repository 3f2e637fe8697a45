"""Estimates of time and memory: how they are printed, and refusals that name the field to lower."""

import pytest

from icgd.bounds.estimate import DAY, Estimate, Stage
from icgd.bounds.letters import ProblemError

SWEEP = Stage("sweep", 30.0, 1e6, "samples", 1000)


def test_pieces_of_one_name_are_said_together():
    whole = Estimate((Stage("plan", 4.0), SWEEP)) + Estimate((Stage("plan", 5.0), Stage("rest", 0.1)))
    assert whole.seconds == 39.1 and whole.bytes == 1e6
    assert str(whole) == "about 40 s: plan 9 s, sweep 30 s"


def test_what_is_possible_passes():
    assert Estimate((SWEEP,)).check(1e7) == Estimate((SWEEP,))
    assert Estimate(()).check(1.0).seconds == 0


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (
            Stage("sweep", 2.1 * DAY, 0, "samples", 7),
            r"^samples = 7: sweep would take 2 days, .*; lower samples$",
        ),
        (Stage("sweep", float("inf"), 0, "samples", 7), "more than a century"),
        (Stage("steps", 1, 2**40, "n", 10**6), r"^n = 1000000: steps would take about 1 TiB .*; lower n$"),
        (Stage("plan", 1, 2**40, "eps", 1e-9), r"^eps = 1e-09: .*; raise eps$"),
        (Stage("pages", 2 * DAY), r"^work = pages: .*; lower the sizes$"),
    ],
)
def test_what_is_too_much_is_refused_by_its_field(stage, words):
    with pytest.raises(ProblemError, match=words):
        Estimate((SWEEP, stage)).check(2.0**30)
