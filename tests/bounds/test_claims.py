"""Claims: every constant is given, whole numbers are exact, upper bounds are never rounded down."""

import math
from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.claims import Claim, letters
from icgd.bounds.problem import Problem

a, b = sympy.symbols("a b")


def claim(bound, constants, relation="<="):
    return Claim("test/x", "icgd", "X", "x", (), "heads", relation, bound, constants)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_an_upper_bound_is_never_rounded_down_and_loses_at_most_one_ulp(x, y):
    value = claim(a / b + a * b, {a: (x, ""), b: (y, "")}).value
    exact = Fraction(x) / Fraction(y) + Fraction(x) * Fraction(y)
    assert exact <= Fraction(value) <= exact * (1 + Fraction(1, 2**51))


@given(st.integers(1, 10**30), st.integers(0, 10**30))
def test_whole_numbers_stay_exact(x, y):
    value = claim(sympy.Max(a * b, a + b, evaluate=False) + 1, {a: (x, ""), b: (y, "")}, "==").value
    assert isinstance(value, int) and value == max(x * y, x + y) + 1


def test_a_symbol_without_a_value_is_refused_by_name():
    with pytest.raises(ValueError, match="test/x: no value for b"):
        claim(a + b, {a: (1, "")})


def test_constants_are_those_of_the_bound_and_cannot_be_changed():
    made = claim(2 * a, {a: (1, "one"), b: (2, "two")})
    assert dict(made.constants) == {a: (1, "one")}
    with pytest.raises(TypeError):
        made.constants[b] = (3, "")


def test_an_infinite_bound_is_infinite():
    assert claim(sympy.oo, {}).value == math.inf
    assert claim(sympy.floor(a) + 1, {a: (math.inf, "")}).value == math.inf


def test_expression_and_latex_read_as_the_bound():
    made = claim(sympy.sqrt(a) / b, {a: (4, ""), b: (3, "")})
    indexed = sympy.Symbol("A_{r'N}")
    assert made.expression == "sqrt(a)/b"
    assert claim(indexed**2, {indexed: (1, "")}).expression == "A_r'N**2"
    assert made.latex == r"\frac{\sqrt{a}}{b}"
    assert math.isclose(made.value, 2 / 3)


def test_letters_are_those_of_the_problem():
    problem = Problem(N=4, K=5, d=3, d_out=2, n=7, L=9, eta=0.25, eps=0.125, B_v=2.0)
    values = {str(symbol): value for symbol, (value, meaning) in letters(problem).items() if meaning}
    assert values == {
        "N": 4, "K": 5, "d": 3, "d_{out}": 2, "D_w": 15 + 25 + 25 + 10, "n": 7, "L": 9,
        "eta": 0.25, "epsilon": 0.125, "B_v": 2.0,
    }  # fmt: skip
