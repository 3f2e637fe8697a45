"""The hypotheses of arXiv 2411.16549, Theorem 1, checked against the user's own problem, one by one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import sympy

from icgd.bounds.activation import Activation
from icgd.bounds.functions.formula import branch
from icgd.bounds.functions.scalar import t
from icgd.bounds.listing import Described
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import ranges

HypothesisStatus = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True, repr=False)
class Hypothesis(Described):
    """One hypothesis on one problem.

    name: such as "r-smooth".  statement: what is assumed.  status: "undecided" where no enclosure decides it.
    why: what was computed.  still: what holds nevertheless, empty where the hypothesis holds.
    """

    name: str
    statement: str
    status: HypothesisStatus
    why: str
    still: str = ""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name

    @property
    def said(self) -> str:
        """Whether it holds, and why."""
        return f"{self.status}: {self.why}"

    @property
    def detail(self) -> str:
        """What is assumed, and what holds nevertheless."""
        return f"{self.statement}; {self.still}" if self.still else self.statement

    def as_row(self) -> dict[str, str]:
        """The hypothesis as a row of a table."""
        return asdict(self)


def hypotheses(problem: Problem) -> tuple[Hypothesis, ...]:
    """Every hypothesis of Theorem 1, judged on the ranges that the problem's radii allow.

    >>> [one.name for one in hypotheses(Problem()) if one.status == "fails"]
    ['start', 'projection-width']
    """
    radius = _radius(problem)
    return (
        _smooth(problem, radius),
        _lipschitz(problem, radius),
        _slope_lipschitz(problem, radius),
        _loss(problem, radius),
        _radii(problem),
        _start(problem),
        _sizes(problem),
        _projection(problem),
        _projection_width(problem),
    )


def _radius(problem: Problem) -> float:
    """The largest |z| of any layer; infinite where it has no finite enclosure."""
    try:
        return max(layer.z for layer in ranges(problem, {}))
    except (ValueError, ArithmeticError):
        return math.inf


def _activations(problem: Problem) -> list[Activation]:
    """The different activations in use: of hidden layers, and of the output layer if that is linear."""
    return list(dict.fromkeys(problem.activation_at(j) for j in range(1, problem.N + 1)))


_NO_ENCLOSURE = "no finite enclosure was found; smaller radii may settle it"
_ORDERS = 5  # r in C^4 and r' in C^4


def _still_without_smoothness(problem: Problem, order: int) -> str:
    if problem.activation.name == "relu":
        return "`--construction exact` descends up to rounding where no pre-activation is in its margin"
    if order == 1:
        return "r' jumps, so no sum of ReLUs is close to it everywhere; nothing is certified"
    return "r' is continuous, so sums of ReLUs approximate it; but the constructions here allow no kinks"


def _branch(activation: Activation, kink: float, side: int) -> sympy.Expr:
    """The formula that r follows just left (-1) or right (1) of a kink, free of Max, Min and Abs."""
    return branch(activation.r.expr, sympy.Rational(kink) + sympy.Rational(side, 10**9))


def _jump(
    activation: Activation, radius: float, highest: int = _ORDERS
) -> tuple[int, float, sympy.Expr] | None:
    """The lowest derivative of r that jumps within the radius: its order, where and by how much."""
    found: list[tuple[int, float, sympy.Expr]] = []
    for kink in (kink for kink in activation.r.kinks if abs(kink) <= radius):
        apart = _branch(activation, kink, 1) - _branch(activation, kink, -1)
        for order in range(1, highest + 1):
            height = sympy.simplify(sympy.diff(apart, t, order).subs(t, sympy.Rational(kink)))
            if height != 0:
                found.append((order, kink, height))
                break
    return min(found, default=None)


def _undefined(problem: Problem, activation: Activation) -> str | None:
    """Says if r has no real value in the middle or at an end of the first layer's range; else None."""
    reach = sympy.Rational(problem.B_v * problem.B_x)
    for place in (sympy.Integer(0), reach, -reach):
        value = activation.r.expr.subs(t, place)
        if value.is_real is False or value.is_finite is False:
            return f"r({float(place):g}) is not a real number"
    return None


def _smooth(problem: Problem, radius: float) -> Hypothesis:
    name, what = "r-smooth", "r is C^4, and r' is"
    for activation in _activations(problem):
        if (reason := _undefined(problem, activation)) is not None:
            return Hypothesis(name, what, "fails", reason)
        if (jump := _jump(activation, radius)) is not None:
            order, at, height = jump
            why = f"derivative {order} of {activation.name} jumps by {height} at {at:g}"
            return Hypothesis(name, what, "fails", why, _still_without_smoothness(problem, order))
        reason = activation.violated_hypothesis(radius) if math.isfinite(radius) else _NO_ENCLOSURE
        if reason is not None:
            unsure = reason if activation.is_smooth else "the formula has branches, but no jump was found"
            return Hypothesis(name, what, "undecided", unsure)
    return Hypothesis(name, what, "holds", f"derivatives 0 to 5 are enclosed for |z| <= {radius:.4g}")


def _supremum(problem: Problem, radius: float, order: int) -> float | None:
    """The largest sup of the derivative of that order over the activations in use; None if none was found."""
    largest = 0.0
    for activation in _activations(problem):
        g = activation.r
        for _ in range(order):
            g = g.derivative
        if g.expr == 0:
            continue
        try:
            largest = max(largest, g.sup(-radius, radius) if math.isfinite(radius) else math.inf)
        except (ValueError, ArithmeticError):
            return None
    return largest if math.isfinite(largest) else None


def _lipschitz(problem: Problem, radius: float) -> Hypothesis:
    name, what = "r-lipschitz", "r is Lipschitz"
    slope = _supremum(problem, radius, 1)
    if slope is None:
        return Hypothesis(name, what, "undecided", _NO_ENCLOSURE)
    return Hypothesis(name, what, "holds", f"|r'| <= {slope:.6g} for |z| <= {radius:.4g}")


def _slope_lipschitz(problem: Problem, radius: float) -> Hypothesis:
    name, what = "slope-lipschitz", "r' is Lipschitz"
    for activation in _activations(problem):
        if (jump := _jump(activation, radius, highest=1)) is not None:
            _, at, height = jump
            why = f"r' jumps by {height} at z = {at:g}"
            return Hypothesis(name, what, "fails", why, _still_without_smoothness(problem, 1))
    bend = _supremum(problem, radius, 2)
    if bend is None:
        return Hypothesis(name, what, "undecided", _NO_ENCLOSURE)
    return Hypothesis(name, what, "holds", f"|r''| <= {bend:.6g} for |z| <= {radius:.4g}")


def _loss(problem: Problem, radius: float) -> Hypothesis:
    name, what = "u-smooth", "u, the slope of the loss, is Lipschitz and C^4"
    loss = problem.loss
    reach = _supremum(problem, radius, 0)
    if reach is None:
        return Hypothesis(name, what, "undecided", _NO_ENCLOSURE)
    reach += abs(loss.rho) * problem.B_y
    steep = loss.phi.derivative.sup(-reach, reach)
    constant = steep * max(1.0, abs(loss.rho)) + abs(loss.sigma)
    if loss.phi.kinks:
        kinks = ", ".join(f"{kink:g}" for kink in loss.phi.kinks)
        still = "u is piecewise linear, so an MLP of ReLUs computes it exactly"
        why = f"the Lipschitz constant is {constant:.4g}, but u has kinks at p - y = {kinks}"
        return Hypothesis(name, what, "fails", why, still)
    return Hypothesis(
        name, what, "holds", f"the Lipschitz constant is {constant:.4g} on |p| <= {reach:.4g}; no kinks"
    )


def _radii(problem: Problem) -> Hypothesis:
    what = "x, y and the rows of every V_j are bounded, those of the output layer included"
    why = f"B_x = {problem.B_x:g}, B_y = {problem.B_y:g}, B_v = {problem.B_v:g} for all {problem.N} layers"
    return Hypothesis("radii", what, "holds", why)


def _start(problem: Problem) -> Hypothesis:
    name, what = "start", "descent leaves w(0) = 0 (not assumed, but otherwise there is nothing to simulate)"
    hidden, output = problem.activation.r.expr.subs(t, 0), problem.activation_at(problem.N)
    elsewhere = "the theorem is not vacuous from other w in W: --start random, the default"
    if hidden.is_finite is False:
        return Hypothesis(name, what, "fails", "r(0) is not a real number")
    if problem.N >= 2 and hidden == 0:
        return Hypothesis(name, what, "fails", "r(0) = 0 and N >= 2: the gradient at 0 is 0", elsewhere)
    if 0.0 in output.r.kinks and _jump(output, 0.0, highest=1) is not None:
        return Hypothesis(name, what, "undecided", "r' jumps at 0 in the output layer", elsewhere)
    if output.r.derivative.expr.subs(t, 0) == 0:
        return Hypothesis(name, what, "fails", "r'(0) = 0 at the output: the gradient at 0 is 0", elsewhere)
    if problem.N >= 2 and problem.K >= 2:
        why = f"r(0) = {hidden}: descent leaves 0, yet all {problem.K} hidden units of a layer stay equal"
        return Hypothesis(name, what, "holds", why)
    return Hypothesis(name, what, "holds", f"N = {problem.N}: the gradient at 0 need not vanish")


def _sizes(problem: Problem) -> Hypothesis:
    name, what = "equal-sizes", "d_out = d"
    why = f"d = {problem.d}, d_out = {problem.d_out}"
    if problem.d == problem.d_out:
        return Hypothesis(name, what, "holds", why)
    return Hypothesis(name, what, "fails", why, "everything: all constructions and bounds take any d_out")


def _projection(problem: Problem) -> Hypothesis:
    what = "Proj onto W is an MLP, exactly"
    sides = sorted({f"{problem.half_width(j):.4g}" for j in range(1, problem.N + 1)}, reverse=True)
    why = f"W is a box of half sides {', '.join(sides)} in norm2(v_jk) <= B_v; clipping is piecewise linear"
    return Hypothesis("projection", what, "holds", why)


def _projection_width(problem: Problem) -> Hypothesis:
    what = "the MLP that projects onto W has D_w hidden units"
    why = f"clipping bends at {2 * problem.D_w} hyperplanes, two per coordinate, and a hidden unit at one"
    still = f"everything, with the 2 D_w = {2 * problem.D_w} hidden units that are built"
    return Hypothesis("projection-width", what, "fails", why, still)
