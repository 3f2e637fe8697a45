"""Theorem 2 of arXiv 2411.16549: sizes of a softmax transformer for any N, and what four layers would cost.

The theorem gives no sizes.  The construction is ours: equal keys make softmax attention an exact mean, and
MLPs compute everything else in each token (it carries w, x and y), products as differences of squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import sympy

from icgd.bounds.claims import Claim, D_w, K, N, d, d_out, letters
from icgd.bounds.functions.pieces import Fit, fit
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance, Progress, silent
from icgd.bounds.step_error.budget import (
    approximated,
    costs,
    expected_rounding,
    fixed_point,
    from_z,
    radius,
)
from icgd.bounds.step_error.cover import ENOUGH, Cover, cover
from icgd.bounds.step_error.network_relus import slope_relus
from icgd.bounds.step_error.plan import CHECKABLE
from icgd.bounds.step_error.product import RANGE_ROOM, Product, slope_product
from icgd.bounds.step_error.recurrence import WIDENING, LayerRanges, Term, ranges, step_error_bound
from icgd.bounds.step_error.rounding import (
    gamma,
    moved_ranges,
    offset_above,
    relu_sum_rounding,
    rounding_errors,
    settled,
)
from icgd.bounds.step_error.worst_case import Setting

SOURCE = "arXiv:2411.16549, Theorem 2"
HYPOTHESES = (
    "the loss has a Lipschitz gradient",
    "x, y and w are bounded (here: norm2(x_i) <= B_x, norm2(y_i) <= B_y, w in the box W)",
    "r and r' are Lipschitz and smooth, as for Theorem 1",
)


def halved(problem: Problem) -> Problem:
    """The same descent written with the loss of Theorem 1, (1/(2n)) sum, where Theorem 2 has (1/n) sum.

    Reading: eta grad of (1/n) sum is 2 eta grad of (1/(2n)) sum, and err <= eta eps = (2 eta) (eps / 2).

    >>> halved(Problem(eta=0.1, eps=0.05)).eta
    0.2
    """
    problem.refuse_float32("Theorem 2's step is bounded and proved")
    try:
        return replace(problem, eta=2 * problem.eta, eps=problem.eps / 2)
    except ProblemError as error:
        limit = "at least 2e-12" if error.field == "eps" else "at most 5e5"
        why = f"{limit} is needed for Theorem 2, whose loss is twice that of Theorem 1"
        raise ProblemError(error.field, getattr(problem, error.field), why) from None


def stated(problem: Problem) -> Problem:
    """Theorem 2's problem again, from the one that `halved` made of it.

    >>> stated(halved(Problem(eta=0.3, eps=0.07))) == Problem(eta=0.3, eps=0.07)
    True
    """
    return replace(problem, eta=problem.eta / 2, eps=2 * problem.eps)


@dataclass(frozen=True)
class SoftmaxPlan:
    """The approximations of one step.  `problem` is in the 1/(2n) convention (see `halved`).

    fits: r, r' (and a nonlinear loss slope).  products: w p in z(j), r'(z) g, V^T s in g(j) and s p in
    the gradient, by Term z, product, g and update; each is ONE product's approximation, used entry by entry.
    errors: local errors, rounding of float64 included.  layers: ranges under them.
    """

    problem: Problem
    fits: Mapping[Term, Fit]
    products: Mapping[Term, Product]
    errors: Mapping[Term, float]
    layers: tuple[LayerRanges, ...]

    @property
    def setting(self) -> Setting:
        """The input of the bound on cells, apart from the errors."""
        return Setting(self.problem, self.layers, from_z(self.problem, "lean"))

    @cached_property
    def cover(self) -> Cover:
        """The cells that bound the step error."""
        return cover(self.setting, self.errors, enough=ENOUGH * self.problem.eps)

    @property
    def bound(self) -> float:
        """A bound on norm2(err)/eta for every prompt in the radii, w in W and n (`problem`'s own eta)."""
        return self.cover.bound * CHECKABLE


def summed(problem: Problem, term: Term) -> float:
    """How many product errors the error `term` adds up: sum_c in z and g, the norm in the update.

    >>> summed(Problem(N=1, d=4, d_out=1), Term("update", 1))
    1.0
    """
    dims, j = problem.dims, term.layer
    if term.kind == "update":
        return math.sqrt(dims[j] * dims[j - 1]) / 2
    return {"z": dims[j - 1], "g": dims[j + 1] if j < problem.N else 0, "product": 1}[term.kind]


def factors(problem: Problem, layers: tuple[LayerRanges, ...]) -> Iterator[tuple[Term, float, float, int]]:
    """Every group of products of two symmetric ranges: its term, both radii, and how many there are."""
    for j, layer in enumerate(layers, start=1):
        entries = problem.dims[j] * problem.dims[j - 1]
        p = problem.B_x if j == 1 else layers[j - 2].r
        yield Term("z", j), problem.half_width(j), p, entries
        if j > 1:
            yield Term("g", j - 1), problem.half_width(j), layer.s, entries
        yield Term("update", j), p, layer.s, entries


def _prices(problem: Problem, layers: tuple[LayerRanges, ...]) -> dict[Term, float]:
    """c for every local error e: it takes about c / sqrt(e) hidden units."""
    price = costs(problem, "lean", layers, approximated(problem, "lean"))
    for term, left, right, count in factors(problem, layers):
        price[term] = count * 2 * math.sqrt(left * right * summed(problem, term))
    return price


def plan_softmax(problem: Problem, *, progress: Progress = silent) -> SoftmaxPlan:
    """The plan whose bound on the step error is at most eps, for a problem in the 1/(2n) convention.

    Local errors are divided as in `icgd.bounds.step_error.budget`, e proportional to (price /
    sensitivity)^(2/3). Plans are cached. Raises ProblemError where the activation is not smooth, or rounding
    alone exceeds eps.
    """
    return _plan(problem, progress)


@lru_cache(maxsize=32)
def _plan(problem: Problem, progress: Progress) -> SoftmaxPlan:
    if not problem.activation.is_smooth:
        name = problem.activation.name
        raise ProblemError("activation", name, "r' jumps, so it has no piecewise-linear fit")
    try:
        tolerances = _divide(problem)
        share = 0.9
        for _ in range(12):
            with progress("plan", len(tolerances)) as advance:
                made = _make(problem, {term: share * e for term, e in tolerances.items()}, advance)
            if made.bound <= problem.eps:
                return made
            share = math.floor(share * min(0.97, 0.99 * problem.eps / made.bound) * 1e6) / 1e6
    except (ValueError, ArithmeticError) as error:
        if isinstance(error, ProblemError):
            raise
        raise ProblemError("eps", problem.eps, f"{error}; try smaller radii or another eps") from None
    raise ProblemError("eps", problem.eps, f"the bound stays at {made.bound:.3g}; raise eps")


def estimated_softmax_units(problem: Problem) -> float:
    """An estimate, without planning, of the ReLUs of one step; the problem is as in `plan_softmax`."""
    tolerances = _divide(problem)
    price = _prices(problem, ranges(problem, tolerances))
    return sum(cost / math.sqrt(tolerances[term]) for term, cost in price.items())


_MOST = 0.5
"""The largest local error in use, in the units of its own quantity."""


@lru_cache(maxsize=32)
def _divide(problem: Problem) -> dict[Term, float]:
    def refuse_rounding(errors: Mapping[Term, float]) -> None:
        if (rounding := expected_rounding(problem, "lean", errors)) > problem.eps:
            reason = f"rounding in float64 alone reaches {2 * rounding:.2g}; raise eps or take smaller radii"
            raise ProblemError("eps", 2 * problem.eps, reason)  # in the letters of Theorem 2

    errors, _ = fixed_point(
        problem,
        "lean",
        lambda layers: _prices(problem, layers),
        lambda _, terms: dict.fromkeys(terms, (0.0, _MOST)),
        refuse_rounding,
    )
    setting = Setting(problem, ranges(problem, errors), from_z(problem, "lean"))
    found = cover(setting, errors, slack=0.05, enough=ENOUGH * problem.eps)
    gain = problem.eps / max(found.reached, ENOUGH * problem.eps)
    # The last digits depend on threads and machine; weights must not.
    tolerances = {term: float(f"{min(gain * e, _MOST):.3e}") for term, e in errors.items()}
    if not all(tolerances.values()):
        reason = (
            "some layer passes on nothing (r is constant, or radii are tiny), so no tolerance is left for it"
        )
        raise ProblemError("activation", problem.activation.name, f"{reason}; take another or larger radii")
    return tolerances


_ROOMIER, _MOST_ROOM = 8, 1.0
"""The factor by which the room of ranges grows if numbers leave them, and the largest room."""


def _make(
    problem: Problem, tolerances: Mapping[Term, float], advance: Advance, room: float = RANGE_ROOM
) -> SoftmaxPlan:
    layers = ranges(problem, tolerances)
    fits = {}
    for term, g in approximated(problem, "lean").items():
        reach = radius(problem, "lean", layers, term) * (1 + room)
        fits[term] = fit(g, -reach, reach, tolerances[term])
        advance(1)
    inner: dict[Term, Product] = {}
    spread, moved = moved_ranges(problem, layers, tolerances, lambda at: _rounding(problem, at, fits, {}, {}))
    for j, layer in enumerate(moved, start=1):
        inner[Term("product", j)] = slope_product(problem, j, layer, tolerances, spread, room)
        advance(1)
    outer: dict[Term, Product] = {}
    for term, left, right, _ in factors(problem, layers):
        tolerance = tolerances[term] / summed(problem, term)
        outer[term] = Product.within(-left * (1 + room), left * (1 + room), right * (1 + room), tolerance)
        advance(1)
    local = {term: fitted.error for term, fitted in fits.items()}
    local |= {term: product.error for term, product in inner.items()}
    local |= {term: summed(problem, term) * product.error for term, product in outer.items()}
    errors, layers = settled(problem, layers, local, lambda at: _rounding(problem, at, fits, inner, outer))
    made = SoftmaxPlan(problem, fits, inner | outer, errors, layers)
    if _is_in_reach(made):
        return made
    if room >= _MOST_ROOM:
        raise ProblemError("eps", problem.eps, "rounding moves a number out of its range; raise eps")
    return _make(problem, tolerances, lambda done: None, _ROOMIER * room)


def _rounding(
    problem: Problem,
    layers: tuple[LayerRanges, ...],
    fits: Mapping[Term, Fit],
    inner: Mapping[Term, Product],
    outer: Mapping[Term, Product],
) -> dict[Term, float]:
    """Local errors from float64 alone: those of Theorem 1's block, doubled, and those of the new products.

    The error of a product is at most half that of one of its two sums of ReLUs, all added in one row; in the
    update an offset is added and subtracted.  The loss slope reads slots directly, y included.
    """
    errors = {term: 2 * e for term, e in rounding_errors(problem, layers, fits, inner).items()}
    widest, loss, last = max(problem.dims), problem.loss, Term("u", problem.N)
    for term, product in outer.items():
        if product.square is not None:
            relus, reach = product.square.relus, product.square.hi
            offset = gate_offset(product) if term.kind == "update" else 0.0
            one = relu_sum_rounding(relus, reach, offset, 2 * relus.units * widest + 16, 2.0**-53)
            errors[term] = errors.get(term, 0.0) + 2 * summed(problem, term) * one
    for j, layer in enumerate(layers, start=1):  # a constant r' needs no mean, and has a lemma of its own
        if problem.activation_at(j).derivative.is_constant:
            alone = 2 * gamma(problem.dims[j - 1] + 16) * layer.dr
            errors[Term("dr", j)] = 2.0**-48 * layer.dr + alone
    if not loss.phi.derivative.is_constant:
        size = 1 + abs(loss.rho) * (layers[-1].r + problem.B_y) + abs(loss.sigma) * problem.B_y
        units = slope_relus(problem, fits).units
        errors[last] = errors.get(last, 0.0) + 2 * gamma(units + 24) * 4 * size
    return errors


def gate_offset(product: Product) -> float:
    """An offset above every input of a product's hidden units: it switches them off in the query token.

    >>> gate_offset(Product.within(-1.0, 1.0, 1.0, 0.1)) > 2.0
    True
    """
    assert product.square is not None
    return offset_above(
        (product.square.hi + float(abs(product.square.relus.b).max(initial=0.0))) * (1 + RANGE_ROOM)
    )


def _is_in_reach(made: SoftmaxPlan) -> bool:
    """Whether no number leaves the range that its approximation was planned for.

    Rounding moves ranges, and so does a constant r', which may be off by a little more than its tolerance.
    """
    problem, layers = made.problem, made.layers
    kept = all(radius(problem, "lean", layers, term) <= fitted.hi for term, fitted in made.fits.items())
    for term, left, right, _ in factors(problem, layers):
        left, right = left * WIDENING, right * WIDENING
        kept &= made.products[term].reaches(-left, left, right)
    for j, layer in enumerate(layers, start=1):
        kept &= made.products[Term("product", j)].reaches(layer.dr_low, layer.dr_high, layer.g)
    return kept


def claims(problem: Problem) -> tuple[Claim, ...]:
    """Sizes of one step of our construction and the bound on its error, for Theorem 2's problem.

    >>> [claim.value for claim in claims(Problem(N=1, d=1, eps=0.5)) if claim.quantity == "layers"]
    [6]
    """
    problem = Problem.taken(problem)
    made = plan_softmax(halved(problem))
    bare = int(problem.loss.rho == 0)  # the loss slope is computed from z(N), so p(N) is not needed
    scratch = 5 * (N - 1) * K + (5 - bare) * d_out
    M = sympy.Symbol("M", integer=True, positive=True)
    E = sympy.Symbol("epsilon_*", positive=True)
    constants = letters(problem) | {
        M: (products_units(made), "hidden units of the largest product: two squares, counted from the plan"),
        E: (2 * made.bound, "bound over all cells at certified local errors, rounding included"),
    }
    clearing = 2 * D_w + 2 * (scratch + D_w)
    rows: tuple[tuple[str, str, Literal["<=", "=="], sympy.Expr], ...] = (
        ("layers", "Layers per step", "==", 4 * N + 2 - bare),
        ("heads", "Softmax heads", "==", sympy.Integer(1)),
        ("width", "Embedding width", "==", d + d_out + 2 * D_w + scratch + 2),
        ("mlp_width", "Hidden units of an MLP", "<=", sympy.Max(M * D_w, clearing, evaluate=False) + 1),
        ("step_error", "Error of a step", "<=", E),
    )
    return tuple(
        Claim(
            f"softmax-icgd/{quantity.replace('_', '-')}",
            "icgd",
            title,
            rf"{title}: ${'=' if relation == '==' else chr(92) + 'le'} {sympy.latex(bound)}$.",
            HYPOTHESES,
            quantity,
            relation,
            sympy.sympify(bound),
            constants,
        )
        for quantity, title, relation, bound in rows
    )


def products_units(made: SoftmaxPlan) -> int:
    """The most hidden units that one product or one function of one variable takes."""
    functions = [fitted.relus.units for fitted in made.fits.values()]
    both = 2 * max(functions, default=2) + 4  # r and r' share an MLP, with the loss slope's clip
    return max(both, *(product.units + 1 for product in made.products.values()))


@dataclass(frozen=True)
class FourLayers:
    """The cost of interpolating the gradient of one token on a grid, from explicit Lipschitz constants.

    variables: D_w + d + d_out.  lipschitz, radii: of each variable.  log10_nodes: of the grid that is
    certainly fine enough, with at least one hidden unit per node.  per_halving: factor when eps is halved.
    """

    variables: int
    lipschitz: tuple[float, ...]
    radii: tuple[float, ...]
    log10_nodes: float

    @property
    def per_halving(self) -> float:
        return 2.0**self.variables


def four_layers(problem: Problem) -> FourLayers:
    """The grid on which piecewise-linear interpolation of the per-token gradient is within eps.

    With |f(v) - f(v')| <= sum_i Lip_i |v_i - v'_i|, any convex combination over a cell of sides h_i is off by
    at most sum_i Lip_i h_i; h_i = eps / (m Lip_i) gives prod_i (ceil(2 R_i m Lip_i / eps) + 1) nodes.
    Lip_i comes from the error recurrence: a change of one variable is a local error of what is computed from
    it.  `problem` in the 1/(2n) convention.

    >>> four_layers(Problem(N=1, d=1, eps=0.1)).variables
    3
    """
    layers = ranges(problem, {})

    def moved(errors: Mapping[Term, float]) -> float:
        return step_error_bound(problem, layers, errors, from_z=False)

    lipschitz: list[float] = []
    radii: list[float] = []
    for j, layer in enumerate(layers, start=1):
        entries = problem.dims[j] * problem.dims[j - 1]
        p = problem.B_x if j == 1 else layers[j - 2].r
        change = {Term("z", j): p} | ({Term("g", j - 1): layer.s} if j > 1 else {})
        lipschitz += [moved(change)] * entries
        radii += [problem.half_width(j)] * entries
    first, loss = layers[0], problem.loss
    lipschitz += [moved({Term("z", 1): problem.half_width(1)}) + first.s_norm / 2] * problem.d
    reach = layers[-1].r + abs(loss.rho) * problem.B_y
    steep = loss.phi.derivative.sup(-reach, reach) * abs(loss.rho) + abs(loss.sigma)
    lipschitz += [moved({Term("u", problem.N): steep})] * problem.d_out
    radii += [problem.B_x] * problem.d + [problem.B_y] * problem.d_out
    m = len(radii)
    log10 = sum(
        math.log10(math.ceil(2 * R * m * lip / problem.eps) + 1)
        for R, lip in zip(radii, lipschitz, strict=True)
    )
    return FourLayers(m, tuple(lipschitz), tuple(radii), log10)
