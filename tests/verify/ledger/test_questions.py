"""Questions of reviewers: every answer reproduces, names claims that exist, and a bad file is named."""

import re
from dataclasses import replace

import pytest

from icgd.bounds import convergence, relu_icgd
from icgd.bounds.problem import Problem
from icgd.verify.ledger.entries import LedgerError, entries
from icgd.verify.ledger.questions import answer, parse_questions, questions

QUESTIONS = questions()


@pytest.fixture(scope="module")
def answers():
    return {one.key: answer(one) for one in QUESTIONS}


def test_every_answer_reproduces_with_its_numbers_filled_in(answers):
    assert {key: one.found.differences for key, one in answers.items() if not one.reproduces} == {}
    for one in answers.values():
        assert one.question.placeholders <= set(one.found.numbers) and one.question.placeholders
        assert "?" not in one.text and "{" not in one.text


def test_an_answer_names_claims_and_findings_that_exist():
    problem = Problem()
    claims = [*relu_icgd.claims(problem), *convergence.claims(problem), *relu_icgd.built(problem, "lean")]
    claims += [*relu_icgd.built(problem, "paper")]
    known = {one.key for one in claims} | {one.key for one in entries()} | {"relu-icgd/exact/step-error"}
    for one in QUESTIONS:
        assert set(one.claims) <= known, one.key
        assert one.asked_by and one.question.endswith("?")


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.key)
def test_what_is_recorded_is_what_is_computed(question, answers):
    found = answers[question.key].found
    for name, value in question.expected.items():
        assert type(found.numbers[name]) is type(value)
        assert abs(found.numbers[name] - value) <= question.tolerance * abs(value)


def test_a_recorded_number_that_is_wrong_is_noticed():
    (cheap,) = (one for one in QUESTIONS if one.key == "optimal-size")
    found = answer(replace(cheap, expected={**cheap.expected, "units": 1}))
    assert not found.reproduces and any("recorded 1" in one for one in found.found.differences)


def test_numbers_of_the_answers_are_computed_and_not_typed():
    structural = {"0", "1", "2", "7", "14", "2023", "2301", "13196", "2301.13196", "10"}
    for one in QUESTIONS:
        bare = re.sub(r"\{\w+(:[^}]*)?\}", "", one.answer)
        assert set(re.findall(r"\d+(?:\.\d+)?", bare)) <= structural, one.key


def test_a_theorem_that_nobody_asked_about_has_no_questions():
    assert questions("relu-icgd") == QUESTIONS and questions("looped") == ()


GOOD = """[[question]]
key = "k"
theorem = "looped"
question = "Why?"
asked_by = "a reviewer"
answer = "Since {a}."
claims = ["looped/steps"]
evidence = "looped.rates"
expected = { a = 1 }
"""


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('answer = "Since {a}."\n', "", "answer is missing"),
        ('answer = "Since {a}."', 'answer = "a"\nhope = 1', "hope is not a field of a question"),
        ('"looped"', '"lopped"', "theorem is one of"),
        ('["looped/steps"]', "[]", "names no claim"),
        ("{ a = 1 }", "{}", "no number is expected"),
        ("{ a = 1 }", "{ a = ", "questions.toml"),
        ("[[question]]\n", GOOD + "[[question]]\n", "occurs twice"),
    ],
)
def test_a_bad_question_is_named(old, new, what):
    assert len(parse_questions(GOOD, "questions.toml")) == 1
    with pytest.raises(LedgerError, match=what):
        parse_questions(GOOD.replace(old, new, 1), "questions.toml")
