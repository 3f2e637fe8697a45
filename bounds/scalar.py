"""Functions of one real variable: one sympy expression, from which everything else is derived.

A `Scalar` is the single source of truth for an activation, its derivatives or the slope of a loss.
Floating-point callables are compiled from the expression; rigorous values come from the same
expression evaluated on real balls (python-flint's Arb).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import flint
import numpy as np
import sympy
from sympy.printing.pycode import PythonCodePrinter

t = sympy.Symbol("t", real=True)

LOGISTIC = (1 + sympy.tanh(t / 2)) / 2
"""1 / (1 + exp(-t)), in the form whose derivatives neither overflow nor widen on balls: products of tanh."""

PRECISION = 128
"""Bits carried by every ball computation: far more than the 53 of the weights it judges."""

_NUMPY_NAMES: Mapping[str, Any] = {
    "Heaviside": lambda x, *_: np.where(x > 0, 1.0, 0.0),
    "DiracDelta": lambda x, *_: 0.0 * x,
    "erf": np.vectorize(math.erf, otypes=[float]),
}


def _ball_heaviside(x: flint.arb) -> flint.arb:
    if x > 0:
        return flint.arb(1)
    if x <= 0:
        return flint.arb(0)
    return flint.arb(0).union(flint.arb(1))


def _ball_power(x: flint.arb, n: int) -> flint.arb:
    # python-flint 0.9 gives nan for the powers of a ball around 0
    return x**n if n <= 0 or x.mid() != 0 else math.prod([x] * n, start=flint.arb(1))


_BALL_NAMES: Mapping[str, Any] = {
    "tanh": flint.arb.tanh,
    "sinh": flint.arb.sinh,
    "cosh": flint.arb.cosh,
    "exp": flint.arb.exp,
    "log": flint.arb.log,
    "sin": flint.arb.sin,
    "cos": flint.arb.cos,
    "tan": flint.arb.tan,
    "atan": flint.arb.atan,
    "erf": flint.arb.erf,
    "sqrt": flint.arb.sqrt,
    "Abs": abs,
    "Max": lambda *xs: _fold(flint.arb.max, xs),
    "Min": lambda *xs: _fold(flint.arb.min, xs),
    "Heaviside": _ball_heaviside,
    "sign": lambda x: 2 * _ball_heaviside(x) - 1,
    "DiracDelta": lambda x: flint.arb(0),
    "Ball": flint.arb,
    "power": _ball_power,
    "pi_ball": flint.arb.pi,
}


def _fold(combine: Callable[[Any, Any], Any], xs: tuple[Any, ...]) -> flint.arb:
    result = flint.arb(xs[0])
    for x in xs[1:]:
        result = combine(result, flint.arb(x))
    return result


class _BallPrinter(PythonCodePrinter):
    """Prints an expression as Python over balls: every number is exact before it meets a ball."""

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"Ball({int(expr)})"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return f"(Ball({expr.p})/Ball({expr.q}))"

    def _print_Float(self, expr: sympy.Float) -> str:
        ratio = sympy.Rational(expr)
        return f"(Ball({ratio.p})/Ball({ratio.q}))"

    def _print_Half(self, expr: sympy.Rational) -> str:
        return "(Ball(1)/Ball(2))"

    def _print_Pi(self, expr: sympy.Expr) -> str:
        return "pi_ball()"

    def _print_Exp1(self, expr: sympy.Expr) -> str:
        return "exp(Ball(1))"

    def _print_Pow(self, expr: sympy.Pow, **_: Any) -> str:
        base, power = expr.as_base_exp()
        if power.is_Integer:
            return f"power({self._print(base)}, {int(power)})"
        if power == sympy.Rational(1, 2):
            return f"sqrt({self._print(base)})"
        if power == sympy.Rational(-1, 2):
            return f"(Ball(1)/sqrt({self._print(base)}))"
        return f"(({self._print(base)})**({self._print(power)}))"

    def _print_Function(self, expr: sympy.Function) -> str:
        name = type(expr).__name__
        if name not in _BALL_NAMES:
            raise NotImplementedError(f"no ball arithmetic for {name}")
        arguments = expr.args[:1] if name == "Heaviside" else expr.args
        return f"{name}({', '.join(self._print(a) for a in arguments)})"

    _print_Max = _print_Min = _print_Abs = _print_sign = _print_Heaviside = _print_Function
    _print_tanh = _print_sinh = _print_cosh = _print_tan = _print_atan = _print_Function
    _print_exp = _print_log = _print_sin = _print_cos = _print_erf = _print_Function
    _print_DiracDelta = _print_Function


def upper_float(x: flint.arb) -> float:
    """The smallest-but-one float certainly not below the ball `x`."""
    return math.nextafter(float(x.upper()), math.inf)


def lower_float(x: flint.arb) -> float:
    """The largest-but-one float certainly not above the ball `x`."""
    return math.nextafter(float(x.lower()), -math.inf)


def ball_between(lo: float, hi: float) -> flint.arb:
    """The smallest ball that holds the interval [lo, hi]."""
    return flint.arb(lo).union(flint.arb(hi))


@dataclass(frozen=True)
class Scalar:
    """A real function of `t`, smooth except possibly at its `kinks`.

    expr: the sympy expression in `bounds.scalar.t`.
    kinks: where one-sided derivatives differ; between kinks the function is smooth.

    >>> square = Scalar(t**2)
    >>> square(3.0), square.derivative(3.0)
    (9.0, 6.0)
    >>> low, high = square.range(-1.0, 2.0)
    >>> -1e-9 < low <= 0.0 and 4.0 <= high < 4.0 + 1e-9
    True
    """

    expr: sympy.Expr
    kinks: tuple[float, ...] = ()

    @cached_property
    def derivative(self) -> Scalar:
        """The derivative, with point masses at kinks left out."""
        slope = sympy.diff(self.expr, t)
        if slope.has(sympy.DiracDelta):
            slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
        slope = slope.subs(sympy.exp(t) / (1 + sympy.exp(t)), LOGISTIC)
        return Scalar(sympy.simplify(slope) if self.kinks else slope, self.kinks)

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
    def ball(self) -> Callable[[flint.arb], flint.arb]:
        """A callable that maps a ball to a ball holding every value on it (at `flint.ctx.prec`)."""
        code = _BallPrinter({"fully_qualified_modules": False}).doprint(self.expr)
        return eval(f"lambda t: Ball({code})", dict(_BALL_NAMES))

    def _maximum(self, lo: float, hi: float, sign: int, tolerance: float) -> float:
        value, slope = self.ball, self.derivative.ball
        smooth = not self.kinks
        best = -math.inf

        def bound(a: float, b: float) -> float:
            nonlocal best
            whole = ball_between(a, b)
            middle = flint.arb((a + b) / 2)
            at_middle = sign * value(middle)
            if at_middle.is_finite():
                best = max(best, float(at_middle.lower()))
            natural = sign * value(whole)
            ceiling = float(natural.upper()) if natural.is_finite() else math.inf
            if smooth and (steepness := sign * slope(whole)).is_finite():
                if steepness >= 0:
                    ceiling = min(ceiling, float((sign * value(flint.arb(b))).upper()))
                elif steepness <= 0:
                    ceiling = min(ceiling, float((sign * value(flint.arb(a))).upper()))
                else:
                    ceiling = min(ceiling, float((at_middle + steepness * (whole - middle)).upper()))
            return ceiling

        for end in (lo, hi):
            at_end = sign * value(flint.arb(end))
            if at_end.is_finite():
                best = max(best, float(at_end.lower()))
        heap = [(-bound(lo, hi), lo, hi)]
        for _ in range(20_000):
            negative, a, b = heap[0]
            middle = (a + b) / 2
            if -negative - best <= tolerance * max(1.0, abs(best)) or not a < middle < b:
                break
            heapq.heapreplace(heap, (-bound(a, middle), a, middle))
            heapq.heappush(heap, (-bound(middle, b), middle, b))
        return math.nextafter(-heap[0][0], math.inf)

    def range(self, lo: float, hi: float, tolerance: float = 1e-10) -> tuple[float, float]:
        """Floats (low, high) such that low <= f(x) <= high for every real x in [lo, hi].

        Rigorous: branch and bound over Arb balls with monotonicity and the mean value form;
        within `tolerance` (relative above 1) of the true range for smooth functions.
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
