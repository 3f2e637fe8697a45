"""Which kernels of attention are positive semidefinite: exact identities, and a witness where one is not."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import flint
import sympy
from flint import arb

from icgd.bounds.functions.scalar import t
from icgd.bounds.kernel import KERNELS

_PRECISION = 320


@dataclass(frozen=True)
class Witness:
    """Integer points and weights c with sum c_i c_j K(x_i, x_j) < 0, so K is not positive semidefinite."""

    points: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...]


RELU_WITNESS = Witness(((1, 0), (1, 1), (0, 1), (-1, 1)), (2, -2, 2, -1))
"""Four points, 45 degrees apart, on which relu(<u, v>) has the quadratic form -2 (found by hand)."""


def rayleigh(kernel: str, witness: Witness) -> Fraction:
    """c^T K c / c^T c, exactly, for a kernel that is rational at integers; raises ValueError for others.

    >>> rayleigh("relu", RELU_WITNESS)
    Fraction(-2, 13)
    """
    total, formula = Fraction(0), KERNELS[kernel]
    for u, a in zip(witness.points, witness.weights, strict=True):
        for v, b in zip(witness.points, witness.weights, strict=True):
            inner = sum(p * q for p, q in zip(u, v, strict=True))
            value = formula.k.expr.subs(t, inner)
            if formula.normalised or not value.is_Rational:
                raise ValueError(f"{kernel} is not known to be rational at {inner}")
            total += a * b * Fraction(int(value.p), int(value.q))
    return total / sum(weight**2 for weight in witness.weights)


def circle_quotient(points: int = 8, degree: int = 4) -> arb:
    """Rayleigh quotient of relu(<u, v>) at cos(degree theta) over equally spaced points of the unit circle.

    Eight points and degree 4 give 1 - sqrt(2).
    """
    with flint.ctx.workprec(_PRECISION):
        angle = 2 * arb.pi() / points
        wave = [(degree * k * angle).cos() for k in range(points)]
        kernel = [(k * angle).cos().max(arb(0)) for k in range(points)]
        pairs = [(i, j) for i in range(points) for j in range(points)]
        form = sum((wave[i] * wave[j] * kernel[(i - j) % points] for i, j in pairs), arb(0))
        return form / sum((value**2 for value in wave), arb(0))


def fourier_coefficient(degree: int) -> sympy.Expr:
    """pi times a Fourier coefficient of relu(cos theta): its integral against cos(degree theta).

    Degree 4 gives -2/15, so the coefficient is -2/(15 pi).
    """
    theta = sympy.Symbol("theta", real=True)
    return 2 * sympy.integrate(sympy.cos(theta) * sympy.cos(degree * theta), (theta, 0, sympy.pi / 2))


def linear_form_is_square() -> bool:
    """Whether c^T X X^T c = norm2(X^T c)^2 identically, for three points of the plane."""
    points, weights = sympy.Matrix(3, 2, sympy.symbols("x:6")), sympy.Matrix(sympy.symbols("w:3"))
    form = (weights.T * points * points.T * weights)[0, 0]
    return bool(sympy.expand(form - sum(entry**2 for entry in points.T * weights)) == 0)
