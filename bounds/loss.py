"""Losses of the simulated network, each one sympy expression and its slope in ridge form."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import sympy

from bounds.scalar import LOGISTIC, Scalar, t

p, y = sympy.symbols("p y", real=True)


@dataclass(frozen=True)
class Loss:
    """A loss l(p, y) = sum_k expr(p[k], y[k]) and its gradient u in p.

    The gradient is u(p, y)[k] = phi(p[k] - rho y[k]) - sigma y[k], the form a layer can read:
    one function of one linear form, minus a linear term.

    name: what the user types.  expr: one coordinate of the loss, in `bounds.loss.p` and `.y`.
    targets: the range of y[k] for which the loss is meant, or None for all reals.
    """

    name: str
    expr: sympy.Expr
    phi: Scalar
    rho: float
    sigma: float
    targets: tuple[float, float] | None = None


HUBER_RADIUS = 0.5
"""Where the Huber loss turns from quadratic to linear."""

_delta = sympy.Rational(HUBER_RADIUS)

LOSSES = MappingProxyType(
    {
        loss.name: loss
        for loss in (
            Loss("squared", (p - y) ** 2, Scalar(2 * t), rho=1.0, sigma=0.0),
            Loss(
                "logistic",
                sympy.log(1 + sympy.exp(p)) - y * p,
                Scalar(LOGISTIC),
                rho=0.0,
                sigma=1.0,
                targets=(0.0, 1.0),
            ),
            Loss(
                "huber",
                sympy.Piecewise(
                    ((p - y) ** 2 / 2, sympy.Abs(p - y) <= _delta),
                    (_delta * (sympy.Abs(p - y) - _delta / 2), True),
                ),
                Scalar(sympy.Max(-_delta, sympy.Min(_delta, t)), (-HUBER_RADIUS, HUBER_RADIUS)),
                rho=1.0,
                sigma=0.0,
            ),
        )
    }
)
"""The losses known by name."""


def parse_loss(text: str) -> Loss:
    """The loss called `text`; raises ValueError naming the ones there are."""
    if text not in LOSSES:
        raise ValueError(f"not one of {', '.join(LOSSES)}")
    return LOSSES[text]
