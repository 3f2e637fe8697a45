"""How far computations in float64 may be from the truth: what tests allow, and nothing on top."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from icgd.bounds.step_error.budget import from_z
from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.recurrence import Term, propagate, ranges, step_error_bound
from icgd.bounds.step_error.rounding import rounding_errors

UNIT = Fraction(1, 2**53)
"""The unit roundoff of float64."""

UNDERFLOW = Fraction(1, 2**1074)
"""The smallest float64: what a product that underflows is off by."""


def gamma(roundings):
    """Higham's gamma_k, exactly: sums of products are off by gamma_k times the sum of their sizes.

    roundings: k, how many of them a term meets on its way at most (Higham, Accuracy and Stability, 3.1).
    """
    return roundings * UNIT / (1 - roundings * UNIT)


def exactly(relus, x):
    """A sum of ReLUs at a rational x, by its definition."""
    units = zip(relus.a.tolist(), relus.b.tolist(), relus.c.tolist(), strict=True)
    return Fraction(relus.constant) + sum(
        (Fraction(c) * max(Fraction(a) * x + Fraction(b), Fraction(0)) for a, b, c in units), Fraction(0)
    )


def of_eigenvalues(matrix):
    """How far LAPACK's eigenvalues of a symmetric matrix may be off: p(n) roundings of its norm, p linear.

    LAPACK Users' Guide, section 4.7; p(n) = 10 n is its usual reading.
    """
    return float(gamma(10 * len(matrix))) * float(np.linalg.norm(matrix))


def in_float64(problem, errors):
    """Local errors, and those that rounding adds where an exact and an approximate pass are compared.

    Rounding is one more local error of every quantity, here of both passes.  No step is taken, so that a
    mean alone rounds, and no weights: eta is large.
    """
    rounding = rounding_errors(replace(problem, eta=1e6), ranges(problem, errors), {}, {})
    return {term: errors.get(term, 0.0) + 2 * rounding.get(term, 0.0) for term in {**errors, **rounding}}


def of_inputs(problem):
    """How far two passes in float64 may be apart in a pre-activation."""
    errors = in_float64(problem, {})
    before = [0.0, *propagate(problem, ranges(problem, errors), errors, from_z=False).p]
    layers = range(1, problem.N + 1)
    return max(problem.B_v * before[j - 1] + errors.get(Term("z", j), 0.0) for j in layers)


def of_loss(problem):
    """How far two passes in float64 may be apart in L_n."""
    errors = in_float64(problem, {})
    layers = ranges(problem, errors)
    moved = layers[-1].g_norm * propagate(problem, layers, errors, from_z=False).p[-1] / 2
    # No loss adds up more than twice the square of 1 + |p| + |y|, in 32 operations; then come sums.
    size = problem.d_out * (1 + layers[-1].r + problem.B_y) ** 2
    return moved + 2 * float(gamma(32 + problem.n * problem.d_out)) * size


def of_gradient(problem):
    """How far two passes in float64 may be apart in grad L_n, as a 2-norm."""
    errors = in_float64(problem, {})
    return step_error_bound(problem, ranges(problem, errors), errors, from_z=False)


def of_step(made):
    """How far float64 may take the weights that a planned transformer reaches in one step, as a 2-norm.

    In its literal reading, and in the structured one.  The gate of `exact` is as steep as its margin narrow.
    """
    problem, layers = made.problem, made.layers
    if made.construction == "exact":
        layers = tuple(replace(layer, curvature=max(layer.curvature, 1 / MARGIN)) for layer in layers)
    by_heads = made.construction == "paper"
    errors = rounding_errors(problem, layers, made.fits, made.products, by_heads=by_heads)
    of_loss = from_z(problem, made.construction)
    return problem.eta * step_error_bound(problem, layers, errors, from_z=of_loss)
