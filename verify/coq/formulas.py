"""Writes functions given by formulas as terms of `verify/coq/formulas.v`."""

from __future__ import annotations

import ast
from fractions import Fraction

from icgd.verify.checker.power_series import NAMED, Unreadable, parsed

_KNOWN = {"sigmoid": "Call Logistic Var", "softplus": "Call Softplus Var", "identity": "Var"}
_ELEMENTARY = {
    "exp": "Exp",
    "log": "Ln",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "atan": "Atan",
    "tanh": "Tanh",
    "logistic": "Logistic",
    "softplus": "Softplus",
    "erf": "Erf",
}


def rational(x: Fraction | float) -> str:
    """An exact rational of Coq."""
    exact = Fraction(x)
    return f"({exact.numerator} # {exact.denominator})"


def term(text: str) -> str:
    """The formula of t with this name or formula; raises Unreadable where Coq has no such function."""
    return _KNOWN.get(text) or _term(parsed(NAMED.get(text, text)))


def _term(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=Fraction() as number):
            return f"Num {rational(number)}"
        case ast.Name(id="t"):
            return "Var"
        case ast.Name(id="pi"):
            return "Pi"
        case ast.UnaryOp(op=ast.USub(), operand=below):
            return _times("Num (-1 # 1)", _term(below))
        case ast.UnaryOp(op=ast.UAdd(), operand=below):
            return _term(below)
        case ast.BinOp(op=ast.Add(), left=one, right=other):
            return _plus(_term(one), _term(other))
        case ast.BinOp(op=ast.Sub(), left=one, right=other):
            return _plus(_term(one), _times("Num (-1 # 1)", _term(other)))
        case ast.BinOp(op=ast.Mult(), left=one, right=other):
            same = ast.dump(one) == ast.dump(other)
            return f"Square ({_term(one)})" if same else _times(_term(one), _term(other))
        case ast.BinOp(op=ast.Div(), left=one, right=other):
            by = _number(other)
            return _times(f"Num {rational(1 / by)}" if by else _call("Inverse", _term(other)), _term(one))
        case ast.BinOp(op=ast.Pow(), left=base, right=exponent):
            return _power(_term(base), exponent)
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]):
            return _function(name, _term(inner), node)
    raise _unknown(node)


def _number(node: ast.expr) -> Fraction | None:
    """The rational that a part of a formula is; None if it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, Fraction) else None


def _unknown(node: ast.expr) -> Unreadable:
    return Unreadable(f"{ast.unparse(node)[:60]} has no enclosure in Coq")


def _plus(one: str, other: str) -> str:
    return f"Plus ({one}) ({other})"


def _times(one: str, other: str) -> str:
    return f"Times ({one}) ({other})"


def _call(name: str, inner: str) -> str:
    return f"Call {name} ({inner})"


def _power(base: str, exponent: ast.expr) -> str:
    """A power: by squares where the exponent is a whole number or half of one, else exp(y log x)."""
    sign = 1
    if isinstance(exponent, ast.UnaryOp) and isinstance(exponent.op, ast.USub):
        sign, exponent = -1, exponent.operand
    number = _number(exponent)
    if isinstance(exponent, ast.BinOp) and isinstance(exponent.op, ast.Div):
        above, below = _number(exponent.left), _number(exponent.right)
        number = above / below if above is not None and below else None
    if number is None or number.denominator > 2 or number > 64:
        return _call("Exp", _times(_times(f"Num ({sign} # 1)", _term(exponent)), _call("Ln", base)))
    if number.denominator == 2:
        base, number = _call("Sqrt", base), 2 * number
    made = "Num (1 # 1)"
    for bit in bin(number.numerator)[2:]:
        made = made if made == "Num (1 # 1)" else f"Square ({made})"
        if bit == "1":
            made = base if made == "Num (1 # 1)" else _times(made, base)
    return made if sign > 0 else _call("Inverse", made)


def _function(name: str, a: str, node: ast.expr) -> str:
    if name in _ELEMENTARY:
        return _call(_ELEMENTARY[name], a)
    minus = _times("Num (-1 # 1)", a)
    up, down = _call("Exp", a), _call("Exp", minus)
    match name:
        case "tan":
            return _times(_call("Sin", a), _call("Inverse", _call("Cos", a)))
        case "cosh":
            return _times("Num (1 # 2)", _plus(up, down))
        case "sinh":
            return _times("Num (1 # 2)", _plus(up, _times("Num (-1 # 1)", down)))
        case "sech":
            return _times("Num (2 # 1)", _call("Inverse", _plus(up, down)))
        case "log_cosh":  # a + log(1 + exp(-2 a)) - log 2
            log2 = _times("Num (-1 # 1)", _call("Ln", "Num (2 # 1)"))
            return _plus(_plus(a, _call("Softplus", _times("Num (-2 # 1)", a))), log2)
    raise _unknown(node)
