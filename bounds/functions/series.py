"""Ball arithmetic of sympy expressions in t: enclosures of values and derivatives by power series.

The series of an expression around a ball encloses, coefficient by coefficient, its series around every point
of the ball.  Derivatives computed this way stay narrower than by the longer formula of the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import sympy
from flint import arb, arb_series, fmpq

from icgd.bounds.functions.stable_forms import stable_form

Step = Callable[[list[arb_series]], arb_series]
Balls = Callable[[arb, int], list[arb]]
"""Maps a ball and an order to enclosures of a function and of its derivatives up to that order."""


class _Operation(NamedTuple):
    """One node of an expression: how it is computed from earlier nodes, and their indices."""

    compute: Step
    places: tuple[int, ...]


def balls(expr: sympy.Expr, t: sympy.Symbol) -> Balls:
    """The function that encloses `expr` and its derivatives; nan where there is no finite enclosure.

    Raises NotImplementedError for a function that has no series here.
    """
    operations: list[_Operation] = []
    places: dict[sympy.Expr, int] = {}
    for node in sympy.postorder_traversal(stable_form(expr)):
        if node not in places:
            places[node] = len(operations)
            operations.append(_Operation(_step(node, t), tuple(places[below] for below in node.args)))

    def at(x: arb, order: int) -> list[arb]:
        variable = arb_series([x, 1], prec=order + 1)
        values: list[arb_series] = []
        try:
            for compute, below in operations:
                values.append(variable if compute is _VARIABLE else compute([values[i] for i in below]))
        except (ArithmeticError, ValueError):
            return [arb("nan")] * (order + 1)
        found = 0 * variable + values[-1]
        if found.prec != order + 1:  # 0/0 at a point: missing coefficients would be read as 0
            return [arb("nan")] * (order + 1)
        return [found[k] * math.factorial(k) for k in range(order + 1)]

    return at


def _VARIABLE(_: list[arb_series]) -> arb_series:
    raise AssertionError("t has no operands")


def _step(node: sympy.Expr, t: sympy.Symbol) -> Step:
    if node == t:
        return _VARIABLE
    if node.is_Rational or node.is_Float:
        exact = sympy.Rational(node)
        number = fmpq(int(exact.p), int(exact.q))
        return lambda _: arb_series([number], prec=_LONGEST)
    if node in _CONSTANTS:
        return lambda _: arb_series([_CONSTANTS[node]()], prec=_LONGEST)
    if node.is_Add:
        return lambda parts: reduce(lambda x, y: x + y, parts)
    if node.is_Mul:
        return lambda parts: reduce(lambda x, y: x * y, parts)
    if node.is_Pow:
        return _power(node.exp)
    name = type(node).__name__
    if name in _CHOICES:
        return _CHOICES[name]
    if name in _FUNCTIONS:
        function = _FUNCTIONS[name]
        return lambda parts: function(parts[0])
    raise NotImplementedError(f"no ball arithmetic for {name}")


_LONGEST = 8
"""The number of coefficients of a constant: more than any jet has."""

_CONSTANTS: dict[Any, Callable[[], arb]] = {sympy.pi: arb.pi, sympy.E: lambda: arb(1).exp()}


def _with_first(series: arb_series, first: arb) -> arb_series:
    """The same series with another enclosure of its first coefficient."""
    return arb_series([first, *[series[k] for k in range(1, series.prec)]], prec=series.prec)


def _without_first(x: arb_series) -> arb_series:
    """x minus its first coefficient."""
    return _with_first(x, arb(0))


def _power(exponent: sympy.Expr) -> Step:
    if exponent.is_Integer:
        n = int(exponent)
        whole = _whole_power(abs(n))
        return (lambda parts: whole(parts[0])) if n >= 0 else (lambda parts: 1 / whole(parts[0]))
    if exponent.is_Rational and exponent.q == 2:
        p = int(exponent.p)
        whole = _whole_power(abs(p))
        return (lambda parts: whole(parts[0].sqrt())) if p > 0 else (lambda parts: 1 / whole(parts[0].sqrt()))
    return lambda parts: _exp(parts[1] * _log(parts[0]))


def _whole_power(n: int) -> Callable[[arb_series], arb_series]:
    def at(x: arb_series) -> arb_series:
        if n == 0:
            return arb_series([1], prec=x.prec)
        made = reduce(lambda y, bit: y * y * (x if bit == "1" else 1), bin(n)[3:], x)
        if n % 2:
            return made
        least, most = x[0].abs_lower(), x[0].abs_upper()
        return _with_first(made, (least**n).union(most**n))

    return at


def _increasing(value: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """An increasing function on a ball, from its values at the two ends."""
    return lambda x: value(x) if x.is_exact() else value(x.lower()).union(value(x.upper()))


def _by_rate(
    value: Callable[[arb], arb], rate: Callable[[arb_series], arb_series]
) -> Callable[[arb_series], arb_series]:
    """The series of a function from its values on balls and the series of its derivative."""
    return lambda x: (rate(x) * x.derivative()).integral() + value(x[0])


def _exp(x: arb_series) -> arb_series:
    return _without_first(x).exp() * _increasing(arb.exp)(x[0])


def _tanh(x: arb_series) -> arb_series:
    """By y' = (1 - y^2) x': each pass gives one more coefficient."""
    first = _increasing(arb.tanh)(x[0])
    y = arb_series([first], prec=x.prec)
    for _ in range(x.prec - 1):
        y = ((1 - _with_first(y * y, first * first)) * x.derivative()).integral() + first
    return y


def _hyperbolic(first: arb, second: arb, x: arb_series) -> arb_series:
    """first cosh(inner) + second sinh(inner), where inner is x minus its first coefficient."""
    inner = _without_first(x)
    up, down = inner.exp(), (-inner).exp()
    return (up + down) / 2 * first + (up - down) / 2 * second


def _even(value: Callable[[arb], arb], x: arb) -> arb:
    """An even function on a ball, monotone in |x|."""
    return value(x.abs_lower()).union(value(x.abs_upper()))


def _even_cosh(x: arb) -> arb:
    return _even(arb.cosh, x)


def _sech_series(x: arb_series) -> arb_series:
    """1 / cosh(x), by y' = -tanh(x) y x': each pass gives one more coefficient."""
    first, rate = _even(lambda size: 1 / size.cosh(), x[0]), -_tanh(x) * x.derivative()
    y = arb_series([first], prec=x.prec)
    for _ in range(x.prec - 1):
        y = (rate * y).integral() + first
    return y


def _step_up(x: arb_series) -> arb_series:
    if x[0] > 0:
        return arb_series([1], prec=_LONGEST)
    if x[0] <= 0:
        return arb_series([0], prec=_LONGEST)
    return arb_series([arb(0).union(arb(1))], prec=_value_only(x))


def _value_only(*parts: arb_series) -> int:
    """1, the length of a series without derivatives; raises ArithmeticError if more is needed at a kink."""
    if max(part.prec for part in parts if part.prec != _LONGEST) > 1:
        raise ArithmeticError("a kink")
    return 1


def _largest(parts: Sequence[arb_series]) -> arb_series:
    best = parts[0]
    for part in parts[1:]:
        if best[0] > part[0]:
            continue
        undecided = not best[0] < part[0]
        best = arb_series([best[0].max(part[0])], prec=_value_only(best, part)) if undecided else part
    return best


_log = _by_rate(_increasing(arb.log), lambda x: 1 / x)

_FUNCTIONS: dict[str, Callable[[arb_series], arb_series]] = {
    "exp": _exp,
    "log": _log,
    "sin": arb_series.sin,
    "cos": arb_series.cos,
    "tan": arb_series.tan,
    "tanh": _tanh,
    "sinh": lambda x: _hyperbolic(_increasing(arb.sinh)(x[0]), _even_cosh(x[0]), x),
    "cosh": lambda x: _hyperbolic(_even_cosh(x[0]), _increasing(arb.sinh)(x[0]), x),
    "softplus": _by_rate(_increasing(lambda x: x.exp().log1p()), lambda x: (1 + _tanh(x / 2)) / 2),
    "log_cosh": _by_rate(lambda x: _even(lambda size: size.cosh().log(), x), lambda x: _tanh(x)),
    "sech": lambda x: _sech_series(x),
    "atan": _by_rate(_increasing(arb.atan), lambda x: 1 / (1 + _whole_power(2)(x))),
    "erf": _by_rate(_increasing(arb.erf), lambda x: _exp(-_whole_power(2)(x)) * (2 / arb.pi().sqrt())),
    "Heaviside": _step_up,
    "sign": lambda x: 2 * _step_up(x) - 1,
    "DiracDelta": lambda x: arb_series([0], prec=_LONGEST),
}

_CHOICES: dict[str, Step] = {
    "Abs": lambda parts: _largest([parts[0], -parts[0]]),
    "Max": _largest,
    "Min": lambda parts: -_largest([-part for part in parts]),
}
