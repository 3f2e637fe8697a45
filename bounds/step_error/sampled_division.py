"""Division of the tolerance for sampled features: the fewest heads that the bound on cells then asks for.

A unit that approximates within e takes 2 ln(2) (A/e)^2 features (`icgd.bounds.functions.random_features`).
Layer j of the first N holds the features of r, one layer those of r' for all j, and an MLP those of u.  Their
largest is least where all are equal, H: this fixes the errors of r and u, and those of r' share the rest of
the tolerance so that e_j is proportional to (dims[j] A_j^2 / a_j)^(1/3), a_j the sensitivity of the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from icgd.bounds.functions.random_features import feature_mass, sampled_heads
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import approximated, radius, shares
from icgd.bounds.step_error.cover import COVER_SLACK, Cover, cover
from icgd.bounds.step_error.recurrence import Term, ranges
from icgd.bounds.step_error.worst_case import Cells, Setting

_ROUNDS, _MOST_ROUNDS = 3, 16
_ROOM, _NEAR = 1 - 1e-6, 1 - 2e-3


@dataclass(frozen=True)
class SampledDivision:
    """Local errors within the tolerance, and the heads of the largest attention layer under them.

    bound: on the step error over eta, at most eps, by cells and without rounding.
    """

    errors: Mapping[Term, float]
    largest: int
    bound: float


@lru_cache(maxsize=64)
def sampled_division(problem: Problem, *, equal: bool = False) -> SampledDivision:
    """The division with the fewest heads in the largest layer, or with equal errors.

    Raises ProblemError where a range or the bound leaves float64.

    >>> best, equal = (sampled_division(Problem(N=1), equal=same) for same in (False, True))
    >>> best.largest < equal.largest
    True
    """
    terms = approximated(problem, "paper")
    if not terms:
        return SampledDivision({}, 0, 0.0)
    try:
        return _divided(problem, equal)
    except (ValueError, ArithmeticError) as error:
        raise ProblemError("B_v", problem.B_v, f"{error}; lower it, B_x or N") from None


def _divided(problem: Problem, equal: bool) -> SampledDivision:
    errors = dict.fromkeys(approximated(problem, "paper"), 1e-3 * problem.eps)
    for _ in range(0 if equal else _ROUNDS):
        errors = _shaped(problem, errors, _covered(problem, errors, slack=0.05))
        reached = _covered(problem, errors, slack=0.05).bound
        errors = {term: min(max(problem.eps / reached, 1e-3), 1e3) * e for term, e in errors.items()}
    errors, bound = _filled(problem, errors)
    return SampledDivision(errors, largest_layer(problem, errors), bound)


def _filled(problem: Problem, shape: Mapping[Term, float]) -> tuple[dict[Term, float], float]:
    """The largest errors of this shape whose bound is within eps, nearly, and that bound."""
    scale, eps = 1.0, problem.eps
    under, over = (0.0, 0.0), (math.inf, math.inf)  # scale and bound
    for _ in range(_MOST_ROUNDS):
        bound = _covered(problem, {term: scale * e for term, e in shape.items()}).bound
        under, over = ((scale, bound), over) if bound <= eps else (under, (scale, bound))
        if under[1] >= _NEAR * eps:
            break
        if under[0] > 0 and over[0] < math.inf:  # the bound grows at least in proportion
            power = math.log(over[1] / under[1]) / math.log(over[0] / under[0])
            scale = under[0] * (_ROOM * eps / under[1]) ** (1 / power)
            if not under[0] < scale < over[0]:
                scale = math.sqrt(under[0] * over[0])
        else:
            scale *= min(max(_ROOM * eps / max(bound, 1e-300), 1e-3), 1e3)
    if not under[0]:
        raise ValueError("no division of the tolerance keeps the bound")
    return {term: under[0] * e for term, e in shape.items()}, under[1]


def _covered(problem: Problem, errors: Mapping[Term, float], slack: float = COVER_SLACK) -> Cover:
    setting = Setting(problem, ranges(problem, errors), False)
    return cover(setting, errors, slack, enough=1e-9 * problem.eps)


def _shaped(problem: Problem, errors: Mapping[Term, float], found: Cover) -> dict[Term, float]:
    """Errors in the best proportions for the sensitivities at the worst cell, their layers of equal size."""
    mass = _masses(problem, errors)
    worst = Cells(found.at[:, None], found.at[:, None])
    parts = shares(Setting(problem, ranges(problem, errors), False), worst, errors)[0]
    a = {term: max(part, 1e-12) / errors[term] for term, part in zip(errors, parts.tolist(), strict=True)}
    shape = {}
    for term in errors:
        size = problem.dims[term.layer]
        if term.kind == "dr":
            shape[term] = (size * mass[term] ** 2 / a[term]) ** (1 / 3)
        else:
            shape[term] = mass[term] * math.sqrt(size)
    slopes = [term for term in shape if term.kind == "dr"]
    heads = math.fsum(problem.dims[term.layer] * (mass[term] / shape[term]) ** 2 for term in slopes)
    for term in slopes:
        shape[term] *= math.sqrt(heads)
    return {term: 1e-3 * problem.eps * e for term, e in shape.items()}


def _masses(problem: Problem, errors: Mapping[Term, float]) -> dict[Term, float]:
    functions, layers = approximated(problem, "paper"), ranges(problem, errors)
    return {term: feature_mass(g, radius(problem, "paper", layers, term)) for term, g in functions.items()}


def largest_layer(problem: Problem, errors: Mapping[Term, float]) -> int:
    """The heads of the largest attention layer of sampled features with these errors; u takes no heads."""
    mass = _masses(problem, errors)
    count = {term: problem.dims[term.layer] * int(sampled_heads(mass[term], e)) for term, e in errors.items()}
    slopes = sum(number for term, number in count.items() if term.kind == "dr")
    return max([slopes, *(number for term, number in count.items() if term.kind == "r")])
