"""Very long prompts and runs: judged on an excerpt, which the verdict states, and measured at full length."""

import json
import re
from dataclasses import replace

import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify import convergence, descent, softmax_icgd
from icgd.verify.block.one_prompt import enclosable, enclose
from icgd.verify.descent import gradient, step_error
from icgd.verify.relu_icgd import verify
from icgd.verify.search import excerpt as excerpt_module
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.search.excerpt import MOST_EXAMPLES, excerpt, followed, once, repeated, steps
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import one_step_errors

SMALL = Problem(N=1, K=1, d=1, n=5, eps=0.1)
LONG = replace(SMALL, n=50_000, L=10**6)


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_the_excerpt_errs_like_the_whole_on_repeated_examples(construction):
    made = plan(replace(SMALL, n=5 * MOST_EXAMPLES), construction)
    few = random_prompts(excerpt(made).problem, 20, seeded(0))
    assert few.n == MOST_EXAMPLES
    short = one_step_errors(assemble(excerpt(made)), few)
    long = one_step_errors(assemble(made), repeated(few, 5 * MOST_EXAMPLES))
    # Sums of at most 161 tokens in another order; an error is far below 1, its terms are not above it.
    torch.testing.assert_close(short, long, rtol=0, atol=400 * 2.0**-52)


def test_repeated_examples_are_found_again():
    prompt = random_prompts(SMALL, 2, seeded(1))
    for n in (5, 6, 10, 23):
        long = repeated(prompt, n)
        assert long.n == n and torch.equal(long.x[:, n - 1], prompt.x[:, (n - 1) % 5])
        assert once(long).n <= 5 and torch.equal(repeated(once(long), n).y, long.y)
    different = random_prompts(replace(SMALL, n=3 * MOST_EXAMPLES), 1, seeded(1))
    assert once(different) is different


def test_what_is_followed_is_bounded_and_never_nothing():
    assert followed(Problem(), 64) == 64 and steps(Problem(), 64) == Problem().L
    assert followed(LONG, 64) < 64
    huge = Problem(n=10**6, K=10**3, d=10**3, L=10**6)
    assert followed(huge, 64) == steps(huge, 1) == 1
    counts = [steps(replace(SMALL, L=10**6, n=n), 1) for n in (10, 10**4, 10**5, 10**6)]
    assert counts == sorted(counts, reverse=True) and counts[0] == 1000 > counts[-1]


def test_a_gradient_in_parts_is_the_gradient(monkeypatch):
    problem = replace(Problem(), n=50)
    prompt = random_prompts(problem, 3, seeded(2))
    whole = gradient(problem, prompt)
    monkeypatch.setattr(descent, "_AT_ONCE", 3 * 4 * 7)  # seven examples at a time
    torch.testing.assert_close(gradient(problem, prompt), whole, rtol=1e-13, atol=1e-15)
    parts = descent.empirical_loss(problem, prompt)
    monkeypatch.undo()
    torch.testing.assert_close(parts, descent.empirical_loss(problem, prompt), rtol=1e-13, atol=0)


def test_an_enclosure_counts_examples_that_are_repeated():
    made = plan(replace(SMALL, n=1000))
    transformer = assemble(made)
    prompt = repeated(random_prompts(SMALL, 1, seeded(3)), 1000)
    assert enclosable(prompt) and not enclosable(random_prompts(made.problem, 1, seeded(3)))
    found = enclose(transformer, prompt)
    error = float(step_error(made.problem, prompt, transformer.step(prompt))[0])
    assert found.deployed[0] <= error <= found.deployed[1]
    assert found.real[1] - found.real[0] < 1e-15


def test_a_very_long_problem_is_judged_and_says_on_what(monkeypatch):
    monkeypatch.setattr(excerpt_module, "_RUN", 1 << 22)
    found = verify(LONG, samples=200, effort=0.01, certify=True)
    assert not [verdict for verdict in found.verdicts if verdict.status == "failed"]
    said = {verdict.claim.split("/")[-1]: verdict.evidence for verdict in found.verdicts}
    run = found.step.trajectory
    assert run.steps == len(run.errors) == len(run.loss) - 1 < run.L == 10**6
    assert f"{run.steps:,} of 1,000,000 steps followed" in said["step-error"]
    assert "searched prompts have 32 examples" in said["step-error"]
    assert "repeated to 50,000" in said["step-error"]
    assert "4 prompts of 32 examples" in said["order-free"]
    assert said["one-block"].startswith("20 of 1,000,000 steps")
    assert found.step.sweep.worst.n == found.step.attack.worst.n == LONG.n
    assert found.step.enclosures[0][0] == "the worst prompt found"
    assert max(len(part) for part in vars(run).values() if isinstance(part, list)) <= 1001


def test_a_counterexample_of_repeated_examples_is_written_once(tmp_path):
    prompt = repeated(random_prompts(SMALL, 1, seeded(4)), 10_000)
    saved = Counterexample(replace(SMALL, n=10_000), "lean", "relu-icgd/lean/step-error", prompt, 1.0, 0.5)
    saved.save(tmp_path / "c.json")
    assert len(json.loads((tmp_path / "c.json").read_text())["prompt"]["x"]) <= 5
    back = Counterexample.load(tmp_path / "c.json")
    assert torch.equal(back.prompt.x, prompt.x) and torch.equal(back.prompt.y, prompt.y)


@pytest.mark.slow
def test_softmax_and_convergence_say_on_how_much_they_look(monkeypatch):
    for name in ("MOST_NUMBERS", "_RUN"):
        monkeypatch.setattr(excerpt_module, name, 1 << 18)
    found = softmax_icgd.verify(replace(LONG, d_out=1), samples=100)
    said = {verdict.claim.split("/")[-1]: verdict.evidence for verdict in found.verdicts}
    assert "searched prompts have 32 examples" in said["step-error"]
    assert "followed ones 50,000" in said["step-error"]
    assert re.search(r"each of \d+ of 1,000,000 steps", said["loop"])
    found = convergence.verify(LONG)
    said = {verdict.claim.split("/")[-1]: verdict.evidence for verdict in found.verdicts}
    assert all(re.search(r"\d+ of 1,000,000 steps", said[key]) for key in ("accumulation", "decrease"))
    assert all(len(grid.rows) <= 1001 for grid in found.grids)
    assert not [verdict for verdict in found.verdicts if verdict.status == "failed"]
