"""Formulas as terms of Coq, against the project's own functions."""

import re

import mpmath
import pytest
from mpmath import mpf

from icgd.bounds.activation import ACTIVATIONS
from icgd.verify.checker.power_series import NAMED, Unreadable
from icgd.verify.coq.formulas import term

AT = [-2.5, -1.0, -0.3, 0.0, 0.4, 1.7, 3.0]
BUILT = {
    "Plus": lambda a, b: a + b,
    "Times": lambda a, b: a * b,
    "Square": lambda a: a * a,
    "Num": lambda q: q,
    "Call": lambda f, a: f(a),
}
LEAVES = {
    "Exp": mpmath.exp,
    "Ln": mpmath.log,
    "Sqrt": mpmath.sqrt,
    "Sin": mpmath.sin,
    "Cos": mpmath.cos,
    "Atan": mpmath.atan,
    "Tanh": mpmath.tanh,
    "Erf": mpmath.erf,
    "Inverse": lambda x: 1 / x,
    "Logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "Softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "Pi": mpmath.pi,
}


def read(text, t):
    """The value at t of a term of Coq: a name and its arguments, in parentheses."""
    words = re.findall(r"[()]|[^\s()]+", text)

    def part():
        word = words.pop(0)
        if word != "(":
            return {**LEAVES, "Var": mpf(t)}.get(word, word)
        head = part()
        if words[0] == "#":  # a rational
            words.pop(0)
            found = mpf(head) / mpf(words.pop(0))
        elif head in BUILT:
            found = BUILT[head](*(part() for _ in range(BUILT[head].__code__.co_argcount)))
        else:
            found = head
        assert words.pop(0) == ")"
        return found

    words = ["(", *words, ")"]
    return part()


def test_terms_are_the_functions():
    """Every smooth activation that Coq can follow, and formulas of all kinds, on both sides of 0."""
    formulas = [
        "t/sqrt(1+t**2)",
        "2*atan(t)/pi",
        "t**3/(1+t**4)",
        "sinh(t)/cosh(t)**2",
        "(4+t**2)**(-3/2)",
        "1/cosh(t)",
    ]
    formulas += [
        "log(cosh(t))",
        "exp(-t**2)*sin(3*t)",
        "(2+sin(t))**1.7",
        "tan(t/4)",
        "t*tanh(log(1+exp(t)))",
        "-t",
    ]
    seen = 0
    known = {name: str(one.formula) for name, one in ACTIVATIONS.items()}
    for text in [*NAMED, *known.values(), *formulas]:
        formula = known.get(text, text)
        try:
            made = term(text)
        except Unreadable as reason:
            assert "Max" in formula and "Max" in str(reason), text
            continue
        names = {
            name: getattr(mpmath, name)
            for name in ("sqrt", "atan", "sinh", "cosh", "log", "exp", "sin", "tan", "tanh", "erf", "pi")
        }
        for t in AT:
            assert mpmath.almosteq(read(made, t), eval(formula, names | {"t": mpf(t)}), 1e-13, 1e-13), (
                text,
                t,
            )
        seen += 1
    assert seen > len(formulas) + len(NAMED)


@pytest.mark.parametrize("text", ["Abs(t)", "Max(t, 0)", "sign(t)"])
def test_what_has_no_enclosure_is_named(text):
    with pytest.raises(Unreadable, match=r"has no enclosure in Coq"):
        term(text)
