"""The sweep and the attack: the errors that they report are real, and the attack finds larger ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import Prompt
from icgd.verify.descent import descend, step_error
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import attack
from icgd.verify.search.covered import all_covered, coverage
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import one_step_errors, sweep, trajectory_errors

PROBLEM = Problem(N=2, K=3, d=2, n=4, eps=0.05)
SHORT = (Round(128, 8, 0.2), Round(32, 20, 0.02))


def test_a_sweep_reports_the_error_of_its_worst_prompt():
    transformer = assemble(plan(PROBLEM))
    seen = []
    swept = sweep(transformer, 3000, seeded(1), advance=seen.append)
    assert sum(seen) == swept.count == swept.covered == 3000
    assert swept.worst.batch == 1
    assert float(one_step_errors(transformer, swept.worst.check(PROBLEM))[0]) == pytest.approx(swept.largest)
    again = sweep(transformer, 3000, seeded(1))
    assert again.largest == swept.largest and again.largest != sweep(transformer, 3000, seeded(2)).largest


def test_batches_do_not_change_what_a_sweep_sees():
    transformer = assemble(plan(PROBLEM))
    prompts = random_prompts(PROBLEM, 600, seeded(3))
    together = one_step_errors(transformer, prompts)
    apart = torch.cat([one_step_errors(transformer, prompts[i : i + 7]) for i in range(0, 600, 7)])
    assert torch.allclose(together, apart, rtol=0, atol=1e-13)


def test_the_attack_finds_more_than_chance_and_its_prompt_is_admissible():
    made = plan(PROBLEM)
    swept = sweep(assemble(made), 20_000, seeded(4))
    found = attack(made, seeded(4), rounds=SHORT, seeds=swept.worst)
    assert found.largest > 1.15 * swept.largest
    worst = found.worst.check(PROBLEM)
    assert worst.n == PROBLEM.n
    assert float(one_step_errors(assemble(made), worst)[0]) == found.largest
    assert found.largest <= PROBLEM.eta * made.bound


def _error_by_hand(problem, prompt, reached):
    """norm2(err) of one step of an N = 2 tanh network with the logistic loss, in plain numpy."""
    w = prompt.w[0].numpy()
    first = w[: problem.K * problem.d].reshape(problem.K, problem.d)
    second = w[problem.K * problem.d :].reshape(problem.d_out, problem.K)
    slope = np.zeros_like(w)
    for x, y in zip(prompt.x[0].numpy(), prompt.y[0].numpy(), strict=True):
        hidden = np.tanh(first @ x)
        out = np.tanh(second @ hidden)
        back = (1 - out**2) * (1 / (1 + np.exp(-out)) - y)
        earlier = (1 - hidden**2) * (second.T @ back)
        slope += np.concatenate([np.outer(earlier, x).ravel(), np.outer(back, hidden).ravel()])
    target = w - problem.eta * slope / (2 * problem.n)
    face = np.repeat(problem.B_v / np.sqrt([problem.d, problem.K]), [first.size, second.size])
    reached = reached[0].numpy()
    # At a face of W any err that points out of it explains what is seen: the smallest one is meant.
    outward = np.sign(reached) * (target - reached) > 0
    at_face = np.abs(reached) > face * (1 - 1e-12)
    return np.linalg.norm(np.where(at_face & outward, 0.0, reached - target))


def test_the_attack_uses_every_target_in_the_ball_as_the_certificate_does():
    problem = replace(PROBLEM, d=1, d_out=1, B_y=2.0, loss=LOSSES["logistic"])
    made = plan(problem)
    found = attack(made, seeded(10), rounds=SHORT)
    worst = found.worst.check(problem)
    assert bool((worst.y < -1).all())  # there |u| = |logistic(p) - y| is larger than anywhere in [0, 1]
    by_hand = _error_by_hand(problem, worst, assemble(made).step(worst))
    assert by_hand == pytest.approx(found.largest, rel=1e-9)
    clipped = replace(worst, y=worst.y.clamp(0, 1))
    assert float(one_step_errors(assemble(made), clipped)[0]) < found.largest <= problem.eta * made.bound


def test_the_attack_judges_the_transformer_it_is_given():
    made = plan(PROBLEM)
    worse = assemble(plan(replace(PROBLEM, eps=1.0)))
    honest = attack(made, seeded(5), rounds=SHORT).largest
    assert attack(made, seeded(5), rounds=SHORT, transformer=worse).largest > honest


def test_one_token_is_the_worst_case_of_any_n():
    made = plan(PROBLEM)
    one, many = assemble(made, n=1), assemble(made, n=6)
    prompt = random_prompts(replace(PROBLEM, n=1), 50, seeded(6))
    repeated = Prompt(prompt.x.expand(-1, 6, -1), prompt.y.expand(-1, 6, -1), prompt.query, prompt.w)
    assert torch.allclose(one.step(prompt), many.step(repeated), rtol=0, atol=1e-13)


def test_a_trajectory_measures_each_step_from_the_iterate_before_it():
    transformer = assemble(plan(PROBLEM))
    prompt = random_prompts(PROBLEM, 20, seeded(7))
    iterates, errors = trajectory_errors(transformer, prompt, 3)
    assert torch.equal(iterates, transformer.simulate(prompt, 3)) and errors.shape == (3, 20)
    assert torch.equal(errors[2], step_error(PROBLEM, prompt.with_weights(iterates[2]), iterates[3]))
    exact = descend(PROBLEM, prompt, 1)
    _, none = trajectory_errors(_Exactly(transformer), prompt, 1)
    assert float(none.max()) < 1e-15 < float((exact[1] - iterates[1]).abs().max())


class _Exactly:
    """Exact descent in the place of a transformer."""

    def __init__(self, transformer):
        self.problem = transformer.problem

    def simulate(self, prompt, steps):
        return descend(self.problem, prompt, steps)


def test_prompts_in_the_margin_are_not_admitted():
    problem = Problem.parse({"N": 2, "K": 2, "d": 2, "n": 1, "activation": "relu"})
    covers = coverage(plan(problem, "exact"))
    assert coverage(plan(PROBLEM)) is all_covered
    w = torch.zeros(3, problem.D_w, dtype=torch.float64)
    w[:, 0] = torch.tensor([MARGIN / 2, -0.1, 0.6])  # the first unit sees z = w x
    w[:, 2], w[:, 4:] = -0.5, -0.5
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(3, 1, 2)
    prompt = Prompt(x, torch.zeros_like(x), x[:, 0], w).check(problem)
    assert covers(prompt).tolist() == [False, True, True]
