"""Functions of one real variable: one sympy expression, from which everything else is derived.

A `Scalar` is the single source of truth for an activation, its derivatives or the slope of a loss.
Floating-point callables are compiled from the expression; rigorous values come from the same
expression as a power series over real balls (`icgd.bounds.functions.series`, python-flint's Arb).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any

import flint
import numpy as np
import sympy

from icgd.bounds.functions import series
from icgd.bounds.functions.stable_forms import IN_NUMPY, stable_form

t = sympy.Symbol("t", real=True)

_MOST_BOXES = 2_000
"""The most halvings in the enclosure of a range."""

PRECISION = 128
"""Bits of every ball computation: far more than the 53 of the weights."""

_NUMPY_NAMES: Mapping[str, Any] = {
    **IN_NUMPY,
    "Heaviside": lambda x, *_: np.where(x > 0, 1.0, 0.0),
    "DiracDelta": lambda x, *_: 0.0 * x,
    "erf": np.vectorize(math.erf, otypes=[float]),
}


def upper_float(x: flint.arb) -> float:
    """A float certainly not below the ball `x`: the next one above its rounded upper end."""
    return math.nextafter(float(x.upper()), math.inf)


def lower_float(x: flint.arb) -> float:
    """A float certainly not above the ball `x`: the next one below its rounded lower end."""
    return math.nextafter(float(x.lower()), -math.inf)


def ball_between(lo: float, hi: float) -> flint.arb:
    """The smallest ball that contains the interval [lo, hi]."""
    return flint.arb(lo).union(flint.arb(hi))


def _upper(x: flint.arb) -> float:
    return float(x.upper()) if x.is_finite() else math.inf


def _lower(x: flint.arb) -> float:
    return float(x.lower()) if x.is_finite() else -math.inf


@dataclass(frozen=True)
class Scalar:
    """A real function of `t`, smooth except possibly at its `kinks`.

    expr: the sympy expression in `icgd.bounds.functions.scalar.t`.
    kinks: where one-sided derivatives differ; between kinks the function is smooth.
    primitive: the function whose derivative this is, if it was derived from one.

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

    def __getstate__(self) -> dict[str, Any]:
        """A pickle holds the fields alone: what is derived from them has functions that cannot be pickled."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def _stable(self) -> sympy.Expr:
        return stable_form(self.expr) if self.primitive is None else self.expr

    @cached_property
    def derivative(self) -> Scalar:
        """The derivative, with point masses at kinks left out."""
        slope = sympy.diff(self._stable, t)
        if slope.has(sympy.DiracDelta):
            slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
        if self.kinks and not (simple := sympy.simplify(slope)).has(sympy.Piecewise):
            slope = simple
        return Scalar(slope, self.kinks, self)

    @cached_property
    def is_constant(self) -> bool:
        return t not in self.expr.free_symbols

    @cached_property
    def is_piecewise_linear(self) -> bool:
        """Whether the second derivative vanishes identically between kinks."""
        bend = self.derivative.derivative
        balls = [
            bend.ball(flint.arb(side * x * 10.0**-k))
            for k in range(13)
            for side in (-1, 1)
            for x in (0.7, 2.3)
        ]
        if any(ball != 0 for ball in balls):
            return False  # refuted by a ball: simplifying a large expression may take minutes
        return self.expr.is_polynomial(t) or bool(sympy.simplify(bend.expr) == 0)

    def check(self) -> None:
        """Raises ValueError if the function cannot be evaluated in floats or on balls."""
        try:
            self.ball(flint.arb(0.5))
            self(0.5)
        except (NotImplementedError, NameError, AttributeError, TypeError) as error:
            raise ValueError(f"{self.expr} cannot be computed ({error})") from None

    def compose(self, inner: Scalar) -> Scalar:
        """The function t -> self(inner(t)); both must be free of kinks unless linear."""
        return _composed(self, inner)

    def compile(self, names: Mapping[str, Any], fallback: str = "numpy") -> Callable[..., Any]:
        """A Python callable of one argument whose elementary functions are taken from `names`."""
        return sympy.lambdify(t, self._stable, modules=[dict(names), fallback], cse=True)

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
        """This function and its derivatives on balls, by those of its primitive if there is no kink."""
        below = self.primitive
        if below is None or self.kinks:
            return series.balls(self.expr, t)
        return lambda x, order: below._balls(x, order + 1)[1:]

    def jet(self, x: flint.arb, order: int) -> list[flint.arb]:
        """Balls that contain f, f', ... up to an order on the ball x; nan if x is too wide."""
        if self.kinks:
            return [self.ball(x), *(self.derivative.jet(x, order - 1) if order else [])]
        return self._balls(x, order)

    def ball(self, x: flint.arb) -> flint.arb:
        """A ball that contains f on the ball x (at `flint.ctx.prec`); nan if x is too wide."""
        return self._balls(x, 0)[0]

    def nearest(self, x: float) -> float:
        """The value at a float, computed on balls and rounded once; nan where f is undefined."""
        with flint.ctx.workprec(PRECISION):
            return float(self.ball(flint.arb(x)).mid())

    def _maximum(self, lo: float, hi: float, signs: tuple[int, ...], tolerance: float) -> float:
        """An upper bound of the largest of sign * f on [lo, hi], over these signs."""
        best = -math.inf

        def seen(y: flint.arb) -> None:
            nonlocal best
            best = max(best, *(_lower(sign * y) for sign in signs))

        def bound(a: float, b: float) -> float:
            """An upper bound on [a, b], by Taylor's theorem or by enclosure; with kinks, only the latter."""
            whole, middle = ball_between(a, b), flint.arb((a + b) / 2)
            if self.kinks:
                seen(self.ball(middle))
                return max(_upper(sign * self.ball(whole)) for sign in signs)
            natural, _, bend = self.jet(whole, 2)
            value, rise = self.jet(middle, 1)
            seen(value)
            half = (flint.arb(b) - middle).max(middle - flint.arb(a))  # the ball `whole` is a little wider
            far, curve = abs(rise) * half, bend * half * half / 2
            tops = []
            for sign in signs:
                most = flint.arb((sign * curve).upper())
                turns = most < 0 and far < -2 * most
                top = sign * value - far * far / (4 * most) if turns else sign * value + far + most
                tops.append(min(_upper(sign * natural), _upper(top)))
            return max(tops)

        seen(self.ball(flint.arb(lo)))
        seen(self.ball(flint.arb(hi)))
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
        """About how far f varies on [lo, hi], at least 2^-40 of its size; tolerances are relative to it."""
        with np.errstate(all="ignore"):
            seen = self(np.linspace(lo, hi, 33))
        seen = seen[np.isfinite(seen)]
        if not len(seen):
            return 0.0
        return float(max(np.ptp(seen), 2.0**-40 * np.abs(seen).max()))

    def range(self, lo: float, hi: float, tolerance: float = 1e-10) -> tuple[float, float]:
        """Floats (low, high) such that low <= f(x) <= high for every real x in [lo, hi].

        Rigorous: branch and bound over Arb balls with Taylor's theorem; within `tolerance` times the
        range's width for smooth functions, unless that takes too many boxes.
        Raises ValueError if no finite enclosure is found.
        """
        low, high = cached_extremes(self, lo, hi, (-1, 1), tolerance)
        return low, high

    def sup(self, lo: float, hi: float, tolerance: float = 1e-10) -> float:
        """An upper bound of |f| on [lo, hi], rigorous and tight as `range` is."""
        return cached_extremes(self, lo, hi, (0,), tolerance)[0]


@lru_cache(maxsize=256)
def _composed(outer: Scalar, inner: Scalar) -> Scalar:
    """The composition, cached so that everything derived from it is computed once."""
    return Scalar(outer.expr.subs(t, inner.expr), inner.kinks)


@lru_cache(maxsize=1 << 14)
def cached_extremes(
    f: Scalar, lo: float, hi: float, sides: tuple[int, ...], tolerance: float
) -> tuple[float, ...]:
    """f's least value (side -1), largest one (side 1) and largest size (side 0), each rounded outwards.

    Cached, because plans for similar problems need the same values.
    """
    with flint.ctx.workprec(PRECISION):
        found = []
        for side in sides:
            top = f._maximum(lo, hi, (side,) if side else (-1, 1), tolerance)
            found.append(-top if side < 0 else top)
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{f.expr} has no finite enclosure on [{lo}, {hi}]")
    return tuple(found)
