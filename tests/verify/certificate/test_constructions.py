"""Every construction that can be certified: the entries of its table fit together."""

import json

import pytest

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, certificate_text, posed_letters
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.matrices import differences

PROBLEM = Problem.parse({"N": 2, "K": 2, "d": 2, "d_out": 1, "n": 3, "eps": 0.2})


@pytest.fixture(scope="module", params=CONSTRUCTIONS)
def made(request):
    way = CONSTRUCTIONS[request.param]
    plan = way.plan(PROBLEM)
    return way, plan, way.issue(plan)


def test_a_plan_is_of_the_problem_posed(made):
    way, plan, found = made
    assert way.posed(plan) == PROBLEM and found["problem"] == posed_letters(PROBLEM)
    assert CONSTRUCTIONS[found["construction"]] is way


def test_its_checker_accepts_its_certificate_for_that_problem_alone(made):
    way, _, found = made
    assert way.check(as_read(found), posed_letters(PROBLEM)) == found["certified"] <= PROBLEM.eps
    for letter, other in {"eps": 0.1, "K": 3, "loss": "huber"}.items():
        with pytest.raises(Refused):
            way.check(as_read(found), posed_letters(PROBLEM) | {letter: other})


def test_what_is_assembled_is_the_program_of_the_certificate(made):
    way, plan, found = made
    assert differences(way.matrices(as_read(found)["program"]), way.assemble(plan).literal()) == []


def test_another_construction_is_told_apart(made):
    way, _, found = made
    for other in CONSTRUCTIONS.values():
        if other is not way:
            with pytest.raises(Refused):
                other.check(as_read(found), posed_letters(PROBLEM))


def test_no_transformer_is_refused_where_none_exists(made):
    way, *_ = made
    way.refuse(PROBLEM)
    with pytest.raises(ProblemError):
        way.refuse(kinked := Problem.parse({"activation": "relu"}))
        way.plan(kinked)


def test_what_is_trusted_is_said(made):
    way, *_ = made
    assert all(item and item == item.strip() for item in way.trusted) and "FLINT" in " ".join(way.trusted)


def test_a_certificate_is_read_as_it_is_written(made):
    *_, found = made
    again = as_read(found)
    assert again == found == json.loads(certificate_text(found)) and again["program"] is not found["program"]
