"""Spending the tolerance: which local error each approximation may make, at the fewest units."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        centre, half = (high + low) / 2, (high - low) / 2 * (1 + 1e-12)
        if half <= 1e-12 * max(1.0, abs(centre)):
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

    def _count(self, of_fit, of_product) -> int:  # type: ignore[no-untyped-def]
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
    functions = approximated(problem, construction)
    allowed = problem.eps
    for _ in range(6):
        tolerances = _solve(problem, construction, functions, allowed)
        _refuse_if_rounding_dominates(problem, construction, functions, tolerances)
        made = _make(problem, construction, functions, tolerances)
        if made.certified <= problem.eps:
            return made
        if not tolerances:
            break
        allowed *= min(0.999, 0.9999 * problem.eps / made.certified)
    raise ProblemError(
        "eps", problem.eps, f"rounding in float64 alone reaches {made.certified:.3g}; raise eps"
    )


def _refuse_if_rounding_dominates(
    problem: Problem,
    construction: Construction,
    functions: Mapping[Term, Scalar],
    tolerances: Mapping[Term, float],
) -> None:
    """Raises ProblemError where the rounding of so many ReLUs clearly exceeds eps, before any is made."""
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
    value = step_error(problem, layers, expected, from_z=from_z(problem, construction)) if expected else 0.0
    if value > problem.eps:
        raise ProblemError(
            "eps", problem.eps, f"rounding in float64 alone would reach {value:.2g}; raise eps"
        )


def estimated_units(problem: Problem, construction: Construction = "lean") -> float:
    """About how many ReLUs one step will spend on approximation, before any is made."""
    tolerances = _solve(problem, construction, approximated(problem, construction), problem.eps)
    layers = ranges(problem, tolerances)
    costs = _costs(problem, construction, layers, approximated(problem, construction))
    return sum(cost / math.sqrt(tolerances[term]) for term, cost in costs.items())


def _solve(
    problem: Problem, construction: Construction, functions: Mapping[Term, Scalar], allowed: float
) -> dict[Term, float]:
    errors: dict[Term, float] = {}
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
        errors = {term: scale * size for term, size in shape.items()}
    return errors


def _make(
    problem: Problem,
    construction: Construction,
    functions: Mapping[Term, Scalar],
    tolerances: Mapping[Term, float],
) -> Plan:
    layers = ranges(problem, tolerances)
    fits = {
        term: fit(
            g,
            -_radius(problem, construction, layers, term),
            _radius(problem, construction, layers, term),
            tolerances[term],
        )
        for term, g in functions.items()
    }
    products: dict[Term, Product] = {}
    if construction == "lean":
        for j, layer in enumerate(layers, start=1):
            term = Term("product", j)
            products[term] = Product.within(layer.dr_low, layer.dr_high, layer.g, tolerances.get(term, 0.0))
    errors = {term: fitted.error for term, fitted in fits.items()}
    errors |= {term: product.error for term, product in products.items()}
    for term, error in rounding_errors(
        problem, layers, fits, products, by_heads=construction == "paper"
    ).items():
        errors[term] = errors.get(term, 0.0) + error
    return Plan(problem, construction, tolerances, layers, fits, products, errors)
