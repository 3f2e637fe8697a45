"""Evaluates functions of one variable, given by formulas, as power series over balls.

Derivatives come from the coefficients; numbers in a formula are exact rationals.  Where a ball is too wide to
evaluate a function (division by 0, the root of a negative number), the jet is nan.  No comparison with nan is
true, so callers halve the ball.  Nothing comes from the rest of the project.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction
from math import factorial
from typing import Any

from flint import arb, arb_series, fmpq

Function = Callable[[Any], Any]
NAMED = {"sigmoid": "1/2+tanh(t/2)/2", "softplus": "softplus(t)", "gelu": "t*(1+erf(t/sqrt(2)))/2"}
NAMED |= {"tanh": "tanh(t)", "sin": "sin(t)", "identity": "t"}


class Unreadable(ValueError):
    """A part of a formula has no power series here; the message names it."""


def exact(x: Any) -> fmpq:
    """A finite number (or its text) as an exact rational; floats are taken at their exact values."""
    return fmpq(*Fraction(x).as_integer_ratio())


def formula(text: str) -> Function:
    """The function of t, on power series, with this name or formula; raises Unreadable."""
    return function(parsed(NAMED.get(text, text)))


def parsed(text: str) -> ast.expr:
    """The syntax tree of a formula; raises SyntaxError."""
    text = text.strip()
    tree: ast.expr = _Tamed(text).visit(ast.parse(text, mode="eval").body)
    return tree


def function(tree: ast.expr) -> Function:
    """The function of t, on power series, of a parsed formula."""
    return lambda x: _value(tree, x)


class _Tamed(ast.NodeTransformer):
    """The same formula with exact numbers, and with functions in place of parts that would cancel."""

    def __init__(self, text: str) -> None:
        self.text = text

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """A number as the rational that is written, before any rounding to a float."""
        if type(node.value) is int:
            return ast.Constant(Fraction(node.value))  # type: ignore[arg-type]
        if type(node.value) is float:
            return ast.Constant(Fraction(ast.get_source_segment(self.text, node) or ""))  # type: ignore[arg-type]
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if (inner := _argument(node, "log")) is not None:
            if (a := _argument(inner, "cosh")) is not None:
                return _called("log_cosh", a)
            if (a := _one_plus_exp(inner)) is not None:
                return _called("softplus", a)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            if (a := _argument(node.right, "cosh")) is not None:
                return ast.BinOp(node.left, ast.Mult(), _called("sech", a))
            if (a := _one_plus_exp(node.right)) is not None:
                return ast.BinOp(node.left, ast.Mult(), _called("logistic", ast.UnaryOp(ast.USub(), a)))
        return node


def _called(name: str, inner: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name), [inner], [])


def _argument(node: ast.expr, name: str) -> ast.expr | None:
    """The a of name(a)."""
    match node:
        case ast.Call(func=ast.Name(id=called), args=[inner], keywords=[]) if called == name:
            return inner
    return None


def _one_plus_exp(node: ast.expr) -> ast.expr | None:
    """The a of 1 + exp(a), whichever comes first."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, ast.Constant) and one.value == Fraction(1):
                return _argument(other, "exp")
    return None


def _value(node: ast.expr, x: Any) -> Any:
    """A node of a formula at the series x: an exact rational, a ball or a series."""
    match node:
        case ast.Constant(value=Fraction() as number):
            return exact(number)
        case ast.Name(id="t"):
            return x
        case ast.Name(id="pi"):
            return arb.pi()
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=below):
            return -_value(below, x) if isinstance(sign, ast.USub) else _value(below, x)
        case ast.BinOp(op=ast.Pow(), left=base, right=exponent):
            return _power(_value(base, x), _value(exponent, x))
        case ast.BinOp(op=ast.Mult(), left=one, right=other) if ast.dump(one) == ast.dump(other):
            return _power(_value(one, x), fmpq(2))
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op):
            return _OPERATORS[type(op)](_value(node.left, x), _value(node.right, x))
        case ast.Call(func=ast.Name(id=name), args=[_, *more] as parts, keywords=[]) if (
            name in _FUNCTIONS and (not more or name in ("Max", "Min"))
        ):
            return _FUNCTIONS[name](*(_value(part, x) for part in parts))
    raise Unreadable(f"{ast.unparse(node)[:60]} is a formula that the checker can read")


_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def _led(series: Any, first: arb) -> Any:
    """The series with a narrower first coefficient; both enclose the value."""
    return arb_series([first, *series.coeffs()[1:]], prec=series.prec)


def _power(x: Any, exponent: Any) -> Any:
    """x to a power; an even power is not negative, whatever the sign of x."""
    if not isinstance(exponent, fmpq) or exponent.q not in (1, 2):
        return _FUNCTIONS["exp"](exponent * _FUNCTIONS["log"](x))
    p, q = int(exponent.p), int(exponent.q)
    if q == 2:
        return _power(_root(x), fmpq(p))
    if p < 0:
        return 1 / _power(x, fmpq(-p))
    made, square = fmpq(1), x
    for bit in reversed(bin(p)[2:]):
        made = made * square if bit == "1" else made
        square = square * square
    if p % 2 == 0 and isinstance(x, arb_series):
        as_series = made + 0 * x  # for p = 0, `made` is a number
        return _led(as_series, (x[0].abs_lower() ** p).union(x[0].abs_upper() ** p))
    return made


def square(x: arb) -> arb:
    """x^2, which is not negative; x**2 is nan in python-flint where x is centred at 0."""
    return x.abs_lower() ** 2 if x.is_exact() else (x.abs_lower() ** 2).union(x.abs_upper() ** 2)


def _root(x: Any) -> Any:
    """The square root, coefficient by coefficient from y^2 = x, as Arb's own is nan on wide balls."""
    if not isinstance(x, arb_series):
        return arb(x).sqrt()
    y = [_rising(arb.sqrt)(x[0])]
    for k in range(1, x.prec):
        y.append((x[k] - sum((y[i] * y[k - i] for i in range(1, k)), arb(0))) / (2 * y[0]))
    return arb_series(y, prec=x.prec)


def _rising(function: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """An increasing function of a ball, from its ends, as Arb's own enclosures are loose on wide balls."""
    return lambda x: function(x) if x.is_exact() else function(x.lower()).union(function(x.upper()))


def _elementary(name: str) -> Function:
    return lambda x: getattr(x if isinstance(x, arb_series) else arb(x), name)()


def _taylor(derivatives: Callable[[arb, int], list[arb]]) -> Function:
    """A function of a series, from its derivatives at a ball."""

    def at(x: Any) -> Any:
        if not isinstance(x, arb_series):
            return derivatives(arb(x), 1)[0]
        rest, made = _led(x, arb(0)), arb_series([0], prec=x.prec)
        for k, derivative in reversed([*enumerate(derivatives(x[0], x.prec))]):
            made = made * rest + derivative / factorial(k)
        return made

    return at


def _integral(value: Callable[[arb], arb], rate: Function) -> Function:
    """A function of a series, from its value at a ball and its derivative as a function of a series."""

    def at(x: Any) -> Any:
        if not isinstance(x, arb_series):
            return value(arb(x))
        return value(x[0]) + (rate(x) * x.derivative()).integral()

    return at


def _tanh(x: arb, order: int) -> list[arb]:
    """tanh and its derivatives by y' = 1 - y^2, which is tighter on wide balls than a quotient."""
    y = [_rising(arb.tanh)(x)]
    if order > 1:
        y.append(1 - square(y[0]))
    for k in range(1, order - 1):
        y.append(-sum((y[i] * y[k - i] for i in range(k + 1)), arb(0)) / (k + 1))
    return [c * factorial(k) for k, c in enumerate(y)]


def _sech(x: arb, order: int) -> list[arb]:
    """1 / cosh and its derivatives by y' = -tanh y."""
    rate = [d / factorial(k) for k, d in enumerate(_tanh(x, order))]
    y = [_even(lambda size: 1 / size.cosh())(x)]
    for k in range(order - 1):
        y.append(-sum((rate[i] * y[k - i] for i in range(k + 1)), arb(0)) / (k + 1))
    return [c * factorial(k) for k, c in enumerate(y)]


def _hyperbolic(first: Function, second: Function) -> Function:
    return _taylor(lambda x, order: [(first if k % 2 == 0 else second)(x) for k in range(order)])


def _even(function: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """An even function of a ball that is monotone in |x|, from the ends."""
    return lambda x: function(x.abs_lower()).union(function(x.abs_upper()))


_cosh = _even(arb.cosh)


def _absolute(x: Any) -> Any:
    return _larger(x, -x)


def _larger(*parts: Any) -> Any:
    """The largest of the parts, where balls can decide which it is; a tie of functions is a kink."""
    best = parts[0]
    for x in parts[1:]:
        gap = best - x
        if not isinstance(gap, arb_series):
            gap = [arb(gap)] if gap != 0 else [arb(1)]  # a tie of numbers is not a kink
        if not (gap[0] > 0 or gap[0] < 0):
            raise ZeroDivisionError("a kink")
        best = best if gap[0] > 0 else x
    return best


_FUNCTIONS: dict[str, Function] = {
    **{name: _elementary(name) for name in ("sin", "cos", "tan")},
    "sqrt": _root,
    "exp": _taylor(lambda x, order: [_rising(arb.exp)(x)] * order),
    "log": _integral(_rising(arb.log), lambda x: 1 / x),
    "atan": _integral(_rising(arb.atan), lambda x: 1 / (1 + _power(x, fmpq(2)))),
    "erf": _integral(
        _rising(arb.erf), lambda x: 2 / arb.pi().sqrt() * _FUNCTIONS["exp"](-_power(x, fmpq(2)))
    ),
    "sinh": _hyperbolic(_rising(arb.sinh), _cosh),
    "cosh": _hyperbolic(_cosh, _rising(arb.sinh)),
    "tanh": _taylor(_tanh),
    "softplus": _integral(
        _rising(lambda x: (1 + x.exp()).log()), lambda x: (1 + _FUNCTIONS["tanh"](x / 2)) / 2
    ),
    "sech": _taylor(_sech),
    "log_cosh": _integral(_even(lambda size: size.cosh().log()), lambda x: _FUNCTIONS["tanh"](x)),
    "logistic": lambda x: (1 + _FUNCTIONS["tanh"](x / 2)) / 2,
    "Abs": _absolute,
    "Max": _larger,
    "Min": lambda *parts: -_larger(*(-x for x in parts)),
    "relu": lambda x: _larger(x, fmpq(0)),
}


def series(f: Function, x: arb, order: int) -> arb_series:
    """The power series of f in the variable around a ball; raises ArithmeticError or ValueError.

    A result may be shorter than the variable (0/0 at a point, a lowered `flint.ctx.cap`), and missing
    coefficients would count as 0.
    """
    variable = arb_series([x, 1], prec=order + 1)
    made = 0 * variable + f(variable)
    if made.prec != order + 1:
        raise ArithmeticError("coefficients are missing")
    return made


def coefficients(f: Function, x: arb, order: int) -> list[arb]:
    """The coefficients of the power series of f around a ball; all nan where the ball is too wide for f."""
    try:
        found = series(f, x, order)
    except Unreadable:
        raise
    except (ArithmeticError, ValueError):
        return [arb("nan")] * (order + 1)
    return [found[k] for k in range(order + 1)]


def jet(f: Function, x: arb, order: int) -> list[arb]:
    """f, f', f'', ... at a ball; all nan where the ball is too wide for f."""
    return [one * factorial(k) for k, one in enumerate(coefficients(f, x, order))]


def derivative(f: Function) -> Function:
    """f' as a function of any series."""
    return _taylor(lambda x, order: jet(f, x, order)[1:])


def slope(f: Function, x: arb_series) -> arb_series:
    """The power series of f' for the variable x itself, that is x = [ball, 1]."""
    return series(f, x[0], x.prec).derivative()
