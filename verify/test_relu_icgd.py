"""Theorem 1's bound on the step error, over problems and prompts that Hypothesis generates."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.relu_icgd import resolution
from icgd.verify.search.sweep import trajectory_errors
from icgd.verify.strategies import problems, prompts


@pytest.mark.slow
@pytest.mark.parametrize("construction", [c for c in get_args(Construction) if c != "exact"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_step_of_any_problem_stays_within_its_certified_error(
    construction: Construction, data: st.DataObject
) -> None:
    """Over problems and prompts that Hypothesis steers towards large errors; shrinks to the smallest."""
    smooth = [name for name in ACTIVATIONS if ACTIVATIONS[name].is_smooth]
    problem = data.draw(problems(activations=smooth), label="problem")
    planned = plan(problem, construction)
    prompt = data.draw(prompts(problem), label="prompt")
    _, errors = trajectory_errors(assemble(planned), prompt, problem.L)
    largest = float(errors.max()) / problem.eta
    target(largest / planned.bound, label="error over certified")
    assert largest <= planned.bound + resolution(problem) / problem.eta
    assert planned.bound <= problem.eps
