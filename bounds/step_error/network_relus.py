"""The functions of the simulated network as sums of ReLUs: planned fits, or exact where possible."""

from __future__ import annotations

from collections.abc import Mapping

from icgd.bounds.functions.pieces import Fit
from icgd.bounds.functions.relu_sum import ReluSum, clip, linear, signed
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import Term


def activation_relus(problem: Problem, fits: Mapping[Term, Fit], term: Term, reach: float) -> ReluSum:
    """r or r' of a layer, by the kind of `term`: its fit, or exactly on [-reach, oo) if it is linear.

    >>> activation_relus(Problem.parse({"activation": "identity"}), {}, Term("dr", 1), 1.0).constant
    1.0
    """
    if term in fits:
        return fits[term].relus
    r = problem.activation_at(term.layer).r
    g = r if term.kind == "r" else r.derivative
    if g.is_constant:
        return ReluSum([], [], [], float(g(0.0)))
    return linear(float(g.derivative(0.0)), reach, float(g(0.0)))


def slope_relus(problem: Problem, fits: Mapping[Term, Fit]) -> ReluSum:
    """phi, the part of the loss slope that may be nonlinear: of z(N) if rho = 0, else of p(N) - rho y.

    Its fit, or exactly if it is linear or a clip.

    >>> slope_relus(Problem.parse({"loss": "huber"}), {}).units
    2
    """
    if (fitted := fits.get(Term("u", problem.N))) is not None:
        return fitted.relus
    phi = problem.loss.phi
    if phi.derivative.is_constant:
        return signed(float(phi.derivative(0.0)), float(phi(0.0)))
    return clip(*phi.kinks)
