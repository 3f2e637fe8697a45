"""The table of how tight proofs are: which attacks a row counts, and how long they climb."""

from types import SimpleNamespace

import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.verify import tightness
from icgd.verify.search.attack import ROUNDS
from icgd.verify.search.prompts import seeded


def test_a_row_holds_the_bound_against_the_worst_of_its_attacks(monkeypatch):
    planned = plan(Problem(N=2, K=2, d=1, eps=0.1))
    found = {seeded(seed).initial_seed(): 0.02 + 0.01 * (seed % 2) for seed in range(3)}
    climbed = []

    def attack(plan, generator, *, rounds, device):
        climbed.append([(one.points, one.iterations) for one in rounds])
        return SimpleNamespace(largest=plan.problem.eta * found[generator.initial_seed()])

    monkeypatch.setattr(tightness, "attack", attack)
    (row,) = tightness.tightness(seeds=3, effort=2, targets=[(2, 2, 1, 0.1, 1.5)]).rows
    assert climbed == 3 * [[(one.points, 2 * one.iterations) for one in ROUNDS]]
    N, K, d, eps, ratio, target, recurrence, before, now, over = row
    assert (N, K, d, eps, target) == (2, 2, 1, 0.1, 1.5)
    assert ratio == pytest.approx(planned.bound / 0.03, abs=5e-3)
    assert recurrence == pytest.approx(planned.recurrence / 0.03, abs=5e-3) and recurrence > ratio
    assert now == planned.units < before and over >= 1
