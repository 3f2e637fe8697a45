"""Formulas as element-wise torch functions, with the derivatives that their expressions have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sympy
import torch
from torch import Tensor

from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.functions.stable_forms import tame
from icgd.bounds.letters import ProblemError


def _lifted(function: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """The function, also of plain numbers: formulas hold constants such as sqrt(2)."""

    def call(x: Any) -> Any:
        return function(x) if isinstance(x, Tensor) else function(torch.tensor(x, dtype=torch.float64)).item()

    return call


def _pairwise(pick: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Any]:
    def call(a: Any, b: Any) -> Any:
        like = a if isinstance(a, Tensor) else torch.as_tensor(b, dtype=getattr(b, "dtype", torch.float64))
        return pick(*(torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (a, b)))

    return call


def _as_tensor(x: Any) -> Tensor:
    """A tensor as it is, a number in float64 (left to itself torch would round it to float32)."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _select(conditions: Sequence[Any], values: Sequence[Any], default: float) -> Any:
    """The first value whose condition holds: how sympy prints a Piecewise."""
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

_TORCH: Mapping[str, Any] = {
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
"""What the functions of a formula mean on tensors, under the names that sympy's numpy printer gives them."""

_KINKED = (sympy.Max, sympy.Min, sympy.Abs, sympy.Heaviside, sympy.sign, sympy.Piecewise)


def _without_overflow(expr: sympy.Expr) -> sympy.Expr:
    """The same function, written so that large arguments do not make autograd say inf/inf."""
    a = sympy.Wild("a")
    for pattern, name, argument in (
        (sympy.log(1 + sympy.exp(a)), "softplus", a),
        (1 / (1 + sympy.exp(a)), "sigmoid", -a),
    ):
        expr = expr.replace(pattern, sympy.Function(name)(argument))
    return expr


_READ = {*_ELEMENTARY, "Abs", "Heaviside", "Piecewise", "softplus", "sigmoid", "log_cosh", "sech"}
"""The functions above by sympy's own names for them; Max, Min and roots are no functions to sympy."""


def compiled(expr: sympy.Expr, *variables: sympy.Symbol) -> Callable[..., Any]:
    """An expression as a function of tensors; raises ProblemError where torch has no such function here."""
    written = tame(_without_overflow(expr))
    for node in written.atoms(sympy.Function):
        if (name := type(node).__name__) not in _READ:
            raise ProblemError("formula", expr, f"it cannot be run, as construct/ has no {name} for tensors")
    function: Callable[..., Any] = sympy.lambdify(
        variables, written, modules=[dict(_TORCH), "numpy"], cse=True
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
    """A scalar whose derivative is the one derived from its expression, also at a kink."""

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

    At a kink torch would choose a slope of its own (maximum: the mean of both); here Heaviside(x) = (x > 0)
    decides, so relu'(0) = 0.
    """
    if scalar.expr.has(*_KINKED):
        return lambda x: _Kinked.apply(x, scalar)
    return _values(scalar)
