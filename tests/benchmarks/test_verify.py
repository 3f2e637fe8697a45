"""The errors that a search finds and the cost of an audit, as ratios and seconds."""

import json

import pytest

from icgd import cli
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.search.attack import attack
from icgd.verify.search.prompts import seeded
from icgd.verify.search.sweep import sweep


@pytest.mark.parametrize("letters", [{}, {"N": 2, "K": 3}, {"N": 4, "d": 3}, {"eps": 1e-4}], ids=str)
def test_attack_against_a_hundred_thousand_random_prompts(benchmark, letters):
    """Goal: the attack finds at least 1.5 times the largest random error at N=3, K=4, d=2."""
    made = plan(Problem(**letters))
    swept = sweep(assemble(made), 100_000, seeded(0))
    found = benchmark.pedantic(lambda: attack(made, seeded(1), seeds=swept.worst), rounds=1)
    benchmark.extra_info["attacked / sampled"] = found.largest / swept.largest
    benchmark.extra_info["certified / attacked"] = made.problem.eta * made.bound / found.largest


def test_units_against_the_lower_bound_on_pieces(benchmark):
    """Goal: at eps = 1e-4, at most 1.05 times the units that the lower bound allows, and 2."""
    made = benchmark.pedantic(lambda: plan(Problem(eps=1e-4)), rounds=1)
    benchmark.extra_info["units"] = made.units
    benchmark.extra_info["units / lower bound"] = made.units / made.fewest_units
    assert made.units <= 1.05 * made.fewest_units + 2


def test_audit_of_the_default_problem(benchmark, tmp_path):
    """Goal: 15 s with a sweep of 100,000 prompts."""
    target = tmp_path / "audit.json"
    code = benchmark.pedantic(lambda: cli.main(["audit", "--json", str(target)]), rounds=1)
    found = json.loads(target.read_text())
    benchmark.extra_info["prompts"] = found["search"]["prompts"]
    assert code == cli.KEPT and found["search"]["prompts"] >= 100_000
