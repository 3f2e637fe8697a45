"""Functions of one real variable: one sympy expression, from which everything else is derived.

A `Scalar` is the single source of truth for an activation, its derivatives or the slope of a loss.
Floating-point callables are compiled from the expression; rigorous values come from the same
expression as a power series over real balls (`bounds.series`, python-flint's Arb).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import flint
import numpy as np
import sympy

from bounds import series

t = sympy.Symbol("t", real=True)

LOGISTIC = (1 + sympy.tanh(t / 2)) / 2
"""1 / (1 + exp(-t)), in the form whose derivatives neither overflow nor widen on balls: products of tanh."""

_MOST_BOXES = 20_000
"""Halvings that a range may take."""

PRECISION = 128
"""Bits carried by every ball computation: far more than the 53 of the weights it judges."""

_NUMPY_NAMES: Mapping[str, Any] = {
    "Heaviside": lambda x, *_: np.where(x > 0, 1.0, 0.0),
    "DiracDelta": lambda x, *_: 0.0 * x,
    "erf": np.vectorize(math.erf, otypes=[float]),
}


def upper_float(x: flint.arb) -> float:
    """The smallest-but-one float certainly not below the ball `x`."""
    return math.nextafter(float(x.upper()), math.inf)


def lower_float(x: flint.arb) -> float:
    """The largest-but-one float certainly not above the ball `x`."""
    return math.nextafter(float(x.lower()), -math.inf)


def ball_between(lo: float, hi: float) -> flint.arb:
    """The smallest ball that holds the interval [lo, hi]."""
    return flint.arb(lo).union(flint.arb(hi))


def _upper(x: flint.arb) -> float:
    return float(x.upper()) if x.is_finite() else math.inf


def _lower(x: flint.arb) -> float:
    return float(x.lower()) if x.is_finite() else -math.inf


@dataclass(frozen=True)
class Scalar:
    """A real function of `t`, smooth except possibly at its `kinks`.

    expr: the sympy expression in `bounds.scalar.t`.
    kinks: where one-sided derivatives differ; between kinks the function is smooth.
    primitive: the function that this one is the derivative of, if it was made as that.

    >>> square = Scalar(t**2)
    >>> square(3.0), square.derivative(3.0)
    (9.0, 6.0)
    >>> low, high = square.range(-1.0, 2.0)
    >>> -1e-9 < low <= 0.0 and 4.0 <= high < 4.0 + 1e-9
    True
    """

    expr: sympy.Expr
    kinks: tuple[float, ...] = ()
    primitive: Scalar | None = field(default=None, compare=False, repr=False)

    @cached_property
    def derivative(self) -> Scalar:
        """The derivative, with point masses at kinks left out."""
        slope = sympy.diff(self.expr, t)
        if slope.has(sympy.DiracDelta):
            slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
        slope = slope.subs(sympy.exp(t) / (1 + sympy.exp(t)), LOGISTIC)
        return Scalar(sympy.simplify(slope) if self.kinks else slope, self.kinks, self)

    @cached_property
    def is_constant(self) -> bool:
        return t not in self.expr.free_symbols

    @cached_property
    def is_piecewise_linear(self) -> bool:
        """Whether the second derivative vanishes identically between kinks."""
        bend = self.derivative.derivative
        if any(bend.ball(flint.arb(x)) != 0 for x in (-2.3, -0.7, 0.3, 1.9)):
            return False  # refuted by a ball: simplifying a large expression may take minutes
        return bool(sympy.simplify(bend.expr) == 0)

    def compose(self, inner: Scalar) -> Scalar:
        """The function t -> self(inner(t)); both must be free of kinks unless linear."""
        return Scalar(self.expr.subs(t, inner.expr), inner.kinks)

    def compile(self, names: Mapping[str, Any], fallback: str = "numpy") -> Callable[..., Any]:
        """A Python callable of one argument whose elementary functions are taken from `names`."""
        return sympy.lambdify(t, self.expr, modules=[dict(names), fallback], cse=True)

    @cached_property
    def _numpy(self) -> Callable[..., Any]:
        return self.compile(_NUMPY_NAMES)

    def __call__(self, x: Any) -> Any:
        """The value in floating point; `x` is a float or an array, the result has its shape."""
        value = self._numpy(np.asarray(x, dtype=float))
        value = np.broadcast_to(np.asarray(value, dtype=float), np.shape(x))
        return float(value) if value.ndim == 0 else np.array(value)

    @cached_property
    def _balls(self) -> series.Balls:
        """This function and its derivatives on balls: those of its primitive, as long as there is no kink."""
        below = self.primitive
        if below is None or self.kinks:
            return series.balls(self.expr, t)
        return lambda x, order: below._balls(x, order + 1)[1:]

    def jet(self, x: flint.arb, order: int) -> list[flint.arb]:
        """Balls that hold f, f', ... up to an order on the ball x; nan where x is too wide to tell."""
        if self.kinks:
            return [self.ball(x), *(self.derivative.jet(x, order - 1) if order else [])]
        return self._balls(x, order)

    def ball(self, x: flint.arb) -> flint.arb:
        """A ball that holds f on the ball x (at `flint.ctx.prec`); nan where x is too wide to tell."""
        return self._balls(x, 0)[0]

    def _maximum(self, lo: float, hi: float, sign: int, tolerance: float) -> float:
        best = -math.inf

        def bound(a: float, b: float) -> float:
            """By Taylor's theorem in the middle, or as enclosed on the whole; with kinks the latter alone."""
            nonlocal best
            whole, middle = ball_between(a, b), flint.arb((a + b) / 2)
            if self.kinks:
                best = max(best, _lower(sign * self.ball(middle)))
                return _upper(sign * self.ball(whole))
            natural, _, bend = (sign * y for y in self.jet(whole, 2))
            value, rise = (sign * y for y in self.jet(middle, 1))
            half = (flint.arb(b) - middle).max(middle - flint.arb(a))  # the ball `whole` is a little wider
            far, curve = abs(rise) * half, bend * half * half / 2
            most = flint.arb(curve.upper())
            turns = most < 0 and far < -2 * most
            best = max(best, _lower(value), _lower(value + far + curve.lower()))
            return min(
                _upper(natural), _upper(value - far * far / (4 * most) if turns else value + far + most)
            )

        for end in (lo, hi):
            best = max(best, _lower(sign * self.ball(flint.arb(end))))
        enough = tolerance * self._resolution(lo, hi)
        heap = [(-bound(lo, hi), lo, hi)]
        for _ in range(_MOST_BOXES):
            negative, a, b = heap[0]
            middle = (a + b) / 2
            if -negative - best <= enough or not a < middle < b:
                break
            heapq.heapreplace(heap, (-bound(a, middle), a, middle))
            heapq.heappush(heap, (-bound(middle, b), middle, b))
        return math.nextafter(-heap[0][0], math.inf)

    def _resolution(self, lo: float, hi: float) -> float:
        """About how far f varies on [lo, hi], or 2^-40 of its size: what tolerances are relative to."""
        with np.errstate(all="ignore"):
            seen = self(np.linspace(lo, hi, 33))
        seen = seen[np.isfinite(seen)]
        if not len(seen):
            return 0.0
        return float(max(np.ptp(seen), 2.0**-40 * np.abs(seen).max()))

    def range(self, lo: float, hi: float, tolerance: float = 1e-10) -> tuple[float, float]:
        """Floats (low, high) such that low <= f(x) <= high for every real x in [lo, hi].

        Rigorous: branch and bound over Arb balls with monotonicity and the mean value form;
        within `tolerance` times the true range's width for smooth functions.
        Raises ValueError if no finite enclosure is found.
        """
        return kept_range(self, lo, hi, tolerance)

    def sup(self, lo: float, hi: float) -> float:
        """An upper bound of |f| on [lo, hi], rigorous and tight as `range` is."""
        low, high = self.range(lo, hi)
        return max(-low, high)


@lru_cache(maxsize=1 << 14)
def kept_range(f: Scalar, lo: float, hi: float, tolerance: float) -> tuple[float, float]:
    """As `Scalar.range`; kept, because plans for neighbouring problems ask for the same ranges."""
    with flint.ctx.workprec(PRECISION):
        high = f._maximum(lo, hi, 1, tolerance)
        low = -f._maximum(lo, hi, -1, tolerance)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{f.expr} has no finite enclosure on [{lo}, {hi}]")
    return low, high
