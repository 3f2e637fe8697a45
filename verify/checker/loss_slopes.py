"""The checker's derivation of a loss slope: the derivative of l(p, y) in p as phi(p - rho y) - sigma y.

The form is derived from the formula as it is written: a sum of functions of p - rho y, of functions of y, of
terms linear in p and of multiples of p y.  phi is the derivative at y = 0.  Nothing comes from the rest of
the project.
"""

from __future__ import annotations

import ast
from fractions import Fraction
from typing import NamedTuple

from icgd.verify.checker.power_series import Function, Unreadable, derivative, function, parsed

KINKED = ("Max", "Min", "Abs", "relu")
NUMBER, Y, BOTH = "number", "y", "both"


class Slope(NamedTuple):
    """phi(p - rho y) - sigma y."""

    phi: Function
    rho: Fraction
    sigma: Fraction


class Part(NamedTuple):
    """What a part of a formula depends on, and how.

    on: NUMBER, Y, the rho of p - rho y if it depends on this alone, or BOTH.  linear: (a, b) where it is
    a p + b y + a constant.  bent: the rho of its nonlinear terms, None if there are none.
    product: the coefficient of p y.  value: of a number, where it is rational.
    """

    on: str | Fraction
    linear: tuple[Fraction, Fraction] | None = None
    bent: Fraction | None = None
    product: Fraction = Fraction(0)
    value: Fraction | None = None


def slope_of(loss: str) -> Slope:
    """The slope in p of a loss given by its formula; raises Unreadable."""
    formula = parsed(loss)
    part = _part(formula)
    return Slope(derivative(function(_AtZero().visit(formula))), part.bent or Fraction(0), -part.product)


class _AtZero(ast.NodeTransformer):
    """The same formula at y = 0, with t for p."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return {"p": ast.Name("t"), "y": ast.Constant(Fraction(0))}.get(node.id, node)  # type: ignore[arg-type]


def _part(node: ast.expr) -> Part:
    match node:
        case ast.Constant(value=Fraction() as number):
            return _linear(Fraction(0), Fraction(0), number)
        case ast.Name(id="p"):
            return _linear(Fraction(1), Fraction(0))
        case ast.Name(id="y"):
            return _linear(Fraction(0), Fraction(1))
        case ast.Name(id="pi"):
            return Part(NUMBER)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=below):
            return _scaled(Fraction(-1 if isinstance(sign, ast.USub) else 1), _part(below))
        case ast.BinOp(op=ast.Add(), left=one, right=other):
            return _sum(_part(one), _part(other))
        case ast.BinOp(op=ast.Sub(), left=one, right=other):
            return _sum(_part(one), _scaled(Fraction(-1), _part(other)))
        case ast.BinOp(op=ast.Mult(), left=one, right=other):
            return _product(_part(one), _part(other))
        case ast.BinOp(op=ast.Div(), left=one, right=other):
            over, under = _part(one), _part(other)
            return _scaled(1 / under.value, over) if under.value else _function(over, under)
        case ast.BinOp(op=ast.Pow(), left=base, right=exponent):
            return _function(_part(base), _part(exponent))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as parts):
            made = _function(*map(_part, parts))
            if name in KINKED and made.on != NUMBER:
                raise Unreadable(f"the slope of the loss has no kink, though {name} stands in its formula")
            return made
    raise Unreadable(f"{ast.unparse(node)[:60]} is a formula that the checker can read")


def _linear(a: Fraction, b: Fraction, value: Fraction | None = None) -> Part:
    return Part(-b / a if a else Y if b else NUMBER, (a, b), value=value)


def _scaled(by: Fraction, part: Part) -> Part:
    linear = part.linear and (by * part.linear[0], by * part.linear[1])
    return part._replace(
        linear=linear, product=by * part.product, value=None if part.value is None else by * part.value
    )


def _sum(one: Part, other: Part) -> Part:
    if one.linear and other.linear:
        value = None if None in (one.value, other.value) else one.value + other.value  # type: ignore[operator]
        return _linear(one.linear[0] + other.linear[0], one.linear[1] + other.linear[1], value)
    on = {one.on, other.on} - {NUMBER} or {NUMBER}
    bent = {one.bent, other.bent} - {None} or {None}
    if len(bent) > 1:
        raise _not_seen()
    return Part(on.pop() if len(on) == 1 else BOTH, None, bent.pop(), one.product + other.product)


def _product(one: Part, other: Part) -> Part:
    for number, part in ((one, other), (other, one)):
        if number.value is not None:
            return _scaled(number.value, part)
    if one.linear and other.linear and not (one.linear[0] and other.linear[0]):
        product = one.linear[0] * other.linear[1] + one.linear[1] * other.linear[0]
        return Part(BOTH if product else Y, product=product)
    return _function(one, other)


def _function(*parts: Part) -> Part:
    on = {part.on for part in parts} - {NUMBER} or {NUMBER}
    alone = on.pop()
    if on or alone == BOTH:
        raise _not_seen()
    return Part(alone, bent=alone if isinstance(alone, Fraction) else None)


def _not_seen() -> Unreadable:
    return Unreadable("the slope of the loss in p is phi(p - rho y) - sigma y, as its formula is written")
