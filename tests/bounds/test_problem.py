"""Problems: refusals and their messages, and the round trip through plain values."""

import json
import math
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved
from icgd.bounds.step_error.plan import plan
from icgd.verify.convergence import verify as verify_convergence
from icgd.verify.strategies import problems

COUNTS, SIZES = ("N", "K", "d", "n", "L"), ("eta", "eps", "B_x", "B_y", "B_v")


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, True, "3", None, math.nan, math.inf, 10**6 + 1, 10**30])
def test_impossible_counts(field, value):
    with pytest.raises(ProblemError, match="a whole number from 1 to 1000000 is needed") as caught:
        Problem(**{field: value})
    assert (caught.value.field, str(caught.value)[: len(field) + 3]) == (field, f"{field} = ")
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize(
    "value",
    [
        0,
        0.0,
        -1e-3,
        True,
        "1",
        None,
        math.nan,
        math.inf,
        -math.inf,
        1e-13,
        1.1e6,
        pytest.param(10**400, id="10**400"),
        1j,
    ],
)
def test_impossible_sizes(field, value):
    with pytest.raises(ProblemError, match="a finite number is needed, from 1e-12 to 1e\\+06") as caught:
        Problem(**{field: value})
    shown = "about 1.00e+400" if value == 10**400 else str(value)
    assert caught.value.field == field and shown in str(caught.value)


def test_other_impossible_values():
    with pytest.raises(ProblemError, match="d_out = -1: a whole number from 0"):
        Problem(d_out=-1)
    with pytest.raises(ProblemError, match="output = sigmoid: it is either activated or linear"):
        Problem(output="sigmoid")
    with pytest.raises(TypeError):
        Problem(3)  # letters must be named


@pytest.mark.parametrize(
    ("letters", "field", "words"),
    [
        ({"M": 3}, "M", "there is no such letter; the letters are N, K, d, d_out, n, L"),
        ({"activation": "tanhh"}, "activation", "neither one of tanh"),
        ({"activation": "t.__class__"}, "activation", "Attribute is not allowed"),
        ({"activation": 3}, "activation", "3"),
        ({"activation": None}, "activation", "None"),
        ({"loss": "hinge"}, "loss", "neither one of squared, logistic, huber"),
        ({"loss": 3}, "loss", "3"),
        ({"N": "3"}, "N", "whole number"),
    ],
)
def test_parse_names_what_is_wrong(letters, field, words):
    with pytest.raises(ProblemError, match=words) as caught:
        Problem.parse(letters)
    assert caught.value.field == field


@settings(deadline=None, max_examples=80)
@given(problems())
def test_round_trip_through_json(problem):
    plain = json.loads(json.dumps(problem.as_dict()))
    assert Problem.parse(plain) == problem and hash(Problem.parse(plain)) == hash(problem)


def test_round_trip_of_a_formula():
    problem = Problem.parse({"activation": "t/(1+exp(-t))"})
    assert Problem.parse(problem.as_dict()) == problem
    assert "--activation 't/(1+exp(-t))'" in problem.options


@settings(deadline=None, max_examples=40)
@given(problems(activations=["tanh", "t/2 # '; touch harm", 't # "$(harm)" \\\\']))
def test_options_give_the_letters_back(problem):
    words = shlex.split(problem.options)
    given_ = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    plain = problem.as_dict()
    assert given_ == {name: str(value) for name, value in plain.items()}


@settings(deadline=None, max_examples=60)
@given(problems(max_N=4))
def test_sizes_that_follow(problem):
    dims = problem.dims
    assert len(dims) == problem.N + 1 and dims[0] == problem.d and dims[-1] == problem.d_out
    assert set(dims[1:-1]) <= {problem.K}
    assert sum(dims[j] * dims[j - 1] for j in range(1, problem.N + 1)) == problem.D_w
    assert (problem.N - 1) * problem.K + problem.d_out == problem.units
    for layer in range(1, problem.N + 1):
        assert problem.half_width(layer) * math.sqrt(dims[layer - 1]) < problem.B_v
        name = problem.activation_at(layer).name
        assert name == (
            "identity" if layer == problem.N and problem.output == "linear" else problem.activation.name
        )


def test_precision_is_a_letter_that_usual_files_do_not_have():
    single = Problem(precision="float32")
    assert single.as_dict() == Problem().as_dict() | {"precision": "float32"} and Problem() != single
    assert single.brief_options.endswith("--precision float32") and "precision" not in Problem().options
    for problem, kind in ((single, np.float32), (Problem(), np.float64)):
        assert problem.roundoff == np.finfo(kind).eps / 2 and Problem.parse(problem.as_dict()) == problem
    with pytest.raises(ProblemError, match=r"^precision = half: it is float64 or float32$"):
        Problem(precision="half")


@pytest.mark.parametrize("ask", [halved, lambda problem: plan(problem, "exact"), verify_convergence])
def test_float32_is_refused_where_only_float64_is_proved(ask):
    with pytest.raises(ProblemError, match=r"^precision = float32: .* in float64 only; leave precision out$"):
        ask(Problem(activation="relu", precision="float32"))


def test_defaults():
    problem = Problem()
    assert problem.d_out == problem.d and problem.activation is ACTIVATIONS["tanh"]
    assert Problem(eta=1).eta == 1.0 and isinstance(Problem(eta=1).eta, float)
    with pytest.raises(AttributeError):
        problem.N = 5


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from([*COUNTS, *SIZES, "d_out", "output", "activation", "loss"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    )
)
def test_anything_is_a_problem_or_a_problem_error(letters):
    try:
        Problem.parse(letters)
    except ProblemError as error:
        assert error.field in letters
