"""The program of a construction, derived from its plan alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from icgd.bounds.functions.relu_sum import ReluSum, gate, relu
from icgd.bounds.step_error.domain import MARGIN, face
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.recurrence import Term
from icgd.bounds.step_error.rounding import offset_above
from icgd.verify.checker.program import Header, LossSlope, NetworkLayer, PlainProduct, PlainSum, Program

if TYPE_CHECKING:
    from icgd.bounds.functions.pieces import Fit
    from icgd.bounds.problem import Problem
    from icgd.bounds.step_error.plan import Plan
    from icgd.bounds.step_error.product import Product as ProductPlan


def heading(problem: Problem, construction: str, loss: LossSlope, n: int | None = None) -> Header:
    """The fields that the programs of a problem share; n: examples, by default the problem's own."""
    return Header(
        construction=construction,
        N=problem.N,
        K=problem.K,
        d=problem.d,
        d_out=problem.d_out,
        n=problem.n if n is None else n,
        eta=problem.eta,
        output=problem.output,
        loss=loss,
    )


def describe(plan: Plan, n: int | None = None) -> Program:
    """The program of a plan, for n examples (default: the plan's own n); JSON keeps it bit for bit."""
    loss = loss_slope(plan.problem, plan.fits, from_z=_from_z(plan))
    layers = [_layer(plan, j) for j in range(1, plan.problem.N + 1)]
    return {**heading(plan.problem, plan.construction, loss, n), "layers": layers}


def plain(relus: ReluSum) -> PlainSum:
    """A sum of ReLUs in plain numbers."""
    return PlainSum(a=relus.a.tolist(), b=relus.b.tolist(), c=relus.c.tolist(), constant=relus.constant)


def _from_z(plan: Plan) -> bool:
    return plan.construction != "paper" and (plan.problem.output == "linear" or plan.problem.loss.rho == 0)


def loss_slope(problem: Problem, fits: Mapping[Term, Fit], *, from_z: bool) -> LossSlope:
    """How the block computes the slope of the loss."""
    loss, relus, slope = problem.loss, None, None
    if loss.phi.derivative.is_constant and Term("u", problem.N) not in fits:
        slope = float(loss.phi.derivative(0.0))
    else:
        relus = plain(slope_relus(problem, fits))
    return LossSlope(rho=loss.rho, sigma=loss.sigma, linear=slope, relus=relus, from_z=from_z)


def activation_sum(problem: Problem, fits: Mapping[Term, Fit], term: Term, reach: float) -> PlainSum:
    """r or r' as its fit, or exactly where it has no curvature."""
    return plain(activation_relus(problem, fits, term, reach))


def product_of(planned: ProductPlan) -> PlainProduct:
    """A product in plain numbers.  A square without units is a constant, which cancels in the difference."""
    square = plain(planned.square.relus) if planned.square and planned.square.relus.units else None
    return PlainProduct(centre=planned.centre, a=planned.a, b=planned.b, square=square)


def _layer(plan: Plan, j: int) -> NetworkLayer:
    problem, ranges, top = plan.problem, plan.layers[j - 1], j == plan.problem.N
    exact, paper = plan.construction == "exact", plan.construction == "paper"
    bare = top and problem.output == "linear" and not paper  # s = u: neither r' nor a product
    r = dr = product = None
    if not (top and _from_z(plan)):
        r = plain(relu()) if exact else activation_sum(problem, plan.fits, Term("r", j), ranges.z)
    if plan.construction == "lean" and not bare:
        product = product_of(plan.products[Term("product", j)])
    if exact and not bare:
        dr = plain(gate(MARGIN))
    elif paper or (product and product["square"]):
        dr = activation_sum(problem, plan.fits, Term("dr", j), ranges.z)
    return NetworkLayer(
        face=face(problem, j),
        above_z=offset_above(ranges.z),
        above_g=offset_above(ranges.g),
        above_s=offset_above(ranges.s),
        r=r,
        dr=dr,
        product=product,
    )
