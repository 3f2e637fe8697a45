"""Formulas evaluated by numpy from their text: against sympy, with complex numbers, and refusals."""

import numpy as np
import pytest
import sympy

from icgd.bounds.functions.formula import FUNCTIONS, parse
from icgd.verify.kernels.formula import slope, values

x, y = sympy.symbols("x y", real=True)
TEXTS = [
    *(f"{name}(x/2 + 1/3) - {name}(1/3)*y" for name in FUNCTIONS if name not in ("log", "sqrt")),
    "log(3 + x) + sqrt(4 - y)",
    "-x**3/2 + 1.5e-1*y*x - +2",
    "Max(x, y, 1/5) - Min(x, -y) + pi",
    "(1 + x**2)**-0.5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_values_and_slopes_are_those_of_the_expression(text):
    expr = parse(text, x, y)
    steep = sympy.diff(expr, x)
    at = np.array([-1.3, -0.2, 0.45, 1.9]), np.array([0.3, -0.7, 2.0, 0.9])
    for a, b, value, rise in zip(
        *at, values(text, x=at[0], y=at[1]), slope(text, "x", x=at[0], y=at[1]), strict=True
    ):
        assert value == pytest.approx(float(expr.subs({x: a, y: b})), abs=1e-13)
        assert rise == pytest.approx(float(steep.subs({x: a, y: b})), abs=1e-13)


def test_shapes_are_kept():
    assert values("exp(x) - relu(y)", x=np.zeros((2, 1)), y=np.ones((1, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    "text", ["z", "x.real", "[x]", "bessel(x)", "x if x else y", "exp(x=1)", "x @ y", "'x'", "True"]
)
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError, match="is not a formula that numpy can evaluate here"):
        values(text, x=1.0, y=2.0)
