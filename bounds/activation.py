"""Activations of the simulated network, each one sympy expression."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from types import MappingProxyType

import sympy

from icgd.bounds.functions.scalar import LOGISTIC, Scalar, t

_FUNCTIONS = {
    name: getattr(sympy, name)
    for name in ("tanh", "sinh", "cosh", "exp", "log", "sin", "cos", "tan", "atan", "erf", "sqrt")
}
_KINKED = {"Max": sympy.Max, "Min": sympy.Min, "Abs": sympy.Abs, "relu": lambda x: sympy.Max(0, x)}
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


@dataclass(frozen=True)
class Activation:
    """The activation r of every layer of the simulated network.

    name: what the user typed.
    r: the function itself; its derivatives are `r.derivative`, `r.derivative.derivative`, ...
    """

    name: str
    r: Scalar

    @property
    def derivative(self) -> Scalar:
        """r'."""
        return self.r.derivative

    @property
    def is_smooth(self) -> bool:
        """Whether the formula is free of kinks."""
        return not (self.r.kinks or self.r.expr.has(sympy.Max, sympy.Min, sympy.Abs))

    def violated_hypothesis(self, radius: float) -> str | None:
        """Why r breaks the hypotheses of arXiv 2411.16549, Theorem 1, on [-radius, radius], or None.

        The theorem asks that r and r' be Lipschitz and four times continuously differentiable.
        Smoothness is certified: every derivative up to the fifth (r' in C^4) has a finite ball enclosure.
        """
        if not self.is_smooth:
            at = ", ".join(f"{k:g}" for k in self.r.kinks) or "a kink"
            return f"{self.name} is not C^4 and its derivative is not Lipschitz (kink at {at})"
        derivative = self.r
        for order in range(6):
            try:
                derivative.range(-radius, radius, tolerance=1e-3)
            except (ValueError, ArithmeticError):
                which = f"derivative {order} of {self.name}" if order else self.name
                return f"{which} is not bounded on [{-radius:g}, {radius:g}]"
            derivative = derivative.derivative
        return None


_LONGEST = 200
"""Characters that a formula may have."""

_HIGHEST = 64
"""The largest product of nested exponents that a formula may have: more would take for ever to expand."""


def _named(name: str, expr: sympy.Expr, kinks: tuple[float, ...] = ()) -> tuple[str, Activation]:
    return name, Activation(name, Scalar(expr, kinks))


ACTIVATIONS = MappingProxyType(
    dict(
        [
            _named("tanh", sympy.tanh(t)),
            _named("sigmoid", LOGISTIC),
            _named("softplus", sympy.log(1 + sympy.exp(t))),
            _named("gelu", t * (1 + sympy.erf(t / sympy.sqrt(2))) / 2),
            _named("sin", sympy.sin(t)),
            _named("relu", sympy.Max(0, t), (0.0,)),
            _named("identity", t),
        ]
    )
)
"""The activations known by name."""


def parse_activation(text: str) -> Activation:
    """The activation called `text`, or the one given by a formula in t such as "t/(1+exp(-t))".

    Only numbers, t, + - * / **, and the functions tanh sinh cosh exp log sin cos tan atan erf sqrt
    Max Min Abs relu are read, so a formula cannot run code.  Raises ValueError with the reason.

    >>> parse_activation("sin(t) + t/2").r(0.0)
    0.0
    """
    if text in ACTIVATIONS:
        return ACTIVATIONS[text]
    names = ", ".join(ACTIVATIONS)
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if not isinstance(node, _SYNTAX):
                raise ValueError(f"{type(node).__name__} is not allowed in a formula")
            if isinstance(node, ast.Constant):
                if not isinstance(node.value, int | float):
                    raise ValueError(f"{node.value!r} is not a number")
                if not abs(node.value) <= 1e15:
                    raise ValueError(f"{node.value!r} is too large a number")
            if isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name)):
                raise ValueError("only plain function calls are allowed in a formula")
        if _degree(tree.body) > _HIGHEST:
            raise ValueError(f"exponents may multiply up to {_HIGHEST} at most")
        expr = sympy.sympify(_evaluate(tree.body))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ArithmeticError) as error:
        reason = "not a formula" if isinstance(error, SyntaxError) else error
        raise ValueError(f"neither one of {names} nor a formula in t ({reason})") from None
    if not expr.free_symbols <= {t} or expr.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise ValueError(f"neither one of {names} nor a real formula in t")
    return Activation(text, Scalar(expr, _kinks(expr)))


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


def _evaluate(node: ast.expr) -> sympy.Expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return sympy.Rational(str(node.value))
    if isinstance(node, ast.Name):
        if node.id == "t":
            return t
        if node.id == "pi":
            return sympy.pi
        raise ValueError(f"unknown name {node.id!r}; the variable is t")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
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
        function = {**_FUNCTIONS, **_KINKED}.get(node.func.id)
        if function is None:
            raise ValueError(f"unknown function {node.func.id!r}")
        if not node.args or (len(node.args) > 1 and node.func.id not in ("Max", "Min")):
            raise ValueError(f"{node.func.id} needs one argument")
        arguments = [_evaluate(argument) for argument in node.args]
        grows = node.func.id in ("exp", "sinh", "cosh") and not arguments[0].free_symbols
        if grows and not abs(sympy.N(arguments[0], 15)) <= 700:
            raise ValueError(f"{node.func.id} of a number beyond 700 is too large a number")
        return function(*arguments)
    raise ValueError("not a formula")


def _kinks(expr: sympy.Expr) -> tuple[float, ...]:
    """Where a formula with Max, Min or Abs switches branch, when that is linear in t."""
    kinks: set[float] = set()
    for node in expr.atoms(sympy.Max, sympy.Min, sympy.Abs):
        branches = [*node.args, sympy.Integer(0)] if isinstance(node, sympy.Abs) else list(node.args)
        for i, left in enumerate(branches):
            for right in branches[i + 1 :]:
                roots = sympy.solveset(left - right, t, sympy.S.Reals)
                if isinstance(roots, sympy.FiniteSet):
                    kinks |= {float(root) for root in roots}
    return tuple(sorted(kinks))
