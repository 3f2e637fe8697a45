"""The exported Hypothesis strategies: all draws are valid, all values are reached, and they shrink."""

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.loss import LOSSES, parse_loss
from icgd.bounds.problem import Problem
from icgd.verify.strategies import problems, prompts

QUICK = settings(
    max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@given(problems(max_N=2, max_K=2, max_d=1, max_n=3, max_L=2, max_eta=0.5, min_eps=0.01, max_radius=1.5))
def test_problems_keep_to_the_limits_asked_for(problem):
    assert Problem.parse(problem.as_dict()) == problem
    assert problem.N <= 2 and problem.K <= 2 and problem.d == problem.d_out == 1
    assert problem.n <= 3 and problem.L <= 2 and 0 < problem.eta <= 0.5 and 0.01 <= problem.eps <= 1
    assert max(problem.B_x, problem.B_y, problem.B_v) <= 1.5


@given(problems(max_radius=0.05, max_eta=1e-4, min_eps=3.0, activations=["sin(t) + t/2"], losses=["huber"]))
@settings(max_examples=20)
def test_limits_outside_the_usual_ranges_are_met_too(problem):
    assert (problem.B_x, problem.eta, problem.eps) == (0.05, 1e-4, 3.0)
    assert problem.activation.name == "sin(t) + t/2" and problem.loss.name == "huber"


def test_every_activation_loss_output_and_size_is_reached():
    seen = set()

    @given(problems())
    @settings(max_examples=300, database=None, derandomize=True)
    def draw(problem):
        seen.update({problem.activation.name, problem.loss.name, problem.output})
        seen.update((letter, getattr(problem, letter)) for letter in ("N", "K", "d", "d_out", "n", "L"))

    draw()
    assert seen >= {*ACTIVATIONS, *LOSSES, "activated", "linear"}
    largest = {"N": 3, "K": 4, "d": 3, "d_out": 3, "n": 6, "L": 3}
    assert seen >= {(letter, size) for letter in largest for size in range(1, largest[letter] + 1)}


def test_problems_shrink_to_the_smallest_with_the_property():
    problem = find(problems(), lambda p: p.N >= 2 and p.d_out >= 2, settings=QUICK)
    assert problem.dims == (1, 1, 2) and problem.n == problem.L == 1
    assert (
        problem.activation.name == "tanh" and problem.loss.name == "squared" and problem.output == "activated"
    )


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_prompts_are_always_inside_the_radii(data):
    problem = data.draw(problems())
    batch = data.draw(st.integers(1, 3))
    prompt = data.draw(prompts(problem, batch)).check(problem)
    assert prompt.batch == batch and prompt.x.dtype == torch.float64
    for part, radius in ((prompt.x, problem.B_x), (prompt.query, problem.B_x), (prompt.y, problem.B_y)):
        assert torch.linalg.vector_norm(part, dim=-1).max().item() <= radius


@pytest.mark.parametrize("sign", [-1, 1])
def test_logistic_prompts_reach_negative_targets_and_those_beyond_one(sign):
    problem = Problem(N=1, d=1, n=1, B_y=2.0, loss=parse_loss("logistic"))
    find(prompts(problem), lambda prompt: bool((sign * prompt.y > 1).any()), settings=QUICK)


def test_prompts_shrink_to_zeros_but_for_what_matters():
    problem = Problem(d=2, n=3)
    prompt = find(prompts(problem, 2), lambda p: bool((p.x > 0.4).any()), settings=QUICK)
    assert not prompt.w.any() and not prompt.y.any() and not prompt.query.any()
    assert torch.equal(4 * prompt.x, torch.round(4 * prompt.x))


def test_prompts_reach_corners_of_w_and_the_spheres():
    problem = Problem(N=2, d=2)

    def extreme(prompt):
        on_sphere = torch.linalg.vector_norm(prompt.x, dim=-1) > 1 - 1e-9
        return bool(on_sphere.all()) and bool((prompt.w.abs() > problem.half_width(1) * 0.7).all())

    find(prompts(problem), extreme, settings=QUICK)


def test_drawing_leaves_the_global_generator_alone():
    states = []

    @given(prompts(Problem()))
    @settings(max_examples=20, database=None)
    def draw(prompt):
        states.append(torch.get_rng_state())

    draw()
    assert len(states) > 10 and all(torch.equal(state, states[0]) for state in states)
