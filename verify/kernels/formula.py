"""Evaluates a formula in numpy from its text, without sympy: for referees that share no code with bounds/.

Numbers may be complex, so that imaginary steps give derivatives; comparisons use the real parts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from scipy import special

AnyNumbers = Any
"""A float, or an array of floats or complex numbers."""


def _larger(a: AnyNumbers, b: AnyNumbers) -> AnyNumbers:
    return np.where(np.real(a) > np.real(b), a, b)


def _smaller(a: AnyNumbers, b: AnyNumbers) -> AnyNumbers:
    return np.where(np.real(a) < np.real(b), a, b)


_FUNCTIONS: Mapping[str, Callable[..., AnyNumbers]] = {
    **{
        name: getattr(np, name)
        for name in ("tanh", "sinh", "cosh", "exp", "log", "sin", "cos", "tan", "sqrt")
    },
    "atan": np.arctan,
    "erf": special.erf,
    "Max": lambda *parts: reduce(_larger, parts),
    "Min": lambda *parts: reduce(_smaller, parts),
    "Abs": lambda x: _larger(x, -x),
    "relu": lambda x: _larger(x, 0.0),
}
_OPERATIONS: Mapping[type[ast.operator], Callable[[AnyNumbers, AnyNumbers], AnyNumbers]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
}


def values(formula: str, **variables: AnyNumbers) -> AnyNumbers:
    """The value of a formula at these values of its variables; raises ValueError for an invalid formula.

    >>> float(values("relu(s - 1)**2/2", s=4.0))
    4.5
    """

    def at(node: ast.expr) -> AnyNumbers:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Name(id=name) if name in variables:
                return variables[name]
            case ast.Name(id="pi"):
                return np.pi
            case ast.UnaryOp(op=ast.USub(), operand=below):
                return -at(below)
            case ast.UnaryOp(op=ast.UAdd(), operand=below):
                return at(below)
            case ast.BinOp(op=operation, left=one, right=other) if type(operation) in _OPERATIONS:
                return _OPERATIONS[type(operation)](at(one), at(other))
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](*map(at, parts))
        raise ValueError(f"{ast.unparse(node)[:60]} is not a formula that numpy can evaluate here")

    return at(ast.parse(formula.strip(), mode="eval").body)


def slope(formula: str, variable: str, **variables: AnyNumbers) -> AnyNumbers:
    """The derivative in one of the variables, by an imaginary step of 1e-30: exact up to rounding.

    >>> float(slope("x**3", "x", x=2.0))
    12.0
    """
    stepped = variables | {variable: variables[variable] + 1e-30j}
    return np.imag(values(formula, **stepped)) / 1e-30
