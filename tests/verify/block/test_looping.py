"""One block applied L times: our builders loop it, and a run or a weight that depends on L is caught."""

import pytest

from icgd.bounds.problem import Problem
from icgd.construct.block.heads import Aggregate
from icgd.construct.block.transformer import Transformer
from icgd.construct.relu_icgd import build
from icgd.verify.block.looping import check_looped
from icgd.verify.search.prompts import random_prompts, seeded

RELU = Problem(N=2, K=2, d=2, n=3, L=3, eps=0.1)


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_what_we_build_is_looped(construction):
    def rebuild(problem):
        return build(problem, construction)

    prompts = random_prompts(RELU, 2, seeded(0))
    found = check_looped("relu-icgd", rebuild(RELU), prompts, rebuild=rebuild)
    assert [verdict.claim for verdict in found] == ["relu-icgd/one-block", "relu-icgd/free-of-L"]
    assert all(verdict.status == "held" for verdict in found)


class Unlooped(Transformer):
    """From the second step on, another block."""

    def simulate(self, prompt, steps=None):
        found = super().simulate(prompt, steps)
        found[2:] *= 1 + 1e-12
        return found


def test_a_run_that_changes_its_block_is_caught():
    transformer = build(RELU)
    transformer.__class__ = Unlooped
    prompt = random_prompts(RELU, 2, seeded(0))
    assert [v.status for v in check_looped("relu-icgd", transformer, prompt)] == ["failed", "inapplicable"]


def test_weights_that_depend_on_the_number_of_steps_are_caught():
    def rebuild(problem):
        transformer = build(problem)
        for index in range(len(transformer.layers)):
            for part in transformer.layer(index).heads:
                if isinstance(part, Aggregate):
                    part.scale *= 1 + 2**-50 * problem.L
        return transformer

    found = check_looped("relu-icgd", build(RELU), random_prompts(RELU, 2, seeded(0)), rebuild=rebuild)
    assert found[0].status == "held" and found[1].status == "failed"
