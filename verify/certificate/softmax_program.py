"""Programs of blocks with softmax attention, in plain numbers from the plan, and their certificates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, TypedDict

from icgd.bounds.softmax_icgd import gate_offset, stated
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.recurrence import Term
from icgd.verify.certificate.issue import header, issued, lemmas, reasons
from icgd.verify.certificate.program import (
    Header,
    PlainProduct,
    PlainSum,
    activation_sum,
    heading,
    layer_sizes,
    loss_slope,
    plain,
    product_of,
)
from icgd.verify.certificate.shape import SOFTMAX_LAYER
from icgd.verify.checker.softmax import STATEMENT

if TYPE_CHECKING:
    from icgd.bounds.softmax_icgd import SoftmaxPlan
    from icgd.bounds.step_error.product import Product as ProductPlan


class Squares(TypedDict):
    """left right = (square(a left + b right) - square(a left - b right)) / 4, without the constant."""

    a: float
    b: float
    square: PlainSum


class GatedSquares(Squares):
    """The same with every unit relu(a v + b) made relu(a v + b - offset (1 - t)), which is 0 in the query."""

    offset: float


class SoftmaxNetworkLayer(TypedDict):
    """Layer j of the simulated network.

    face: half the side of the box of V_j.  r, dr: the sums for r and r'; r is None where p(N) is not read.
    z: V_j p(j-1), entry by entry.  product: r'(z) times g.  g: V_(j+1)^T s(j+1), None in the last layer.
    update: p(j-1) times s(j).
    """

    face: float
    r: PlainSum | None
    dr: PlainSum
    z: Squares
    product: PlainProduct
    g: Squares | None
    update: GatedSquares


class SoftmaxProgram(Header):
    """One block, written for the loss (1/(2n)) sum: eta is twice that of Theorem 2's problem."""

    layers: list[SoftmaxNetworkLayer]


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


def softmax_scratch(program: SoftmaxProgram) -> Iterator[tuple[str, int]]:
    """Scratch slots in order, each with the layer of the network that it belongs to."""
    N = program["N"]
    for j, layer in enumerate(program["layers"], start=1):
        yield from ((name, j) for name in ("z", "dr", *(["p"] if layer["r"] else [])))
    yield from (("u", N), ("s", N))
    yield from ((name, j) for j in range(N - 1, 0, -1) for name in "gs")
    yield from (("q", j) for j in range(1, N + 1))


def softmax_layout(program: SoftmaxProgram) -> dict[str, range]:
    """The coordinates of every slot of the stream: x, y, V1..VN, scratch, one, t; q_j is as large as V_j."""
    dims = layer_sizes(program)
    matrices = {j: rows * columns for j, (columns, rows) in enumerate(pairwise(dims), start=1)}
    lengths = {"x": dims[0], "y": dims[-1]} | {f"V{j}": size for j, size in matrices.items()}
    for name, j in softmax_scratch(program):
        lengths[f"{name}{j}"] = matrices[j] if name == "q" else dims[j]
    lengths |= {"one": 1, "t": 1}
    ends = accumulate(lengths.values())
    return {name: range(end - size, end) for (name, size), end in zip(lengths.items(), ends, strict=True)}


def softmax_certificate(planned: SoftmaxPlan) -> dict[str, Any]:
    """The certificate of a plan in Theorem 2's letters: half the plan's eta, twice its eps and bound.

    Raises ProblemError where a checker would refuse it for its size.
    """
    program = describe_softmax(planned)
    found = header(stated(planned.problem), "softmax", "float64", program, STATEMENT)
    found |= {"lemmas": lemmas(planned.fits, planned.products, planned.layers)}
    found |= reasons(planned.setting, planned.cover, planned.errors) | {"certified": 2 * planned.bound}
    return issued(found, SOFTMAX_LAYER)
