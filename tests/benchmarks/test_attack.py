"""How near the default attack comes to the worst that longer attacks with other seeds find."""

from dataclasses import replace

import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.verify.search.attack import ROUNDS, attack
from icgd.verify.search.prompts import seeded

LONG = tuple(replace(one, iterations=3 * one.iterations) for one in ROUNDS)
# fmt: off
HARD = [
    ({"N": 2, "K": 5, "B_x": 2, "B_v": 1.5, "loss": "huber"}, "lean"),
    ({"N": 2, "K": 2, "eps": 0.001, "activation": "gelu", "loss": "huber"}, "lean"),
    ({"N": 2, "K": 4, "eps": 0.01, "loss": "huber", "activation": "sigmoid"}, "paper"),
    ({"N": 3, "K": 5, "d": 3, "eps": 0.3, "loss": "huber", "B_y": 2}, "lean"),
    ({"N": 3, "K": 4, "activation": "sin(t) + t/2", "loss": "huber", "eps": 0.1}, "lean"),
    ({"N": 4, "K": 2, "d": 1, "activation": "gelu", "eps": 0.003, "B_x": 2}, "lean"),
    ({"N": 4, "K": 3, "eps": 0.1, "activation": "sin", "loss": "logistic", "B_y": 0.5}, "paper"),
]
# fmt: on


@pytest.mark.parametrize(("letters", "construction"), HARD, ids=str)
def test_the_default_attack_against_longer_ones(benchmark, letters, construction):
    """Goal: 0.95 of the worst known, and 0.9 where it is hardest."""
    made = plan(Problem.parse(letters), construction)
    found = benchmark.pedantic(lambda: attack(made, seeded(0)), rounds=1).largest
    known = max(found, *(attack(made, seeded(seed), rounds=LONG).largest for seed in (1, 2, 3)))
    benchmark.extra_info["attacked / worst known"] = found / known
    benchmark.extra_info["certified / worst known"] = made.problem.eta * made.bound / known
    assert known <= made.problem.eta * made.bound
