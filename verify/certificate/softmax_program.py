"""The programs of blocks with softmax attention, from the plan, and their certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icgd.bounds.softmax_icgd import gate_offset, stated
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.recurrence import Term
from icgd.verify.certificate.issue import header, issued, lemmas, reasons
from icgd.verify.certificate.program import activation_sum, heading, loss_slope, plain, product_of
from icgd.verify.certificate.shape import SOFTMAX_LAYER
from icgd.verify.checker.softmax import STATEMENT
from icgd.verify.checker.softmax_program import GatedSquares, SoftmaxNetworkLayer, SoftmaxProgram, Squares

if TYPE_CHECKING:
    from icgd.bounds.softmax_icgd import SoftmaxPlan
    from icgd.bounds.step_error.product import Product as ProductPlan


def describe_softmax(plan: SoftmaxPlan) -> SoftmaxProgram:
    """The program of a plan; JSON keeps it bit for bit."""
    problem = plan.problem
    loss = loss_slope(problem, plan.fits, from_z=problem.loss.rho == 0)
    layers = [_layer(plan, j) for j in range(1, problem.N + 1)]
    return {**heading(problem, "softmax", loss), "layers": layers}


def _layer(plan: SoftmaxPlan, j: int) -> SoftmaxNetworkLayer:
    problem, reach, update = plan.problem, plan.layers[j - 1].z, plan.products[Term("update", j)]
    unread = j == problem.N and problem.loss.rho == 0
    return SoftmaxNetworkLayer(
        face=face(problem, j),
        r=None if unread else activation_sum(problem, plan.fits, Term("r", j), reach),
        dr=activation_sum(problem, plan.fits, Term("dr", j), reach),
        z=_squares(plan.products[Term("z", j)]),
        product=product_of(plan.products[Term("product", j)]),
        g=_squares(plan.products[Term("g", j)]) if j < problem.N else None,
        update=GatedSquares(**_squares(update), offset=gate_offset(update)),
    )


def _squares(planned: ProductPlan) -> Squares:
    assert planned.square is not None
    return Squares(a=planned.a, b=planned.b, square=plain(planned.square.relus))


def softmax_certificate(planned: SoftmaxPlan) -> dict[str, Any]:
    """The certificate of a plan in Theorem 2's letters: half the plan's eta, twice its eps and bound.

    Raises ProblemError where a checker would refuse it for its size.
    """
    program = describe_softmax(planned)
    found = header(stated(planned.problem), "softmax", "float64", program, STATEMENT)
    found |= {"lemmas": lemmas(planned.fits, planned.products, planned.layers)}
    found |= reasons(planned.setting, planned.cover, planned.errors) | {"certified": 2 * planned.bound}
    return issued(found, SOFTMAX_LAYER)
