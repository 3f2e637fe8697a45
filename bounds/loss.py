"""Losses of the simulated network, each one sympy expression and its slope in ridge form."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import sympy

from icgd.bounds.functions.scalar import LOGISTIC, Scalar, t

p, y = sympy.symbols("p y", real=True)


@dataclass(frozen=True)
class Loss:
    """A loss l(p, y) = sum_k expr(p[k], y[k]) and its gradient u in p.

    The gradient is u(p, y)[k] = phi(p[k] - rho y[k]) - sigma y[k], the form a layer can read:
    one function of one linear form, minus a linear term.

    name: what the user types.  expr: one coordinate of the loss, in `icgd.bounds.loss.p` and `.y`.
    data_range: the range onto which targets of real data are scaled, or None to centre them; every theorem
    and every search speaks of all y with norm2(y) <= B_y.
    """

    name: str
    expr: sympy.Expr
    phi: Scalar
    rho: float
    sigma: float
    data_range: tuple[float, float] | None = None


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
                data_range=(0.0, 1.0),
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
