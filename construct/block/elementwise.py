"""Formulas compiled to element-wise torch functions, with the derivatives of their expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sympy
import torch
from torch import Tensor

from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.functions.stable_forms import stable_form
from icgd.bounds.letters import ProblemError


def _lifted(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """The function extended to plain numbers, as formulas contain constants such as sqrt(2)."""

    def call(x: Any) -> Any:
        return function(x) if isinstance(x, Tensor) else function(torch.tensor(x, dtype=torch.float64)).item()

    return call


def _pairwise(pick: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Any]:
    def call(a: Any, b: Any) -> Any:
        like = a if isinstance(a, Tensor) else torch.as_tensor(b, dtype=getattr(b, "dtype", torch.float64))
        return pick(*(torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (a, b)))

    return call


def _as_tensor(x: Any) -> Tensor:
    """A tensor unchanged, a number in float64 (torch's default is float32)."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _select(conditions: Sequence[Any], values: Sequence[Any], default: float) -> Any:
    """The first value whose condition holds; sympy prints a Piecewise as such a call."""
    result: Any = default
    for condition, value in reversed(list(zip(conditions, values, strict=True))):
        always = condition is True
        result = value if always else torch.where(condition, _as_tensor(value), _as_tensor(result))
    return result


_ELEMENTARY = (
    "tanh",
    "sinh",
    "cosh",
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "atan",
    "erf",
    "sqrt",
    "abs",
    "sign",
)

ON_TENSORS: Mapping[str, Any] = {
    **{name: _lifted(getattr(torch, name)) for name in _ELEMENTARY},
    "arctan": torch.atan,
    "maximum": _pairwise(torch.maximum),
    "minimum": _pairwise(torch.minimum),
    "select": _select,
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "equal": torch.eq,
    "Heaviside": lambda x, *_: (x > 0).to(x.dtype),
    "sigmoid": torch.sigmoid,
    "log_cosh": lambda x: torch.logaddexp(x, -x) - math.log(2),
    "sech": lambda x: 1 / torch.cosh(x),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
}
"""The functions of formulas on tensors, under the names that sympy's numpy printer uses."""

_KINKED = (sympy.Max, sympy.Min, sympy.Abs, sympy.Heaviside, sympy.sign, sympy.Piecewise)


def _without_overflow(expr: sympy.Expr) -> sympy.Expr:
    """The same function, written so that autograd gives no inf/inf at large arguments."""
    a = sympy.Wild("a")
    for pattern, name, argument in (
        (sympy.log(1 + sympy.exp(a)), "softplus", a),
        (1 / (1 + sympy.exp(a)), "sigmoid", -a),
    ):
        expr = expr.replace(pattern, sympy.Function(name)(argument))
    return expr


READABLE = {*_ELEMENTARY, "Abs", "Heaviside", "Piecewise", "softplus", "sigmoid", "log_cosh", "sech"}
"""The functions above under sympy's names; to sympy, Max, Min and roots are not functions."""


def compiled(expr: sympy.Expr, *variables: sympy.Symbol) -> Callable[..., Any]:
    """An expression as a function of tensors; raises ProblemError where torch has no such function here."""
    written = stable_form(_without_overflow(expr))
    for node in written.atoms(sympy.Function):
        if (name := type(node).__name__) not in READABLE:
            raise ProblemError("formula", expr, f"it cannot be run: construct/ has no {name} for tensors")
    function: Callable[..., Any] = sympy.lambdify(
        variables, written, modules=[dict(ON_TENSORS), "numpy"], cse=True
    )
    return function


@cache
def _values(scalar: Scalar) -> Callable[[Tensor], Tensor]:
    if scalar.is_constant:  # 0*x keeps the result attached to the graph of x
        constant = float(scalar.expr)
        return lambda x: constant + 0 * x
    function = compiled(scalar.expr, t)
    return lambda x: function(x).to(x.dtype)


class _Kinked(torch.autograd.Function):
    """A scalar whose autograd derivative is that of its expression, even at a kink."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scalar: Scalar) -> Tensor:
        return _values(scalar)(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Scalar], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.scalar = inputs[1]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return upstream[0] * torch_callable(ctx.scalar.derivative)(x), None


@cache
def torch_callable(scalar: Scalar) -> Callable[[Tensor], Tensor]:
    """The scalar as an element-wise torch function whose autograd derivative is `scalar.derivative`.

    At a kink torch has its own convention (maximum: the mean of both slopes); here Heaviside(x) = (x > 0), so
    relu'(0) = 0.
    """
    if scalar.expr.has(*_KINKED):
        return lambda x: _Kinked.apply(x, scalar)
    return _values(scalar)
