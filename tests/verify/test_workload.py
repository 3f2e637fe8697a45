"""Run-time estimates grow with every letter that adds work, and exist for all letters."""

from dataclasses import replace

import pytest

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.verify import workload
from icgd.verify.catalogue import theorems
from icgd.verify.search.options import Search

USUAL = {"samples": 1000, "effort": 1.0, "certify": True}


def seconds(problem, construction="lean", **given):
    return workload.relu_icgd(problem, Search(construction=construction, **(USUAL | given))).seconds


@pytest.mark.parametrize("letter", ["N", "K", "d", "n"])
@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_more_of_a_letter_is_more_work(letter, construction):
    times = [seconds(replace(Problem(), **{letter: value}), construction) for value in (2, 4, 8, 16)]
    assert times == sorted(times) and times[0] < times[-1]


@pytest.mark.parametrize("option", ["samples", "effort"])
def test_more_of_an_option_is_more_work(option):
    times = [seconds(Problem(), **{option: value}) for value in (1, 10, 1000)]
    assert times == sorted(set(times))


def test_less_tolerance_and_a_certificate_are_more_work():
    times = [seconds(replace(Problem(), eps=eps)) for eps in (0.1, 1e-3, 1e-5)]
    assert times == sorted(set(times))
    assert seconds(Problem(), certify=False) < seconds(Problem())


def test_runs_and_prompts_are_bounded_so_their_estimates_are():
    long = replace(Problem(), n=10**6, L=10**6)
    assert seconds(long) < 600
    for name in ("softmax-icgd", "convergence"):
        estimate = theorems()[name].estimate(long, Search())
        assert estimate.seconds < 600 and estimate.bytes < 4e9


def test_prompts_of_data_take_memory_by_their_number():
    few, many = (
        workload.relu_icgd(Problem(), Search(**USUAL, data="diabetes", prompts=k)).bytes for k in (64, 10**8)
    )
    assert many > 1e10 > few
    for estimate, problem in (
        (workload.looped, LoopedProblem()),
        (workload.functional, FunctionalProblem()),
    ):  # these draw as many where there are no data
        assert estimate(problem, Search(prompts=10**9)).bytes > 1e10 > estimate(problem, Search()).bytes


def test_any_problem_has_an_estimate_at_once():
    for letters in ({"N": 10**6}, {"K": 10**6, "d": 10**6}, {"eps": 1e-12}, {"activation": "relu"}):
        problem = Problem.parse(letters)
        assert workload.planning(problem).seconds > 0
        assert seconds(problem) > 0
    assert workload.planning(Problem(N=10**6)).seconds > 86_400


def test_layers_of_many_examples_take_their_time():
    few, many = (workload.functional(FunctionalProblem(n=128, L=L), Search()).seconds for L in (20, 2000))
    assert many - few > 1e-6 * 1980 * 128**2  # balls for n^2 scores in each layer


def test_every_theorem_of_the_catalogue_has_an_estimate_that_grows():
    for small, large in (
        (Problem(), Problem(N=5, K=8)),
        (LoopedProblem(), LoopedProblem(d=64, n=1024)),
        (FunctionalProblem(), FunctionalProblem(n=128)),
        (PreconditionedProblem(), PreconditionedProblem(n=10_000)),
    ):
        for theorem in theorems().values():
            if isinstance(small, theorem.letters):
                few, many = (theorem.estimate(one, Search()).seconds for one in (small, large))
                assert few < many
