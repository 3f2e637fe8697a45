"""The search with free signs: no true error is larger to first order, and the attack comes close."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import box
from icgd.verify.descent import gradient
from icgd.verify.search import free_signs as module
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import attack
from icgd.verify.search.free_signs import Passes, ascent, away_from_faces, free_error, free_signs
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.single_token import decode, encode
from icgd.verify.search.sweep import one_step_errors

PROBLEM = Problem(N=2, K=3, d=2, n=1, eps=0.01)
SHORT = (Round(128, 8, 0.2), Round(32, 20, 0.02))
POSED = [
    (Problem.parse({"N": 2, "K": 2, "d": 2, "n": 1, "eps": 1e-3} | more), construction)
    for more, construction in [
        ({}, "lean"),
        ({}, "paper"),
        ({"activation": "sigmoid", "loss": "logistic"}, "lean"),
        ({"activation": "gelu", "loss": "huber"}, "lean"),
        ({"activation": "softplus", "output": "linear"}, "lean"),
        ({"activation": "sin", "loss": "logistic", "d_out": 1}, "paper"),
        ({"activation": "identity", "N": 1}, "lean"),
    ]
]


def _best_signs(made, points, restarts=4, rounds=8):
    generator, largest = seeded(9), torch.zeros(len(points), dtype=torch.float64)
    for _ in range(restarts):
        signs = module._random_signs(made, len(points), generator, "cpu")
        for _ in range(rounds):
            values, _, signs = ascent(made, points, signs)
            largest = torch.maximum(largest, values)
    return largest


@pytest.mark.parametrize(("problem", "construction"), POSED)
def test_without_errors_the_passes_are_descent_itself(problem, construction):
    prompt = random_prompts(problem, 200, seeded(1))
    passes = Passes.of(plan(problem, construction), prompt, {})
    assert torch.allclose(passes.gradient, gradient(problem, prompt), rtol=0, atol=1e-13)
    assert [len(z[0]) for z in passes.z] == [len(g[0]) for g in passes.g] == list(problem.dims[1:])


@pytest.mark.parametrize(("problem", "construction"), POSED)
def test_no_true_error_is_larger_than_under_the_worst_signs(problem, construction):
    """To first order, and as far as a local search for signs goes: it stops early at a few points."""
    made = plan(problem, construction)
    points = away_from_faces(made, encode(problem, random_prompts(problem, 500, seeded(2))))
    true = one_step_errors(assemble(made), decode(problem, points))
    worst = _best_signs(made, points) + 1e-13
    assert float((true <= 1.05 * worst).double().mean()) > 0.98 and bool((true <= 1.3 * worst).all())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 3.0])
def test_withdrawn_points_are_in_the_domain_and_descent_hardly_leaves_w(seed, spread):
    made = plan(PROBLEM)
    points = spread * torch.randn(30, PROBLEM.D_w + 4, generator=seeded(seed), dtype=torch.float64)
    prompt = decode(PROBLEM, away_from_faces(made, points)).check(PROBLEM)
    reached = prompt.w - PROBLEM.eta * gradient(PROBLEM, prompt)
    # The gradient at the point drawn in is another one, so a few coordinates still leave W.
    assert float((reached.abs() <= box(PROBLEM, reached) * (1 + 1e-2)).double().mean()) > 0.97


@pytest.mark.parametrize("seed", range(10))
def test_following_the_gradient_raises_the_error_as_it_says(seed):
    made = plan(PROBLEM)
    points = 0.5 * encode(PROBLEM, random_prompts(PROBLEM, 20, seeded(seed)))
    signs = module._random_signs(made, len(points), seeded(seed), "cpu")
    values, slope, better = ascent(made, points, signs)
    h = 1e-6 / (1 + torch.linalg.vector_norm(slope, dim=-1, keepdim=True))
    ahead, behind = (free_error(made, decode(PROBLEM, points + k * h * slope), signs) for k in (1, -1))
    expected = 2 * h[:, 0] * (slope**2).sum(dim=-1)
    # Of third order in h, and some thousand roundings of errors below 1.
    assert torch.allclose(ahead - behind, expected, rtol=1e-3, atol=1e-12)
    assert bool((free_error(made, decode(PROBLEM, points), better) >= values * (1 - 0.05)).all())


def test_an_error_is_the_distance_between_the_projected_steps():
    """At the faces of W, where it matters that both are projected, and in which direction each goes."""
    made = plan(replace(PROBLEM, eta=3.0))
    prompt = random_prompts(made.problem, 300, seeded(4))
    face = box(made.problem, prompt.w)
    prompt = prompt.with_weights(face * prompt.w.sign())
    signs = module._random_signs(made, 300, seeded(5), "cpu")
    ends = []
    for given in (signs, {}):
        moved = prompt.w.numpy() - 3.0 * Passes.of(made, prompt, given).gradient.numpy()
        ends.append(np.minimum(np.maximum(moved, -face.numpy()), face.numpy()))
    apart = np.sqrt(((ends[0] - ends[1]) ** 2).sum(axis=1))
    np.testing.assert_allclose(free_error(made, prompt, signs).numpy(), apart, rtol=1e-12, atol=1e-30)
    assert (np.abs(ends[1]) == face.numpy()).mean() > 0.2 and apart.max() > 0


def test_no_signs_no_error_and_errors_scale():
    made = plan(PROBLEM)
    prompt = random_prompts(PROBLEM, 50, seeded(4))
    signs = module._random_signs(made, 50, seeded(4), "cpu")
    assert set(signs) == {Term(kind, j) for kind in ("r", "dr", "product") for j in (1, 2)}
    none = {term: 0 * share for term, share in signs.items()}
    assert float(free_error(made, prompt, none).max()) < 1e-15
    tiny = {term: 1e-3 * share for term, share in signs.items()}
    full = free_error(made, prompt, signs)
    assert torch.allclose(1e3 * free_error(made, prompt, tiny), full, rtol=0.2, atol=1e-9)


def test_the_search_is_replayed_exactly_and_stays_below_the_proof():
    made = plan(PROBLEM)
    found, again = (free_signs(made, seeded(5), pool=512, effort=0.5, keep=8) for _ in range(2))
    assert found.largest == again.largest and torch.equal(found.tokens.w, again.tokens.w)
    assert found.tokens.check(PROBLEM).batch == 8
    assert found.largest > float(
        _best_signs(made, encode(PROBLEM, random_prompts(PROBLEM, 2000, seeded(6)))).max()
    )
    assert found.largest <= 1.02 * PROBLEM.eta * made.bound


@pytest.mark.parametrize(("problem", "construction"), POSED)
def test_the_attack_runs_on_every_kind_of_problem(problem, construction):
    made = plan(replace(problem, n=3), construction)
    found = attack(made, seeded(7), pool=300, rounds=(Round(16, 6, 0.2), Round(8, 4, 0.02)))
    worst = found.worst.check(made.problem)
    assert float(one_step_errors(assemble(made), worst)[0]) == pytest.approx(found.largest, rel=1e-9)
    assert found.largest <= problem.eta * made.bound


@pytest.mark.slow
def test_the_attack_comes_near_the_worst_signs():
    found = attack(plan(PROBLEM), seeded(8), rounds=SHORT)
    assert found.free_signs is not None and found.largest > 0.7 * found.free_signs
    assert attack(plan(PROBLEM), seeded(8), rounds=SHORT).largest == found.largest


def test_without_pieces_there_are_no_signs_to_choose():
    problem = Problem.parse({"N": 2, "K": 2, "d": 2, "activation": "relu"})
    assert attack(plan(problem, "exact"), seeded(9), pool=50, rounds=SHORT).free_signs is None
