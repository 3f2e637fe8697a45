"""Memory: refusals before allocation, and predictions close to the memory that is used."""

import pytest

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import estimated_softmax_units, halved
from icgd.construct.block.census import layer_counts
from icgd.construct.machine import memory
from icgd.construct.machine.memory import refuse_softmax_if_too_large
from icgd.construct.softmax_icgd import build


@pytest.mark.parametrize(
    "letters", [{}, {"N": 1, "eps": 1e-3}, {"N": 2, "K": 6}, {"eps": 1e-3}, {"loss": "logistic"}]
)
def test_the_predicted_size_is_near_that_of_what_is_built(letters):
    problem = Problem.parse(letters)
    assert layer_counts(build(problem))["total_units"] == pytest.approx(
        estimated_softmax_units(halved(problem)), rel=0.15
    )


def test_what_would_not_fit_is_one_sentence(monkeypatch):
    with pytest.raises(ProblemError, match=r"the transformer would take about .* TiB and .* is free"):
        refuse_softmax_if_too_large(Problem(K=2000, d=1000, eps=100.0))
    refuse_softmax_if_too_large(Problem())
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 20)
    with pytest.raises(ProblemError, match="is free; make it smaller"):
        refuse_softmax_if_too_large(Problem())


def test_a_kink_is_left_to_the_plan_to_refuse():
    relu = Problem.parse({"activation": "relu"})
    refuse_softmax_if_too_large(relu)
    with pytest.raises(ProblemError, match="r' jumps"):
        build(relu)
