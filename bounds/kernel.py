"""Kernels of attention: a table of formulas in the inner product s of two inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy

from icgd.bounds.functions.formula import scalar
from icgd.bounds.functions.scalar import Scalar, ball_between, t
from icgd.bounds.open_table import OpenTable


@dataclass(frozen=True)
class Kernel:
    """The similarity of a key and a token with inner product s: k(s), or k(s) over its sum over all keys.

    name: what the user types.  formula: k, in s.  normalised: whether a column of similarities is divided by
    its sum, as softmax does.

    >>> Kernel("cubic", "s**3").k(2.0)
    8.0
    """

    name: str
    formula: str
    normalised: bool = False

    @cached_property
    def k(self) -> Scalar:
        """The function of s itself, written in `icgd.bounds.functions.scalar.t`."""
        return scalar(self.formula, "s")

    @property
    def is_inner_product(self) -> bool:
        """Whether k(s) = s, so that sums over keys need no matrix of kernel values."""
        return bool(self.k.expr == t) and not self.normalised

    @property
    def is_semidefinite(self) -> bool:
        """Whether all Gram matrices are shown to be positive semidefinite: k is a series without minus signs.

        Entrywise powers keep matrices semidefinite (Schur), and so do sums and limits.
        """
        return has_no_minus_sign(self.k.expr) and not self.normalised

    def largest(self, radius: float, points: int) -> float:
        """A bound on lambda_max / n over all Gram matrices of n points of that norm.

        For a semidefinite kernel it is the trace, for any other the largest row sum, which is 1 if rows are
        normalised.  Raises ValueError if k is not finite, or is normalised and not positive.
        """
        square = radius**2
        if self.normalised:
            if not self.is_positive(square):
                raise ValueError(
                    f"{self.name} is normalised, but not shown to be positive for |s| <= {square:g}"
                )
            return 1 / points
        if self.is_semidefinite:
            return self.k.nearest(square)
        if self.k.is_piecewise_linear:
            ends = (-square, square, *(kink for kink in self.k.kinks if abs(kink) < square))
            return max(abs(self.k.nearest(end)) for end in ends)
        return self.k.sup(-square, square)

    def is_positive(self, reach: float) -> bool:
        """Whether k is shown to be positive for |s| <= reach, on balls that are halved where necessary."""
        parts, spare = [(-reach, reach)], _HALVINGS
        while parts and spare:
            low, high = parts.pop()
            if not self.k.ball(ball_between(low, high)) > 0:
                spare -= 1
                parts += [(low, (low + high) / 2), ((low + high) / 2, high)]
        return not parts


_HALVINGS = 1000


def has_no_minus_sign(expr: sympy.Expr) -> bool:
    """Whether an expression in t is shown to be an everywhere convergent power series, coefficients >= 0.

    >>> has_no_minus_sign((1 + t) ** 2), has_no_minus_sign(sympy.exp(t) - 1)
    (True, False)
    """
    if expr == t or (expr.is_Rational and expr >= 0):
        return True
    if expr.is_Add or expr.is_Mul or isinstance(expr, sympy.exp | sympy.cosh | sympy.sinh):
        return all(map(has_no_minus_sign, expr.args))
    return bool(expr.is_Pow and expr.exp.is_Integer and expr.exp > 0 and has_no_minus_sign(expr.base))


def _refuse(kernel: Kernel) -> None:
    """Raises ValueError for a kernel that bounds cannot be computed for."""
    try:
        kernel.k.check()
    except ValueError as error:
        raise ValueError(f"the kernel {kernel.name} = {kernel.formula} cannot be bounded: {error}") from None


KERNELS = OpenTable(
    "a kernel",
    [
        Kernel("linear", "s"),
        Kernel("exp", "exp(s)"),
        Kernel("softmax", "exp(s)", normalised=True),
        Kernel("relu", "Max(0, s)"),
        Kernel("quadratic", "(1 + s)**2"),  # of all monomials up to degree 2
    ],
    _refuse,
)
"""The kernels known by name; `KERNELS.register` adds one."""
