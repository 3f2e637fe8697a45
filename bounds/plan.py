"""Spending the tolerance: which local error each approximation may make, at the fewest units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from bounds.pieces import Fit, fit, square
from bounds.problem import Problem, ProblemError
from bounds.recurrence import LayerRanges, Term, loss_slope_of_z, propagate, ranges, step_error
from bounds.rounding import gamma, rounding_errors
from bounds.scalar import Scalar

Construction = Literal["lean", "paper", "exact"]


@dataclass(frozen=True)
class Product:
    """x*g for x in [low, high], |g| <= radius: centre*g plus a difference of two squares.

    With rho = x - centre, (x - centre) g = ((a rho + b g)^2 - (a rho - b g)^2) / (4 a b), and a, b chosen so
    that both factors have the same range.  Centring x first saves pieces wherever r' has one sign.

    square: the fit of t^2 that both differences use, or None when x is constant.
    error: certified bound on |approximation - x*g|.
    """

    centre: float
    a: float
    b: float
    square: Fit | None
    error: float

    @classmethod
    def within(cls, low: float, high: float, radius: float, tolerance: float) -> Product:
        """The product with error at most `tolerance` and the fewest pieces this form allows."""
        centre = (high + low) / 2
        half = (high - low) / 2 + 2e-12 * max(1.0, abs(low), abs(high))
        if half <= 4e-12 * max(1.0, abs(centre)):
            return cls(centre, 1.0, 1.0, None, half * radius)
        a = math.sqrt(radius / half)
        b = 1 / a
        mismatch = abs(a * b - 1) + 2.0**-52
        spare = tolerance - mismatch * half * radius
        if spare <= 0:
            raise ProblemError(
                "eps", f"(local tolerance {tolerance:.3g})", "it is below float64 resolution; raise eps"
            )
        fitted = square((a * half + b * radius) * (1 + 1e-12), 2 * spare)
        return cls(centre, a, b, fitted, fitted.error / 2 + mismatch * half * radius)

    @property
    def units(self) -> int:
        """Hidden units per coordinate: two squares and the exact linear term."""
        return (2 * self.square.relus.units if self.square else 0) + (self.centre != 0)


@dataclass(frozen=True)
class Plan:
    """What is approximated how well, and what that guarantees.

    tolerances: the local error each approximation was allowed.  layers: ranges under them.
    fits: the piecewise-linear functions; products: the multiplications of `lean`.
    errors: certified local errors, rounding included.  certified: bound on norm2(err)/eta.
    """

    problem: Problem
    construction: Construction
    tolerances: Mapping[Term, float]
    layers: tuple[LayerRanges, ...]
    fits: Mapping[Term, Fit]
    products: Mapping[Term, Product]
    errors: Mapping[Term, float]

    @cached_property
    def certified(self) -> float:
        """The plain recurrence at the certified local errors, rounding of float64 included."""
        return step_error(
            self.problem, self.layers, self.errors, from_z=from_z(self.problem, self.construction)
        )

    @cached_property
    def ledger(self) -> Mapping[Term, float]:
        """Where the budget goes: the share of `certified` that each local error accounts for."""
        weights = sensitivities(self.problem, self.construction, self.layers, self.errors)
        return {term: weights[term] * error for term, error in self.errors.items() if error > 0}

    @property
    def units(self) -> int:
        """ReLUs spent on approximation in one step: hidden units (heads, in `paper`)."""
        return self._count(lambda fitted: fitted.relus.units, lambda product: product.units)

    @property
    def fewest_units(self) -> int:
        """What the certified lower bounds on linear pieces allow for the same tolerances."""
        return self._count(
            lambda fitted: fitted.fewest, lambda product: 2 * product.square.fewest if product.square else 0
        )

    def _count(self, of_fit: Callable[[Fit], int], of_product: Callable[[Product], int]) -> int:
        dims = self.problem.dims
        return sum(dims[term.layer] * of_fit(fitted) for term, fitted in self.fits.items()) + sum(
            dims[term.layer] * of_product(product) for term, product in self.products.items()
        )


def from_z(problem: Problem, construction: Construction) -> bool:
    """Whether the construction reads the loss slope off z(N): `lean` does when it is phi(p) - sigma y."""
    return construction == "lean" and problem.loss.rho == 0


def sensitivities(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    errors: Mapping[Term, float],
) -> dict[Term, float]:
    """The derivative of the step error by each local error: sum_k a_k e_k is the step error itself.

    The recurrence is linear block by block and the step error is the 2-norm of the blocks, hence
    homogeneous of degree one in the local errors; absent terms get their limit at equal errors.
    """
    terms = list(errors)
    basis = dict(zip(terms, np.eye(len(terms)), strict=True))
    propagation = propagate(problem, layers, basis, from_z=from_z(problem, construction))
    blocks = np.array([block + np.zeros(len(terms)) for block in propagation.gradient])
    value = blocks @ np.array([errors[term] for term in terms])
    norm = float(np.linalg.norm(value))
    direction = value / norm if norm > 0 else np.ones(len(value)) / math.sqrt(len(value))
    return dict(zip(terms, (direction @ blocks).tolist(), strict=True))


def approximated(problem: Problem, construction: Construction) -> dict[Term, Scalar]:
    """The functions of one variable that need pieces, by the term that their error enters as."""
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


@lru_cache(maxsize=4096)
def _pieces_constant(g: Scalar, radius: float) -> float:
    """c such that about c / sqrt(e) pieces stay within e of g: (1/4) int sqrt|g''| (planning only)."""
    nodes = np.linspace(-radius, radius, 2001)
    return float(np.trapezoid(np.sqrt(np.abs(g.derivative.derivative(nodes))), nodes)) / 4


def _costs(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    functions: Mapping[Term, Scalar],
) -> dict[Term, float]:
    costs = {
        term: problem.dims[term.layer] * _pieces_constant(g, _radius(problem, construction, layers, term))
        for term, g in functions.items()
    }
    if construction == "lean":
        for j, layer in enumerate(layers, start=1):
            half = (layer.dr_high - layer.dr_low) / 2
            if not problem.activation_at(j).derivative.is_constant:
                costs[Term("product", j)] = problem.dims[j] * 2 * math.sqrt(half * layer.g)
    return {term: max(cost, 1e-9) for term, cost in costs.items()}


def _radius(
    problem: Problem, construction: Construction, layers: tuple[LayerRanges, ...], term: Term
) -> float:
    layer = layers[term.layer - 1]
    if term.kind == "u" and not from_z(problem, construction):
        return layer.r
    return layer.z


@lru_cache(maxsize=64)
def plan(problem: Problem, construction: Construction = "lean") -> Plan:
    """The plan whose certified step error is at most eps, at the fewest units.

    Minimising sum c_k e_k^(-1/2) subject to the step error being eps has the optimum e_k
    proportional to (c_k / a_k)^(2/3), a_k the sensitivity of the step error to e_k; as a_k depends
    on the e_k through the ranges and the 2-norm, the closed form is iterated to its fixed point.
    Raises ProblemError if rounding alone would exceed eps.
    """
    with _in_floats(problem):
        return _planned(problem, construction)


@contextmanager
def _in_floats(problem: Problem) -> Iterator[None]:
    """Turns a range or a fit that floats cannot hold into a ProblemError."""
    try:
        yield
    except ProblemError:
        raise
    except (ValueError, ArithmeticError) as error:
        name = problem.activation.name
        raise ProblemError("activation", name, f"{error}; try smaller radii or another eps") from None


def _planned(problem: Problem, construction: Construction) -> Plan:
    if construction != "exact" and not problem.activation.is_smooth:
        reason = problem.activation.violated_hypothesis(1.0)
        raise ProblemError(
            "activation", problem.activation.name, f"{reason}, so r' has no piecewise-linear fit"
        )
    functions = approximated(problem, construction)
    tolerances = _solve(problem, construction, functions, problem.eps)
    rounding = _expected_rounding(problem, construction, functions, tolerances)
    if rounding > 0.5 * problem.eps:  # more pieces would only bring more of it
        raise ProblemError("eps", problem.eps, f"rounding in float64 alone reaches {rounding:.2g}; raise eps")
    allowed = problem.eps - 0.9 * rounding
    for _ in range(6):
        tolerances = _solve(problem, construction, functions, allowed)
        made = _make(problem, construction, functions, tolerances)
        if made.certified <= problem.eps:
            return made
        if not tolerances:
            break
        allowed *= min(0.999, 0.9999 * problem.eps / made.certified)
    raise ProblemError(
        "eps", problem.eps, f"with rounding the bound stays at {made.certified:.3g}; raise eps"
    )


def _expected_rounding(
    problem: Problem,
    construction: Construction,
    functions: Mapping[Term, Scalar],
    tolerances: Mapping[Term, float],
) -> float:
    """About what the rounding of so many ReLUs will add to the step error, before any is made."""
    layers = ranges(problem, tolerances)
    expected: dict[Term, float] = {}
    for term, cost in _costs(problem, construction, layers, functions).items():
        units = cost / problem.dims[term.layer] / math.sqrt(tolerances[term])
        if term in functions:
            radius = _radius(problem, construction, layers, term)
            nodes = np.linspace(-radius, radius, 2001)
            bend = float(np.trapezoid(np.abs(functions[term].derivative.derivative(nodes)), nodes))
        else:
            layer = layers[term.layer - 1]
            radius = 2 * math.sqrt(layer.g * (layer.dr_high - layer.dr_low) / 2)
            bend = 2 * radius
        spread_over = problem.n + 1 if construction == "paper" and term.kind != "u" else 1
        expected[term] = gamma(units * spread_over) * bend * 3 * radius
    if not expected:
        return 0.0
    return step_error(problem, layers, expected, from_z=from_z(problem, construction))


def estimated_units(problem: Problem, construction: Construction = "lean") -> float:
    """About how many ReLUs one step will spend on approximation, before any is made; raises ProblemError."""
    functions = approximated(problem, construction)
    with _in_floats(problem):
        tolerances = _solve(problem, construction, functions, problem.eps)
        costs = _costs(problem, construction, ranges(problem, tolerances), functions)
    return sum(cost / math.sqrt(tolerances[term]) for term, cost in costs.items())


def _useful(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    functions: Mapping[Term, Scalar],
) -> dict[Term, float]:
    """The largest tolerance that each approximation can make use of."""
    caps: dict[Term, float] = {}
    for term, g in functions.items():
        radius = _radius(problem, construction, layers, term)
        low, high = g.range(-radius, radius)
        caps[term] = max(0.501 * (high - low), 1e-12)
    for j, layer in enumerate(layers, start=1):
        caps[Term("product", j)] = max(0.501 * (layer.dr_high - layer.dr_low) * layer.g, 1e-12)
    return caps


def _solve(
    problem: Problem, construction: Construction, functions: Mapping[Term, Scalar], allowed: float
) -> dict[Term, float]:
    errors: dict[Term, float] = {}
    # Beyond half its range a function is as well approximated by a constant: no tolerance is worth more.
    caps = _useful(problem, construction, ranges(problem, {}), functions)
    for _ in range(12):
        layers = ranges(problem, errors)
        costs = _costs(problem, construction, layers, functions)
        if not costs:
            return {}
        if set(errors) != set(costs):
            errors = dict.fromkeys(costs, allowed)
        weights = sensitivities(problem, construction, layers, errors)
        shape = {term: (costs[term] / max(weights[term], 1e-300)) ** (2 / 3) for term in costs}
        scale = allowed / (step_error(problem, layers, shape, from_z=from_z(problem, construction)) or 1.0)
        errors = {term: min(scale * size, caps[term]) for term, size in shape.items()}
    return errors


_ROOM, _DR_ROOM = 1 + 1e-7, 1e-8
"""Fits reach a little further than the ranges they were planned for: rounding moves ranges, too."""


def _make(
    problem: Problem,
    construction: Construction,
    functions: Mapping[Term, Scalar],
    tolerances: Mapping[Term, float],
) -> Plan:
    planned = ranges(problem, tolerances)
    fits = {}
    for term, g in functions.items():
        reach = _radius(problem, construction, planned, term) * _ROOM
        fits[term] = fit(g, -reach, reach, tolerances[term])
    products: dict[Term, Product] = {}
    if construction == "lean":
        for j, layer in enumerate(planned, start=1):
            term = Term("product", j)
            tolerance = tolerances.get(term, 0.0)
            constant = problem.activation_at(j).derivative.is_constant
            room = 0.0 if constant else _DR_ROOM * max(1.0, layer.dr)
            products[term] = Product.within(
                layer.dr_low - room, layer.dr_high + room, layer.g * _ROOM, tolerance
            )
    errors = {term: fitted.error for term, fitted in fits.items()}
    errors |= {term: product.error for term, product in products.items()}
    rounding = rounding_errors(problem, planned, fits, products, by_heads=construction == "paper")
    for term, error in rounding.items():
        errors[term] = errors.get(term, 0.0) + error
    layers = ranges(problem, errors)
    _check_reach(problem, construction, layers, planned, fits)
    return Plan(problem, construction, tolerances, layers, fits, products, errors)


def _check_reach(
    problem: Problem,
    construction: Construction,
    layers: tuple[LayerRanges, ...],
    planned: tuple[LayerRanges, ...],
    fits: Mapping[Term, Fit],
) -> None:
    """Raises ProblemError unless the ranges under certified errors stay where the fits hold."""
    for term, fitted in fits.items():
        if _radius(problem, construction, layers, term) > fitted.hi:
            raise ProblemError("eps", problem.eps, f"rounding takes {term} out of its range; raise eps")
    for j, (layer, was) in enumerate(zip(layers, planned, strict=True), start=1):
        room = (1e-12 if problem.activation_at(j).derivative.is_constant else _DR_ROOM) * max(1.0, was.dr)
        slope = layer.dr_low >= was.dr_low - room and layer.dr_high <= was.dr_high + room
        if not slope or layer.g > was.g * _ROOM:
            message = f"rounding takes the product in layer {j} out of its range; raise eps"
            raise ProblemError("eps", problem.eps, message)
