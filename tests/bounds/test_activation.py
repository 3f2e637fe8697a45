"""Activations by name and by formula; what a formula may not do."""

import multiprocessing

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS, Activation, parse_activation
from icgd.bounds.functions.scalar import t


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_known_names_stand_for_themselves(name):
    assert parse_activation(name) is ACTIVATIONS[name]
    assert ACTIVATIONS[name].name == name


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("t/(1+exp(-t))", lambda x: x / (1 + np.exp(-x))),
        ("  t**3 - 2*t + 1e-1 ", lambda x: x**3 - 2 * x + 0.1),
        ("-t", lambda x: -x),
        ("+t", lambda x: x),
        ("relu(t) - relu(-t)/2", lambda x: np.maximum(x, 0) - np.maximum(-x, 0) / 2),
        ("Max(-1, Min(1, t))", lambda x: np.clip(x, -1, 1)),
        ("Abs(t - 1)", lambda x: np.abs(x - 1)),
        ("(1 + t**2)**0.5", lambda x: np.sqrt(1 + x**2)),
        ("t**-2 + pi", lambda x: x**-2.0 + np.pi),
        ("atan(t) + tan(t/9) + cosh(t/3) + sinh(t/3) + log(9+t)",
         lambda x: np.arctan(x) + np.tan(x / 9) + np.cosh(x / 3) + np.sinh(x / 3) + np.log(9 + x)),
    ],
)  # fmt: skip
def test_formulas_mean_what_they_say(text, function):
    x = np.array([-2.1, -0.3, 0.7, 1.9])
    activation = parse_activation(text)
    np.testing.assert_allclose(activation.r(x), function(x), rtol=1e-14)
    assert activation.name == text


def test_decimals_are_read_exactly():
    assert parse_activation("0.1*t").r.expr == t / 10


def test_kinks_of_formulas():
    assert parse_activation("Max(0, t - 1) + Abs(2*t + 1)").r.kinks == (-0.5, 1.0)
    assert parse_activation("sin(t)").r.kinks == ()


REJECTED = [
    # reaching for Python
    "t.__class__", "t.is_real", "().__class__.__bases__[0]", "__import__('os')", "__import__(t)",
    "eval(t)", "exec('1')", "open(t)", "getattr(t, t)", "print(t)", "globals()", "t()",
    "exp.__globals__", "(lambda: t)()", "lambda: t", "[t for t in t]", "[t]", "(t, t)", "{t}", "{t: t}",
    "t[0]", "f'{t}'", "'t'", "b't'", "t if t else t", "t := 1", "(t := 1)", "t = 1", "import os",
    "await t", "yield t", "t; t", "exp(x=t)", "exp(*[t])", "exp(**t)", "__builtins__", "__name__",
    "None", "True", "...", "1j", "t < 1", "t and t", "not t", "t is t", "t in t",
    # not a formula in t
    "", "   ", "t t", "(t", "x", "tt", "cos", "exp()", "exp(t, t)", "sign(t)", "gamma(t)", "sqrt(-1)",
    "log(0)", "1/0", "t/0", "1e999*t", "t @ t", "t // 2", "t % 2", "t << 2", "t | t", "~t", "\x00",
    "t\x00", "t\n+", "Max()",
    # too large
    "t**65", "t**-65", "t**t", "2**t", "9**9**9", "9**999", "t**(2**64)", "t**1e99",
]  # fmt: skip


@pytest.mark.parametrize("text", REJECTED)
def test_everything_else_is_refused(text):
    with pytest.raises(ValueError, match="neither one of tanh"):
        parse_activation(text)


HOSTILE = {
    "nested powers": "(((((9**64)**64)**64)**64)**64)*t",
    "nested inverse powers": "((((((1/9)**64)**64)**64)**64)**64)*t",
    "products of powers": "*".join(["9**64"] * 60) + "**64*t",
    "digits": "9" * 100_000 + "*t",
    "long sum": "+".join(["t"] * 300_000),
    "long name": "t" * 1_000_000,
    "minus signs": "-" * 200_000 + "t",
    "brackets": "(" * 100_000 + "t" + ")" * 100_000,
    "deep calls": "tanh(" * 5_000 + "t" + ")" * 5_000,
    "a big power of a float": "(1e300**64)**64*t",
}


def _attempt(text, connection):
    try:
        activation = parse_activation(text)
        str(activation.r.expr)
        connection.send("accepted")
    except ValueError as error:
        connection.send(f"refused {str(error)[:2000]}")
    except BaseException as error:
        connection.send(f"escaped as {type(error).__name__}")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_formulas_are_quickly_refused(kind):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_attempt, args=(HOSTILE[kind], theirs), daemon=True)
    process.start()
    # Evaluated, any of these formulas would take hours, or more memory than there is.
    answer = ours.recv() if ours.poll(300) else "neither refused nor accepted"
    process.kill()
    process.join()
    assert answer.startswith("refused"), answer
    assert len(answer) < 1000, "the message repeats the input at length"


@settings(deadline=None, max_examples=200)
@given(st.text("t0123456789.+-*/()e, _[]'\"abs", max_size=25))
def test_any_text_is_read_or_refused(text):
    try:
        activation = parse_activation(text)
    except ValueError:
        return
    assert isinstance(activation, Activation) and activation.r.expr.free_symbols <= {t}


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "gelu", "sin", "identity"])
def test_smooth_activations_satisfy_the_theorem(name):
    assert ACTIVATIONS[name].violated_hypothesis(3.0) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("relu", "relu is not C^4 and its derivative is not Lipschitz (kink at 0)"),
        ("Abs(t-2)", "kink at 2"),
        ("Max(t, sin(t)*2)", "not C^4"),
        ("1/t", "not bounded on [-3, 3]"),
        ("log(t)", "not bounded on [-3, 3]"),
        ("t**(1/3)", "is not bounded on [-3, 3]"),
    ],
)
def test_a_violated_hypothesis_is_named(text, words):
    assert words in parse_activation(text).violated_hypothesis(3.0)


def test_smoothness_is_judged_on_the_radius_alone():
    shifted = parse_activation("log(4 + t)")
    assert shifted.violated_hypothesis(3.0) is None
    assert "not bounded" in shifted.violated_hypothesis(5.0)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "gelu", "sin"])
def test_derivatives_come_from_the_expression(name):
    activation = ACTIVATIONS[name]
    difference = activation.derivative.expr - sympy.diff(activation.r.expr, t)
    assert sympy.simplify(difference.rewrite(sympy.exp)) == 0


@pytest.mark.parametrize(
    "text", ["exp(exp(exp(100)))*t", "t*exp(-exp(exp(9)))", "cosh(800)+t", "log(t, 2)", "sin()"]
)
def test_numbers_and_arguments_that_no_formula_needs_are_refused(text):
    with pytest.raises(ValueError, match=r"too large a number|needs one argument"):
        parse_activation(text)
