"""Rounding errors of the transformer's forward pass, as further local errors.

Assumptions: IEEE-754 binary arithmetic with round to nearest and no overflow (underflow is far below
every bound here); sums may be taken in any order and multiplications fused with additions.  Then a
sum of k products is off by at most gamma(k) times the sum of their absolute values (Higham, Accuracy
and Stability of Numerical Algorithms, section 3.1).  Every constant below rounds an operation count up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import UNIT_ROUNDOFF, face_slack
from icgd.bounds.step_error.recurrence import LayerRanges, Term, ranges

if TYPE_CHECKING:
    from icgd.bounds.functions.pieces import Fit
    from icgd.bounds.step_error.product import Product


def gamma(operations: float, unit: float = UNIT_ROUNDOFF) -> float:
    """Higham's gamma_k = k u / (1 - k u): the relative error of k roundings, infinite if k u >= 1."""
    return operations * unit / (1 - operations * unit) if operations * unit < 1 else math.inf


ABOVE = 2.0**-40
"""The largest absolute part of the margin by which an offset exceeds its range."""


def offset_above(bound: float) -> float:
    """An offset above `bound`, which keeps a slot non-negative even after rounding.

    At most a little more than twice a bound that is not 0: a slot rounds like its offset.

    >>> offset_above(1.0) > 1.0, offset_above(1e-20) < 3e-20
    (True, True)
    """
    return bound * (1 + 2.0**-8) + (min(ABOVE, bound) or ABOVE)


def _with_offset(bound: float) -> float:
    """The size of a sum that an offset keeps above 0; 0 for a range that is still to be moved away from 0."""
    return bound + offset_above(bound) if bound else 0.0


def moved_ranges(
    problem: Problem,
    layers: tuple[LayerRanges, ...],
    tolerances: Mapping[Term, float],
    rounding: Callable[[tuple[LayerRanges, ...]], dict[Term, float]],
) -> tuple[dict[Term, float], tuple[LayerRanges, ...]]:
    """Rounding errors before any product is planned, and the ranges under twice those errors.

    Rounding depends on ranges, which depend a little on rounding; where a layer has no gradient except by
    rounding (r' = 0), it takes one pass per layer until all ranges account for it.
    """
    errors = rounding(layers)
    for _ in range(problem.N):
        doubled = {term: 2 * error for term, error in errors.items()}
        both = {
            term: tolerances.get(term, 0.0) + doubled.get(term, 0.0) for term in {**tolerances, **doubled}
        }
        layers = ranges(problem, both)
        if all(layer.g for layer in layers):
            break
        errors = rounding(layers)
    return errors, layers


LEMMA_ROOM = 1 + 2.0**-18
"""Factor between a local error and its bound, for a checker that rounds and encloses differently."""


def settled(
    problem: Problem,
    layers: tuple[LayerRanges, ...],
    local: Mapping[Term, float],
    rounding: Callable[[tuple[LayerRanges, ...]], Mapping[Term, float]],
) -> tuple[dict[Term, float], tuple[LayerRanges, ...]]:
    """Local errors with their rounding, and the ranges under them; each depends a little on the other.

    Takes three passes, and one more per layer where a layer has no gradient except by rounding.
    """
    errors: dict[Term, float] = {}
    for _ in range(3 if all(layer.g for layer in layers) else problem.N + 3):
        rounded = rounding(layers)
        terms = (*rounded, *(term for term in local if term not in rounded))
        errors = {term: (local.get(term, 0.0) + rounded.get(term, 0.0)) * LEMMA_ROOM for term in terms}
        layers = ranges(problem, errors)
    return errors, layers


def relu_sum_rounding(relus: ReluSum, radius: float, offset: float, terms: int, unit: float) -> float:
    """A bound on the rounding of sum_m c relu(a (slot - offset) + b) for |slot - offset| <= radius.

    offset: the constant that keeps the slot non-negative and is folded into the bias.
    terms: how many numbers are added (units, times tokens where a mean over tokens is taken).
    """
    sizes = np.abs(relus.a) * (radius + 2 * offset) + np.abs(relus.b)
    total = float(np.abs(relus.c) @ sizes) + abs(relus.constant)
    return gamma(terms + 16, unit) * total


def slope_by_heads(problem: Problem) -> bool:
    """Whether heads may compute the loss slope, of p - rho y, and so sum its ReLUs over all tokens."""
    return problem.loss.rho != 0


def rounding_errors(
    problem: Problem,
    layers: tuple[LayerRanges, ...],
    fits: Mapping[Term, Fit],
    products: Mapping[Term, Product],
    unit: float | None = None,
    *,
    by_heads: bool = False,
) -> dict[Term, float]:
    """Local errors from rounding alone, in the terms of `icgd.bounds.step_error.recurrence`, for one step.

    unit: the unit roundoff, of the problem's precision by default.
    by_heads: whether attention computes the fits, which sums their ReLUs over all tokens too.
    The bound covers the literal sums (each mean over n+1 equal tokens taken as a sum) and hence the
    structured evaluation, which adds fewer numbers.
    """
    tokens, dims = problem.n + 1, problem.dims
    unit = problem.roundoff if unit is None else unit
    errors: dict[Term, float] = {}
    for j, layer in enumerate(layers, start=1):
        inner = dims[j - 1] + tokens + 16
        of_z, of_g, of_s = map(_with_offset, (layer.z, layer.g, layer.s))
        errors[Term("z", j)] = gamma(inner, unit) * 2 * of_z
        errors[Term("g", j)] = gamma((dims[j + 1] if j < problem.N else 1) + tokens + 16, unit) * 2 * of_g
        errors[Term("r", j)] = gamma(tokens + 16, unit) * 4 * max(layer.z, layer.r)
        errors[Term("product", j)] = gamma(2 * inner, unit) * 4 * max(1.0, layer.dr) * of_g
        entries = math.sqrt(dims[j] * dims[j - 1])
        mean = gamma(2 * inner, unit) * math.sqrt(dims[j]) * of_s * layer.p_in
        weights = (
            32 * unit * problem.half_width(j) + 2 * face_slack(problem, j) * unit / UNIT_ROUNDOFF
        ) * entries
        errors[Term("update", j)] = mean + weights / problem.eta
        of_line = gamma(dims[j - 1] + 2 * tokens + 18, unit) * 8
        for term, size in (
            (Term("r", j), layer.slope * offset_above(layer.z) + layer.r),
            (Term("dr", j), layer.curvature * offset_above(layer.z) + layer.dr),
        ):
            if term not in fits:
                errors[term] = errors.get(term, 0.0) + of_line * size
    # A loss slope that is computed from z(N) reads it with its offset.
    shift = offset_above(layers[-1].z) if problem.output == "linear" and not by_heads else 0.0
    if problem.loss.phi.derivative.is_constant:
        steep = abs(float(problem.loss.phi.derivative(0.0)))
        errors[Term("product", problem.N)] += gamma(2 * inner, unit) * 4 * steep * shift
    elif problem.loss.rho:
        # p - rho y rounds like its parts, even if phi keeps the loss slope small; a clip adds its own bias.
        size = layers[-1].r + abs(problem.loss.rho) * problem.B_y + 1.0 + shift
        errors[Term("u", problem.N)] = gamma(tokens + 18, unit) * 4 * size
    for term, fitted in fits.items():
        summed = slope_by_heads(problem) if term.kind == "u" else by_heads
        terms = fitted.relus.units * (tokens if summed else 1) + dims[term.layer - 1]
        rounding = relu_sum_rounding(fitted.relus, fitted.hi, offset_above(fitted.hi), terms, unit)
        if term.kind == "u":  # the targets are summed in the same row
            rounding += gamma(fitted.relus.units + 16, unit) * 2 * abs(problem.loss.sigma) * problem.B_y
        errors[term] = errors.get(term, 0.0) + rounding
    for term, product in products.items():
        if product.square is not None:
            relus = product.square.relus
            above = offset_above(layers[term.layer - 1].g)
            moved = product.a * abs(product.centre) + product.b * above
            one = relu_sum_rounding(
                relus, product.square.hi, moved, 2 * relus.units + dims[term.layer - 1], unit
            )
            row = gamma(2 * relus.units + 16, unit)  # centre g is summed in the same row as both squares
            errors[term] += one / 2 + row * abs(product.centre) * (layers[term.layer - 1].g + 2 * above)
    return errors
