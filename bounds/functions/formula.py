"""Parser of the formulas that users type: a small expression language, read without executing code.

The language has numbers, variables, pi, + - * / ** and the functions of `FUNCTIONS`.  Balls
(`icgd.bounds.functions.series`), torch, numpy and the independent checker each implement all of them, as
tests ensure: whatever can be written here can be planned, built, attacked and certified.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

import sympy

from icgd.bounds.functions.scalar import Scalar, t

FUNCTIONS: Mapping[str, Callable[..., sympy.Expr]] = {
    **{
        name: getattr(sympy, name)
        for name in ("tanh", "sinh", "cosh", "exp", "log", "sin", "cos", "tan", "atan", "erf", "sqrt")
    },
    **{name: getattr(sympy, name) for name in ("Max", "Min", "Abs")},
    "relu": lambda x: sympy.Max(0, x),
}
"""The functions of the language; Max and Min take any number of arguments, the others one."""

_SYNTAX = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Call,
    ast.Name,
    ast.Constant,
    ast.Load,
    ast.operator,
    ast.unaryop,
)

_LONGEST = 200
"""The most characters that a formula may have."""

_HIGHEST = 64
"""The largest product of nested exponents that a formula may have: larger ones take too long to expand."""


def parse(text: str, *variables: sympy.Symbol) -> sympy.Expr:
    """The real expression that a formula in these variables means; raises ValueError with the reason.

    >>> parse("sin(t)/2 + 0.1*t", t)
    t/10 + sin(t)/2
    """
    known = {variable.name: variable for variable in variables}
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            _allowed(node)
        if _degree(tree.body) > _HIGHEST:
            raise ValueError(f"exponents may multiply up to {_HIGHEST} at most")
        expr = sympy.sympify(_evaluate(tree.body, known))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ArithmeticError) as error:
        reason = "not a formula" if isinstance(error, SyntaxError) else error
        raise ValueError(str(reason)) from None
    if not expr.free_symbols <= {*variables} or expr.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise ValueError("it is not real")
    return expr


def scalar(text: str, variable: str = "t") -> Scalar:
    """Parses a formula in one variable into a `Scalar` with its kinks; raises ValueError.

    >>> scalar("Max(0, s - 1)", "s").kinks
    (1.0,)
    """
    symbol = sympy.Symbol(variable, real=True)
    expr = parse(text, symbol).subs(symbol, t)
    return Scalar(expr, kinks(expr))


def kinks(expr: sympy.Expr) -> tuple[float, ...]:
    """Where an expression in t switches between branches of Max, Min or Abs, at finitely many points."""
    found: set[float] = set()
    for node in expr.atoms(sympy.Max, sympy.Min, sympy.Abs):
        branches = [*node.args, sympy.Integer(0)] if isinstance(node, sympy.Abs) else list(node.args)
        for i, left in enumerate(branches):
            for right in branches[i + 1 :]:
                roots = sympy.solveset(left - right, t, sympy.S.Reals)
                if isinstance(roots, sympy.FiniteSet):
                    found |= {float(root) for root in roots}
    return tuple(sorted(found))


def branch(expr: sympy.Expr, near: sympy.Rational) -> sympy.Expr:
    """The expression in t, free of Max, Min and Abs, that equals `expr` around a number that is not a kink.

    >>> branch(sympy.Abs(t - 1), sympy.Integer(0))
    1 - t
    """

    def at(argument: sympy.Expr) -> sympy.Expr:
        return argument.subs(t, near)

    chosen = expr.replace(sympy.Max, lambda *branches: max(branches, key=at))
    chosen = chosen.replace(sympy.Min, lambda *branches: min(branches, key=at))
    return chosen.replace(sympy.Abs, lambda inside: inside if at(inside) >= 0 else -inside)


def _allowed(node: ast.AST) -> None:
    if not isinstance(node, _SYNTAX):
        raise ValueError(f"{type(node).__name__} is not allowed in a formula")
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, int | float):
            raise ValueError(f"{node.value!r} is not a number")
        if not abs(node.value) <= 1e15:
            raise ValueError(f"{node.value!r} is too large a number")
    if isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name)):
        raise ValueError("only plain function calls are allowed in a formula")


def _degree(node: ast.AST) -> float:
    """The largest product of absolute exponents on any path down the formula, found without evaluating it."""
    below = max(map(_degree, ast.iter_child_nodes(node)), default=1.0)
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        return below
    exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
    if isinstance(exponent, ast.BinOp) and isinstance(exponent.op, ast.Div):
        exponent = exponent.left  # a root: its numerator is what raises the degree
    if not (isinstance(exponent, ast.Constant) and isinstance(exponent.value, int | float)):
        raise ValueError("an exponent must be a number or a fraction")
    return below * max(1.0, abs(exponent.value))


def _evaluate(node: ast.expr, known: Mapping[str, sympy.Symbol]) -> sympy.Expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return sympy.Rational(str(node.value))
    if isinstance(node, ast.Name):
        if node.id in known:
            return known[node.id]
        if node.id == "pi":
            return sympy.pi
        variables = (
            f"variable is {next(iter(known))}" if len(known) == 1 else f"variables are {' and '.join(known)}"
        )
        raise ValueError(f"unknown name {node.id!r}; the {variables}")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand, known)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, known), _evaluate(node.right, known)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
            case ast.Pow() if not right.free_symbols:
                return left**right
        raise ValueError("only + - * / and ** with a constant exponent are allowed")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, function = node.func.id, FUNCTIONS.get(node.func.id)
        if function is None:
            raise ValueError(f"unknown function {name!r}")
        if not node.args or (len(node.args) > 1 and name not in ("Max", "Min")):
            raise ValueError(f"{name} needs one argument")
        arguments = [_evaluate(argument, known) for argument in node.args]
        grows = name in ("exp", "sinh", "cosh") and not arguments[0].free_symbols
        if grows and not abs(sympy.N(arguments[0], 15)) <= 700:
            raise ValueError(f"{name} of a number beyond 700 is too large a number")
        return function(*arguments)
    raise ValueError("not a formula")
