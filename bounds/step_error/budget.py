"""Division of the tolerance: the local error that each approximation may make, at the fewest units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.cover import ENOUGH, cover
from icgd.bounds.step_error.recurrence import (
    LayerRanges,
    Term,
    loss_slope_of_z,
    propagate,
    ranges,
    step_error_bound,
)
from icgd.bounds.step_error.rounding import gamma, slope_by_heads
from icgd.bounds.step_error.worst_case import Cells, Setting

Construction = Literal["lean", "paper", "exact"]
Route = Literal["cells", "recurrence"]
"""How local errors combine into a bound: cell by cell (`step_error.cover`), or by suprema alone."""

DIVISIONS = 5
"""How many covers of the cells it usually takes until a division of the tolerance is good enough."""

_ENOUGH = 1.003
"""A division of the tolerance whose cost is within this factor of the best one found is accepted."""


def from_z(problem: Problem, construction: Construction) -> bool:
    """Whether the construction computes the loss slope from z(N): `lean` does if it is phi(p) - sigma y."""
    return construction == "lean" and problem.loss.rho == 0


def approximated(problem: Problem, construction: Construction) -> dict[Term, Scalar]:
    """The functions of one variable that need a piecewise-linear fit, by the term of their error."""
    if construction == "exact":
        return {}
    functions: dict[Term, Scalar] = {}
    for j in range(1, problem.N + 1):
        r = problem.activation_at(j).r
        functions[Term("r", j)] = r
        functions[Term("dr", j)] = r.derivative
    if from_z(problem, construction):
        functions[Term("u", problem.N)] = loss_slope_of_z(problem)
        del functions[Term("r", problem.N)]
    elif not problem.loss.phi.is_piecewise_linear:
        functions[Term("u", problem.N)] = problem.loss.phi
    return {term: g for term, g in functions.items() if not g.is_piecewise_linear}


def radius(
    problem: Problem, construction: Construction, layers: tuple[LayerRanges, ...], term: Term
) -> float:
    """How far from 0 the function that `term` stands for is evaluated."""
    layer = layers[term.layer - 1]
    if term.kind != "u" or from_z(problem, construction):
        return layer.z
    return layer.r + abs(problem.loss.rho) * problem.B_y


def sensitivities(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    errors: Mapping[Term, float],
) -> dict[Term, float]:
    """The derivative of the recurrence in each local error: sum_k a_k e_k is the recurrence itself.

    It is linear block by block and the step error is the 2-norm of the blocks, hence homogeneous of
    degree one in the local errors; if all are 0, the limit at equal errors is taken.
    """
    terms = list(errors)
    basis = dict(zip(terms, np.eye(len(terms)), strict=True))
    propagation = propagate(problem, layers, basis, from_z=from_z(problem, construction))
    blocks = np.array([block + np.zeros(len(terms)) for block in propagation.gradient])
    value = blocks @ np.array([errors[term] for term in terms])
    norm = float(np.linalg.norm(value))
    direction = value / norm if norm > 0 else np.ones(len(value)) / math.sqrt(len(value))
    return dict(zip(terms, (direction @ blocks).tolist(), strict=True))


def shares(setting: Setting, points: Cells, errors: Mapping[Term, float]) -> NDArray[np.float64]:
    """d log(bound) / d log(error): how much of the bound each error accounts for, one row per point."""
    steps, count = 1e-5, len(points)
    spread = points[np.tile(np.arange(count), len(errors) + 1)]
    changed = {
        term: error * np.repeat(1 + steps * (np.arange(len(errors) + 1) == k + 1), count)
        for k, (term, error) in enumerate(errors.items())
    }
    logs = np.log(setting.bound(spread, changed) + 1e-300).reshape(-1, count)
    return np.asarray((logs[1:] - logs[0]).T / math.log1p(steps))


def costs(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    functions: Mapping[Term, Scalar],
) -> dict[Term, float]:
    """c for every approximation: it takes about c / sqrt(error) units in the whole layer."""
    found = {
        term: problem.dims[term.layer] * pieces_constant(g, radius(problem, construction, layers, term))
        for term, g in functions.items()
    }
    if construction == "lean":
        for j, layer in enumerate(layers, start=1):
            half = (layer.dr_high - layer.dr_low) / 2
            if not problem.activation_at(j).derivative.is_constant:
                found[Term("product", j)] = problem.dims[j] * 2 * math.sqrt(half * layer.g)
    # A nearly linear function costs almost nothing, but not 0, or no tolerance would be optimal.
    limits = useful_tolerances(problem, construction, layers)
    return {term: max(cost, 1e-3 * math.sqrt(limits[term][1])) for term, cost in found.items()}


@lru_cache(maxsize=4096)
def pieces_constant(g: Scalar, reach: float) -> float:
    """c such that about c / sqrt(e) pieces stay within e of g: (1/4) int sqrt|g''| (planning only)."""
    nodes = np.linspace(-reach, reach, 2001)
    return float(np.trapezoid(np.sqrt(np.abs(g.derivative.derivative(nodes))), nodes)) / 4


def divide(
    problem: Problem,
    construction: Construction,
    route: Route = "cells",
    watch: Callable[[], None] = lambda: None,
) -> dict[Term, float]:
    """Local errors whose step error is about eps, at about the fewest units; without rounding.

    Minimising sum c_k e_k^(-1/2) subject to the recurrence being eps has the optimum e_k proportional to
    (c_k / a_k)^(2/3), a_k the sensitivity of the step error to e_k; because a_k depends on the e_k through
    the ranges and the 2-norm, the closed form is iterated to its fixed point.  For the route "cells", where
    the worst cell moves with the e_k, the same problem is solved on the worst points found so far.

    watch: called after every cover of the cells, about DIVISIONS times.
    """
    errors, price = closed_form(problem, construction)
    if route == "cells" and errors:
        for _ in range(_WIDENINGS):
            layers = ranges(problem, errors)
            limits = useful_tolerances(problem, construction, layers)
            setting = Setting(problem, layers, from_z(problem, construction))
            errors = _divide_on_cells(setting, price, limits, errors, watch)
            # Tolerances widen ranges, and functions that vary more can use a larger tolerance.
            wider = useful_tolerances(problem, construction, ranges(problem, errors))
            full = (term for term, error in errors.items() if error >= 0.99 * limits[term][1])
            if all(wider[term][1] <= 1.002 * limits[term][1] for term in full):
                break
    # The last digits depend on threads and machine; weights must not.
    return {term: float(f"{error:.3e}") for term, error in errors.items()}


_WIDENINGS = 4
"""The most times that the tolerance is divided again because it widened the ranges that limit it."""


@lru_cache(maxsize=64)
def closed_form(
    problem: Problem, construction: Construction
) -> tuple[Mapping[Term, float], Mapping[Term, float]]:
    """The local errors by the closed form, and their prices."""
    functions = approximated(problem, construction)
    return fixed_point(
        problem,
        construction,
        lambda layers: costs(problem, construction, layers, functions),
        lambda layers, _: useful_tolerances(problem, construction, layers),
    )


def fixed_point(
    problem: Problem,
    construction: Construction,
    prices: Callable[[tuple[LayerRanges, ...]], Mapping[Term, float]],
    limits: Callable[[tuple[LayerRanges, ...], Iterable[Term]], Mapping[Term, tuple[float, float]]],
    watch: Callable[[Mapping[Term, float]], None] = lambda errors: None,
) -> tuple[Mapping[Term, float], Mapping[Term, float]]:
    """Local errors proportional to (price / sensitivity)^(2/3), their step error eps, and their prices.

    Sensitivities, prices and limits depend on ranges, which depend on the errors, so this is iterated a few
    times.  limits: the smallest and the largest useful error of every term.
    watch: called with the errors of every iteration.
    """
    errors: dict[Term, float] = {}
    price: Mapping[Term, float] = {}
    for _ in range(12):
        layers = ranges(problem, errors)
        price = prices(layers)
        if not price:
            break
        if set(errors) != set(price):
            errors = dict.fromkeys(price, problem.eps)
        weights = sensitivities(problem, construction, layers, errors)
        shape = {term: (price[term] / max(weights[term], 1e-300)) ** (2 / 3) for term in price}
        reached = step_error_bound(problem, layers, shape, from_z=from_z(problem, construction)) or 1.0
        between = limits(layers, price)
        errors = {
            term: min(max(problem.eps / reached * size, between[term][0]), between[term][1])
            for term, size in shape.items()
        }
        watch(errors)
    return errors, price


def _divide_on_cells(
    setting: Setting,
    price: Mapping[Term, float],
    limits: Mapping[Term, tuple[float, float]],
    errors: Mapping[Term, float],
    watch: Callable[[], None],
) -> dict[Term, float]:
    eps = setting.problem.eps
    points: list[NDArray[np.float64]] = []
    c = np.array([price[term] for term in errors])
    small, large = np.array([limits[term] for term in errors]).T
    best, least = dict(errors), math.inf
    x = np.array(list(errors.values()))
    for _ in range(12):
        found = cover(setting, dict(zip(errors, x, strict=True)), slack=0.05, enough=ENOUGH * eps)
        watch()
        x = np.clip(x * eps / max(found.reached, ENOUGH * eps), small, large)
        spent = float(c @ x**-0.5)
        better = spent * _ENOUGH < least
        if spent < least:
            best, least = dict(zip(errors, x.tolist(), strict=True)), spent
        if not better and len(points) > 3:
            break
        points.append(found.at)
        x = _cheapest(
            setting, Cells(np.array(points).T, np.array(points).T), list(errors), c, (small, large), x
        )
    return best


def _cheapest(
    setting: Setting,
    points: Cells,
    terms: list[Term],
    c: NDArray[np.float64],
    between: tuple[NDArray[np.float64], NDArray[np.float64]],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The cheapest errors that keep the bound within eps at these points: a convex problem in their logs."""

    def named(x: NDArray[np.float64]) -> dict[Term, float]:
        return dict(zip(terms, np.exp(x).tolist(), strict=True))

    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        parts = c * np.exp(-x / 2)
        return float(np.log(parts.sum())), -parts / parts.sum() / 2

    room = {
        "type": "ineq",
        "fun": lambda x: math.log(setting.problem.eps) - np.log(setting.bound(points, named(x)) + 1e-300),
        "jac": lambda x: -shares(setting, points, named(x)),
    }
    first = np.log(start)
    small, large = np.log(between)
    limits = list(zip(np.maximum(first - 8, small).tolist(), large.tolist(), strict=True))
    options = {"maxiter": 60, "ftol": 1e-6}
    solved = minimize(
        cost, first, jac=True, bounds=limits, constraints=[room], method="SLSQP", options=options
    )
    return np.asarray(np.exp(np.where(np.isfinite(solved.x), solved.x, first)))


def useful_tolerances(
    problem: Problem, construction: Construction, layers: tuple[LayerRanges, ...]
) -> dict[Term, tuple[float, float]]:
    """The smallest and the largest tolerance that each approximation can use.

    Below the smallest, the problem's precision does not resolve the values of the function; above the
    largest, half the function's range, a constant approximates it as well.
    """
    found: dict[Term, tuple[float, float]] = {}
    for term, g in approximated(problem, construction).items():
        reach = radius(problem, construction, layers, term)
        low, high = g.range(-reach, reach)
        found[term] = high - low, max(-low, high)
    for j, layer in enumerate(layers, start=1):
        found[Term("product", j)] = (layer.dr_high - layer.dr_low) * layer.g, layer.dr * layer.g
    resolved = {term: max(2.0**8 * problem.roundoff * size, 1e-300) for term, (_, size) in found.items()}
    return {term: (resolved[term], 0.505 * varies + resolved[term]) for term, (varies, _) in found.items()}


def expected_rounding(
    problem: Problem, construction: Construction, tolerances: Mapping[Term, float]
) -> float:
    """An estimate of what rounding will add to the step error, before any function is fitted."""
    functions, layers = approximated(problem, construction), ranges(problem, tolerances)
    expected: dict[Term, float] = {}
    for term, cost in costs(problem, construction, layers, functions).items():
        units = cost / problem.dims[term.layer] / math.sqrt(tolerances[term])
        if term in functions:
            reach = radius(problem, construction, layers, term)
            nodes = np.linspace(-reach, reach, 2001)
            bend = float(np.trapezoid(np.abs(functions[term].derivative.derivative(nodes)), nodes))
        else:
            layer = layers[term.layer - 1]
            reach = 2 * math.sqrt(layer.g * (layer.dr_high - layer.dr_low) / 2)
            bend = 2 * reach
        by_heads = slope_by_heads(problem) if term.kind == "u" else construction == "paper"
        spread_over = problem.n + 1 if by_heads else 1
        expected[term] = gamma(units * spread_over, problem.roundoff) * bend * 6 * reach
    if not expected:
        return 0.0
    return step_error_bound(problem, layers, expected, from_z=from_z(problem, construction))
