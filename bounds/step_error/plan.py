"""The plan of one step: every approximation with its error, and the bound on the step error they give."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import get_args

import numpy as np

from icgd.bounds.functions.pieces import Fit, fit, square
from icgd.bounds.functions.scalar import cached_extremes
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.budget import (
    DIVISIONS,
    Construction,
    Route,
    approximated,
    closed_form,
    divide,
    expected_rounding,
    from_z,
    pieces_constant,
    radius,
    sensitivities,
    shares,
    useful_tolerances,
)
from icgd.bounds.step_error.cover import ENOUGH, Cover, cover
from icgd.bounds.step_error.domain import face_slack
from icgd.bounds.step_error.product import RANGE_ROOM, Product, slope_product
from icgd.bounds.step_error.recurrence import LayerRanges, Term, ranges, step_error_bound
from icgd.bounds.step_error.rounding import moved_ranges, rounding_errors, settled
from icgd.bounds.step_error.worst_case import Cells, Setting


@dataclass(frozen=True)
class Plan:
    """The approximations of one step, how accurate they are, and the bound on the step error they give.

    tolerances: the local error each approximation was allowed.  layers: ranges under them.
    fits: the piecewise-linear functions; products: the multiplications of `lean`.
    errors: bounds on the local errors, rounding included.  bound: on norm2(err)/eta; it is certified only
    once a checker has accepted it.  route: how the step error is bounded, when dividing the tolerance and in
    `bound`.  seconds: spent planning.
    """

    problem: Problem
    construction: Construction
    tolerances: Mapping[Term, float]
    layers: tuple[LayerRanges, ...]
    fits: Mapping[Term, Fit]
    products: Mapping[Term, Product]
    errors: Mapping[Term, float]
    route: Route = "cells"
    seconds: float = 0.0

    def __repr__(self) -> str:
        found = f"{self.units} ReLUs, bound {self.bound:.4g}"
        return f"<plan of {self.construction} for {self.problem.brief}: {found}>"

    @cached_property
    def bound(self) -> float:
        """The step error over eta that the local errors allow, rounding included."""
        return self.recurrence if self.cover is None else self.cover.bound * CHECKABLE

    @cached_property
    def recurrence(self) -> float:
        """The bound of the plain recurrence at the same local errors, by separate suprema."""
        return step_error_bound(
            self.problem, self.layers, self.errors, from_z=from_z(self.problem, self.construction)
        )

    @property
    def setting(self) -> Setting:
        """The input of the bound on cells, apart from the errors."""
        return Setting(self.problem, self.layers, from_z(self.problem, self.construction))

    @cached_property
    def cover(self) -> Cover | None:
        """The cells that prove `bound`; None where the recurrence does."""
        if self.route != "cells":
            return None
        return cover(self.setting, self.errors, enough=ENOUGH * self.problem.eps)

    @cached_property
    def contributions(self) -> Mapping[Term, float]:
        """How the budget is spent: the part of `bound` that each local error accounts for."""
        present = {term: error for term, error in self.errors.items() if error > 0}
        if self.cover is None:
            weights = sensitivities(self.problem, self.construction, self.layers, self.errors)
            return {term: weights[term] * error for term, error in present.items()}
        worst = Cells(self.cover.at[:, None], self.cover.at[:, None])
        parts = shares(self.setting, worst, present)[0]
        if not parts.sum() > 0:  # no network reaches the worst point: all bounds are far below eps
            parts = np.array(list(present.values()))
        return dict(zip(present, (parts / parts.sum() * self.bound).tolist(), strict=True))

    @property
    def units(self) -> int:
        """ReLUs spent on approximation in one step: hidden units (heads, in `paper`)."""
        return self._count(lambda fitted: fitted.relus.units, lambda product: product.units)

    @property
    def fewest_units(self) -> int:
        """The fewest units that the certified lower bounds on linear pieces allow at the same tolerances."""
        return self._count(
            lambda fitted: fitted.fewest - 1,  # m ReLUs have at most m + 1 pieces
            lambda product: 2 * (product.square.fewest - 1) if product.square else 0,
        )

    def _count(self, of_fit: Callable[[Fit], int], of_product: Callable[[Product], int]) -> int:
        dims = self.problem.dims
        return sum(dims[term.layer] * of_fit(fitted) for term, fitted in self.fits.items()) + sum(
            dims[term.layer] * of_product(product) for term, product in self.products.items()
        )


def plan(
    problem: Problem,
    construction: Construction = "lean",
    route: Route = "cells",
    *,
    progress: Progress = silent,
) -> Plan:
    """The plan whose bound on the step error is at most eps, at the fewest units that `route` allows.

    Plans are cached.
    Raises ProblemError if rounding alone would exceed eps, or for an unknown construction.
    """
    if construction not in get_args(Construction):
        known = " or ".join(get_args(Construction))
        raise ProblemError("construction", construction, f"it is {known}")
    problem = Problem.taken(problem)
    if construction == "exact":
        problem.refuse_float32("the error of a step of exact is bounded")
    chosen: Route = "recurrence" if construction == "exact" else route
    return _plan(problem, construction, chosen, progress)


def clear_plan_caches() -> None:
    """Clear the caches of plans and of what plans share, for timings from a cold start."""
    for cached in (_plan, closed_form, pieces_constant, cached_extremes, fit, square, face_slack):
        cached.cache_clear()


@lru_cache(maxsize=64)
def _plan(problem: Problem, construction: Construction, route: Route, progress: Progress) -> Plan:
    began = time.perf_counter()
    with _in_floats(problem):
        made = _planned(problem, construction, route, progress)
        return replace(made, seconds=time.perf_counter() - began)


@contextmanager
def _in_floats(problem: Problem) -> Iterator[None]:
    """Turns the errors of ranges and fits that floats cannot represent into ProblemError."""
    try:
        yield
    except ProblemError:
        raise
    except (ValueError, ArithmeticError) as error:
        name = problem.activation.name
        raise ProblemError("activation", name, f"{error}; try other radii or another eps") from None


def _planned(problem: Problem, construction: Construction, route: Route, progress: Progress) -> Plan:
    if construction != "exact" and not problem.activation.is_smooth:
        reason = problem.activation.violated_hypothesis(1.0)
        raise ProblemError(
            "activation", problem.activation.name, f"{reason}, so r' has no piecewise-linear fit"
        )
    cells, fits = _milliseconds(problem, construction, route)
    work = DIVISIONS * cells + _FITTINGS * (cells + sum(fits.values()))
    with progress("plan", work, work / 1000) as advance:
        _check_rounding(problem, construction, closed_form(problem, construction)[0], most=2 * MOST_ROUNDING)
        tolerances = divide(problem, construction, route, lambda: advance(cells))
        rounding = _check_rounding(problem, construction, tolerances)
        share = 1 - 0.9 * rounding / problem.eps
        if tolerances and sum(fits.values()) > _MANY_FITS * cells > 0:
            share *= _early_cut(problem, construction, tolerances, share)
        limits = useful_tolerances(problem, construction, ranges(problem, tolerances))
        flat = {term for term, e in tolerances.items() if e >= 0.99 * limits[term][1]}  # a constant is enough
        for attempt in range(8 + 2 * len(flat)):
            shared = {term: e if term in flat else share * e for term, e in tolerances.items()}
            made = _make(problem, construction, shared, route, lambda term: advance(fits.get(term, 0.0)))
            enough = made.bound <= problem.eps
            advance(cells)
            if enough:
                return _coarsened(made, flat) if made.units <= _FEW else made
            cut = _cut(made) if tolerances else 0.0
            if flat and (attempt % 2 or not cut):  # no constant where its error is largest
                worst = max(flat, key=lambda term: made.contributions.get(term, 0.0))
                flat, tolerances = flat - {worst}, {**tolerances, worst: tolerances[worst] / 2}
            elif cut:
                share = math.floor(cut * share * 1e6) / 1e6  # the last bits differ between machines
            else:
                break
    reason = f"with rounding the bound stays at {made.bound:.3g}; raise eps or take smaller radii"
    raise ProblemError("eps", problem.eps, reason)


def _coarsened(made: Plan, flat: AbstractSet[Term]) -> Plan:
    """The plan with coarser fits that use up the rest of eps, where that saves ReLUs."""
    problem, best = made.problem, made
    for _ in range(_COARSENINGS):
        share = 0.999 * problem.eps / max(made.bound, ENOUGH * problem.eps)
        limits = useful_tolerances(problem, made.construction, ranges(problem, made.tolerances))
        larger = {
            term: e if term in flat else min(float(f"{share * e:.3e}"), limits[term][1])
            for term, e in made.tolerances.items()
        }
        if share < 1.02 or all(larger[term] <= 1.001 * e for term, e in made.tolerances.items()):
            break
        made = _make(problem, made.construction, larger, made.route, lambda _: None)
        if made.bound <= problem.eps and made.units < best.units:
            best = made
    return best


def _cut(made: Plan) -> float:
    """The factor by which to cut the tolerances of a plan that misses eps; 0 if rounding then exceeds it.

    The bound is about T + R, for the tolerances and for rounding, and s T + R / sqrt(s) when they are cut to
    a share s, because rounding grows with the number of ReLUs.
    """
    problem, eps = made.problem, 0.9995 * made.problem.eps
    by_heads = made.construction == "paper"
    errors = rounding_errors(problem, made.layers, made.fits, made.products, by_heads=by_heads)
    if made.cover is None:
        R = step_error_bound(problem, made.layers, errors, from_z=from_z(problem, made.construction))
    else:
        worst = Cells(made.cover.at[:, None], made.cover.at[:, None])
        R = float(made.setting.bound(worst, errors)[0])
    T = max(made.bound - R, 0.0)
    shares = np.linspace(0.999, 0.001, 999)
    kept = shares[shares * T + R / np.sqrt(shares) <= eps]
    return float(kept[0]) if kept.size else 0.0


MOST_ROUNDING = 0.4
"""The largest share of eps for rounding; above it, more ReLUs add more rounding than they save error."""


def _check_rounding(
    problem: Problem,
    construction: Construction,
    tolerances: Mapping[Term, float],
    most: float = MOST_ROUNDING,
) -> float:
    """An estimate of what rounding adds to the step error; raises ProblemError if it is too much of eps."""
    rounding = expected_rounding(problem, construction, tolerances)
    if not math.isfinite(rounding):
        reason = f"{problem.precision} cannot sum as many ReLUs as it needs; take smaller radii, or one that "
        reason += "is less steep"
        raise ProblemError("activation", problem.activation.name, reason)
    if rounding > most * problem.eps:  # more pieces would only add to it
        reason = (
            f"rounding in {problem.precision} alone reaches {rounding:.2g}, and {MOST_ROUNDING:g} eps is "
            "allowed; raise eps or take smaller radii"
        )
        raise ProblemError("eps", problem.eps, reason)
    return rounding


_COARSENINGS, _FEW = 3, 500
"""How often plans are coarsened, and up to how many ReLUs: with few pieces, much of eps may be left over."""

_MANY_FITS = 10
"""If fits take this many times as long as a cover of the cells, tolerances are cut before fitting."""


def _early_cut(
    problem: Problem, construction: Construction, tolerances: Mapping[Term, float], share: float
) -> float:
    """The factor by which to cut such a share of the tolerances so that the bound on cells is at most eps."""
    shared = {term: share * e for term, e in tolerances.items()}
    setting = Setting(problem, ranges(problem, shared), from_z(problem, construction))
    found = cover(setting, shared, enough=ENOUGH * problem.eps)
    cut = min(1.0, 0.9999 * share * problem.eps / (found.bound * CHECKABLE))
    return math.floor(cut * 1e6) / 1e6  # the last bits differ between machines; weights must not


_FITTINGS = 1.5
"""How often all functions are fitted, on average, until the bound with rounding is at most eps."""


def _milliseconds(
    problem: Problem, construction: Construction, route: Route
) -> tuple[float, dict[Term, float]]:
    """Estimated milliseconds to cover the cells once and to fit each function, for the progress display."""
    errors, price = closed_form(problem, construction)
    units = {term: cost / math.sqrt(errors[term]) for term, cost in price.items()}
    cells = 40 * 1.8 ** (problem.N - 3) if route == "cells" and units else 0.0
    return cells, {term: 40 + 0.014 * count for term, count in units.items()}


def estimated_units(problem: Problem, construction: Construction = "lean") -> float:
    """An estimate, without planning, of the ReLUs that one step needs to approximate; raises ProblemError."""
    with _in_floats(problem):
        tolerances, price = closed_form(problem, construction)
        limits = useful_tolerances(problem, construction, ranges(problem, tolerances))
    return sum(
        cost / math.sqrt(tolerances[term])
        for term, cost in price.items()
        if tolerances[term] < 0.99 * limits[term][1]  # else a constant is enough
    )


CHECKABLE = 1 + 1e-4
"""Factor between the computed and the claimed bound, for a checker that rounds and encloses differently."""

_ROOMIER, _MOST_ROOM = 8, 1.0
"""The factor by which the room of ranges grows if rounding exceeds it, and the largest room."""


class _OutOfRange(ProblemError):
    """Rounding moves a number out of its planned range."""


def _make(
    problem: Problem,
    construction: Construction,
    tolerances: Mapping[Term, float],
    route: Route,
    watch: Callable[[Term], None],
    room: float = RANGE_ROOM,
) -> Plan:
    planned = ranges(problem, tolerances)
    fits = {}
    for term, g in approximated(problem, construction).items():
        reach = radius(problem, construction, planned, term) * (1 + room)
        fits[term] = fit(g, -reach, reach, tolerances[term])
        watch(term)
    products: dict[Term, Product] = {}
    if construction == "lean":
        rounding, moved = moved_ranges(
            problem, planned, tolerances, lambda layers: rounding_errors(problem, layers, fits, {})
        )
        for j, layer in enumerate(moved, start=1):
            term = Term("product", j)
            products[term] = slope_product(problem, j, layer, tolerances, rounding, room)
            watch(term)
    made = Plan(problem, construction, tolerances, planned, fits, products, {}, route)
    try:
        return in_arithmetic(made, problem.roundoff)
    except _OutOfRange:
        if room >= _MOST_ROOM:
            raise
        return _make(problem, construction, tolerances, route, lambda _: None, _ROOMIER * room)


def in_arithmetic(made: Plan, unit: float) -> Plan:
    """The same weights with the errors and ranges of arithmetic with this unit roundoff.

    Weights are rounded to it, too.  Raises ProblemError if rounding moves a number out of a fit's range.
    """
    problem, fits, products = made.problem, made.fits, made.products
    local = {term: fitted.error for term, fitted in fits.items()}
    local |= {term: product.error for term, product in products.items()}
    by_heads = made.construction == "paper"
    errors, layers = settled(
        problem,
        made.layers,
        local,
        lambda at: rounding_errors(problem, at, fits, products, unit, by_heads=by_heads),
    )
    _check_reach(problem, made.construction, layers, fits, products)
    return replace(made, errors=errors, layers=layers)


def _check_reach(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    fits: Mapping[Term, Fit],
    products: Mapping[Term, Product],
) -> None:
    """Raises ProblemError unless the ranges under these errors stay within those of the fits."""
    for term, fitted in fits.items():
        if radius(problem, construction, layers, term) > fitted.hi:
            raise _OutOfRange(
                "eps",
                problem.eps,
                f"rounding moves {term} out of its range, which is too small for it; take larger radii",
            )
    for term, product in products.items():
        layer = layers[term.layer - 1]
        if not product.reaches(layer.dr_low, layer.dr_high, layer.g):
            moved = f"rounding moves the product in layer {term.layer} out of its range"
            raise _OutOfRange("eps", problem.eps, f"{moved}: the arithmetic is too coarse")
