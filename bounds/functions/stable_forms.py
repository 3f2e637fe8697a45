"""Stable forms of formulas whose parts grow like exp(t) and cancel: rewritten without such parts.

t/(1 + exp(-t)) grows like t, but exp(-t) overflows, and derivatives of the formula contain inf/inf for large
|t|; on balls the cancellation loses precision long before that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import sympy


class softplus(sympy.Function):
    """log(1 + exp(a))."""

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return logistic(self.args[0])


class log_cosh(sympy.Function):
    """log(cosh(a))."""

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.tanh(self.args[0])


class sech(sympy.Function):
    """1 / cosh(a)."""

    @classmethod
    def eval(cls, a: sympy.Expr) -> sympy.Expr | None:
        return sympy.Integer(1) if a.is_zero else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return -sympy.tanh(self.args[0]) * self


def logistic(a: sympy.Expr) -> sympy.Expr:
    """1 / (1 + exp(-a))."""
    return (1 + sympy.tanh(a / 2)) / 2


_a, _n = sympy.Wild("a"), sympy.Wild("n", properties=[lambda n: n.is_Integer and n > 0])
_PATTERNS = (
    (sympy.log(1 + sympy.exp(_a)), softplus(_a)),
    ((1 + sympy.exp(_a)) ** -_n, logistic(-_a) ** _n),
    (sympy.log(sympy.cosh(_a)), log_cosh(_a)),
    (sympy.cosh(_a) ** -_n, sech(_a) ** _n),
)


def stable_form(expr: sympy.Expr) -> sympy.Expr:
    """The same function of a real variable in a stable form.

    >>> t = sympy.Symbol("t", real=True)
    >>> stable_form(t * sympy.exp(t) / (1 + sympy.exp(t)))
    t*(tanh(t/2)/2 + 1/2)
    """
    for grown in expr.atoms(sympy.exp):
        expr = expr.subs(grown / (1 + grown), logistic(grown.args[0]))
    for pattern, named in _PATTERNS:
        expr = expr.replace(pattern, named)
    return expr


def _sech(x: float) -> float:
    small = math.exp(-abs(x))
    return 2 * small / (1 + small * small)


IN_MATH: Mapping[str, Callable[[float], float]] = {
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "log_cosh": lambda x: abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2),
    "sech": _sech,
}
"""The functions above for one Python float."""

IN_NUMPY: Mapping[str, Callable[..., np.ndarray]] = {
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "log_cosh": lambda x: np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - math.log(2),
    "sech": lambda x: 2 * np.exp(-np.abs(x)) / (1 + np.exp(-2 * np.abs(x))),
}
"""The same for arrays."""
