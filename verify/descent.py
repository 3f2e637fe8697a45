"""Exact gradient descent on the simulated network, by automatic differentiation.

This is the referee: it shares the layout of w with `icgd.construct.prompt` and nothing with the transformer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import sympy
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.loss import Loss
from icgd.bounds.loss import p as _p
from icgd.bounds.loss import y as _y
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt, box, split_weights


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

_AT_ONCE = 1 << 22
"""Numbers of one layer that are held at once: a prompt of very many examples is worked on in parts."""

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


@cache
def _values(scalar: Scalar) -> Callable[[Tensor], Tensor]:
    if scalar.is_constant:  # 0*x keeps the result attached to the graph of x
        constant = float(scalar.expr)
        return lambda x: constant + 0 * x
    function = Scalar(_without_overflow(scalar.expr)).compile(_TORCH, fallback="numpy")
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


@cache
def _loss_callable(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    function: Callable[[Tensor, Tensor], Tensor] = sympy.lambdify(
        (_p, _y), _without_overflow(loss.expr), modules=[dict(_TORCH), "numpy"], cse=True
    )
    return function


def network(
    problem: Problem, w: Float[Tensor, "B D_w"], x: Float[Tensor, "B n d"]
) -> Float[Tensor, "B n d_out"]:
    """The outputs p_i(N) of the simulated network; source: arXiv 2411.16549, Section 4."""
    p = x
    for layer, v in enumerate(split_weights(problem, w), start=1):
        p = torch_callable(problem.activation_at(layer).r)(p @ v.mT)
    return p


def empirical_loss(problem: Problem, prompt: Prompt) -> Float[Tensor, " B"]:
    """L_n(w) = (1/(2n)) sum_i l(p_i(N), y_i) of every prompt; source: arXiv 2411.16549, Theorem 1."""
    sums = [
        _loss_callable(problem.loss)(network(problem, part.w, part.x), part.y).sum(dim=(-2, -1))
        for part in _parts(problem, prompt)
    ]
    return sum(sums[1:], start=sums[0]) / (2 * prompt.n)


def _parts(problem: Problem, prompt: Prompt) -> Iterator[Prompt]:
    """The prompts with some of their examples at a time; all at once where these are few."""
    size = max(1, _AT_ONCE // (prompt.batch * max(problem.dims)))
    for first in range(0, prompt.n, size):
        some = slice(first, first + size)
        yield replace(prompt, x=prompt.x[:, some], y=prompt.y[:, some])


def gradient(problem: Problem, prompt: Prompt) -> Float[Tensor, "B D_w"]:
    """The gradient of L_n at the w of every prompt, by autograd."""
    slopes = []
    for part in _parts(problem, prompt):
        with torch.enable_grad():
            w = prompt.w.detach().clone().requires_grad_()
            # Prompts do not interact, so one sum gives every prompt its own gradient.
            (slope,) = torch.autograd.grad(empirical_loss(problem, part.with_weights(w)).sum(), w)
        slopes.append(slope * (part.n / prompt.n))
    return sum(slopes[1:], start=slopes[0])


def project(problem: Problem, w: Float[Tensor, "B D_w"]) -> Float[Tensor, "B D_w"]:
    """Proj: the nearest point of the box W, by clipping."""
    face = box(problem, w)
    return torch.clamp(w, -face, face)


def _target(problem: Problem, prompt: Prompt) -> Float[Tensor, "B D_w"]:
    return prompt.w.detach() - problem.eta * gradient(problem, prompt)


def descend(problem: Problem, prompt: Prompt, steps: int) -> Float[Tensor, "steps+1 B D_w"]:
    """w(0), ..., w(steps) of exact projected gradient descent from the prompt's own w."""
    path = [prompt.w.detach()]
    for _ in range(steps):
        path.append(project(problem, _target(problem, prompt.with_weights(path[-1]))))
    return torch.stack(path)


def step_error(
    problem: Problem, prompt: Prompt, reached: Float[Tensor, "B D_w"], ulps: float = 16
) -> Float[Tensor, " B"]:
    """The 2-norm of the smallest err with reached = Proj(w - eta grad L_n(w) + err).

    Source: arXiv 2411.16549, Theorem 1, which asks for at most eta*eps.  A coordinate within `ulps` roundings
    of a face of W counts as on it; one beyond a face is explained by no err, and the result is inf.
    """
    target = _target(problem, prompt)
    face = box(problem, target)
    # The transformer clips by adding and subtracting numbers as large as |target|: roundings scale with it.
    slack = ulps * torch.finfo(reached.dtype).eps * (face + target.abs())
    zero = torch.zeros_like(target)
    error = reached - target
    for at_face, rest in (
        (reached >= face - slack, torch.maximum(face - target, zero)),
        (reached <= slack - face, torch.minimum(-face - target, zero)),
    ):
        error = torch.where(at_face & (rest.abs() < error.abs()), rest, error)
    error = torch.where(reached.abs() > face + slack, torch.inf, error)
    norm: Tensor = torch.linalg.vector_norm(error, dim=-1)
    return norm
