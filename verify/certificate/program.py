"""Programs: what one block of a construction computes, in plain numbers, derived from the plan alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypedDict

from icgd.bounds.functions.relu_sum import ReluSum, gate, relu
from icgd.bounds.step_error.domain import MARGIN, face
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.recurrence import Term
from icgd.bounds.step_error.rounding import offset_above

if TYPE_CHECKING:
    from icgd.bounds.functions.pieces import Fit
    from icgd.bounds.problem import Problem
    from icgd.bounds.step_error.plan import Plan
    from icgd.bounds.step_error.product import Product as ProductPlan


class PlainSum(TypedDict):
    """t -> constant + sum_m c[m] relu(a[m] t + b[m])."""

    a: list[float]
    b: list[float]
    c: list[float]
    constant: float


class PlainProduct(TypedDict):
    """x g = centre g + (square(a (x - centre) + b g) - square(a (x - centre) - b g)) / 4.

    square: None where x may be replaced by its centre.
    """

    centre: float
    a: float
    b: float
    square: PlainSum | None


class NetworkLayer(TypedDict):
    """Layer j of the simulated network.

    face: half the side of the box of V_j.  above_z, above_g, above_s: offsets above |z|, |g| and |s|.
    r, dr: the sums for r and r', None where the block does not use them.
    product: r'(z) times g in `lean`; None in the others, and at a linear output.
    """

    face: float
    above_z: float
    above_g: float
    above_s: float
    r: PlainSum | None
    dr: PlainSum | None
    product: PlainProduct | None


class LossSlope(TypedDict):
    """u = phi(p - rho y) - sigma y, with phi(t) = linear t, or phi = relus (phi of r of z(N) from_z).

    from_z: whether the block computes u directly from z(N), without p(N).
    """

    rho: float
    sigma: float
    linear: float | None
    relus: PlainSum | None
    from_z: bool


class Header(TypedDict):
    """The fields that every program has.  output: activated or linear."""

    construction: str
    N: int
    K: int
    d: int
    d_out: int
    n: int
    eta: float
    output: str
    loss: LossSlope


class Program(Header):
    """One block.  construction: lean, paper or exact.  layers: j = 1..N."""

    layers: list[NetworkLayer]


def layer_sizes(program: Header) -> list[int]:
    """(d, K, ..., K, d_out)."""
    return [program["d"], *[program["K"]] * (program["N"] - 1), program["d_out"]]


def scratch(program: Program) -> Iterator[tuple[str, int]]:
    """Scratch slots in order, each with the layer of the network that it belongs to."""
    N, loss, linear = program["N"], program["loss"], program["output"] == "linear"
    if program["construction"] == "paper":
        yield from ((name, j) for name in ("p", "dr") for j in range(1, N + 1))
        yield from (("u", N), *(("s", j) for j in range(N, 0, -1)))
        return
    for j, layer in enumerate(program["layers"], start=1):
        yield "z", j
        if j == N and loss["from_z"]:
            yield "s" if linear else "u", N
        yield from ((name, j) for name, relus in (("p", layer["r"]), ("dr", layer["dr"])) if relus)
    if not linear:
        yield from ((name, N) for name in "us" if name == "s" or (loss["relus"] and not loss["from_z"]))
    yield from ((name, j) for j in range(N - 1, 0, -1) for name in "gs")


def layout(program: Program) -> dict[str, range]:
    """The coordinates of every slot of the stream: x, y, V1..VN (row by row), scratch, one, t."""
    dims = layer_sizes(program)
    lengths = {"x": dims[0], "y": dims[-1]}
    lengths |= {f"V{j}": rows * columns for j, (columns, rows) in enumerate(pairwise(dims), start=1)}
    lengths |= {f"{name}{j}": dims[j] for name, j in scratch(program)} | {"one": 1, "t": 1}
    ends = accumulate(lengths.values())
    return {name: range(end - size, end) for (name, size), end in zip(lengths.items(), ends, strict=True)}


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
