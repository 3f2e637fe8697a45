"""Sabotage by search: certificates that claim as little error as their checker lets them, and measured steps.

A true certificate leaves room everywhere.  Here its local errors and its bound are lowered to exactly what
the checker asks for, at extreme letters; no step of its own weights may then be further off than the bound.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from flint import arb, ctx

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.prompt import split_weights
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.proof import refusal
from icgd.verify.checker.directed import Floats
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.relu import PRECISION, Check
from icgd.verify.checker.softmax import SoftmaxCheck
from icgd.verify.descent import descend
from icgd.verify.search.prompts import random_prompts, seeded

_RADII = (1e-12, 1e-9, 1e-6, 1e-3, 1.0, 30.0)
_PROMPTS = 200


def least_claim(found: Mapping[str, Any], posed: Mapping[str, Any], construction: str) -> dict[str, Any]:
    """The certificate with its errors and its bound as low as the checker allows with these ranges."""
    kind = SoftmaxCheck if construction == "softmax" else Check
    least = copy.deepcopy(dict(found))
    with ctx.workprec(PRECISION):
        judged = kind(least, posed, construction)
        for j in range(judged.N, 0, -1):
            least["errors"] |= {f"{name}[{j}]": _above(error) for name, error in judged.least(j).items()}
        judged = kind(least, posed, construction)
        tops: list[float] = []

        def bound(low: Floats, high: Floats) -> Floats:
            tops.append(float(kind.bound(judged, low, high).max()))
            return np.zeros(low.shape[1])

        judged.bound = bound  # type: ignore[method-assign]
        judged.check_cover(math.inf)
        least["certified"] = max(tops) * judged.scale
    return least


def _above(bound: arb) -> float:
    return math.nextafter(float(bound.upper()), math.inf) if bound > 0 else 0.0


class Measured(NamedTuple):
    """Steps of the weights of a least claim.

    share: the largest distance from the projected step of descent, over eta times the claim.
    beyond: how far the largest weight reached is outside the theorem's domain; 0 if none is.
    """

    share: float
    beyond: float


def measured_claim(problem: Problem, construction: str, seed: int = 0) -> Measured | None:
    """Steps measured against the least claim; a share above 1, or a weight outside, refutes the checker.

    None where the letters have no certificate, or the checker does not accept it.
    """
    entry = CONSTRUCTIONS[construction]
    try:
        made = entry.plan(problem)
        found = as_read(entry.issue(made))
        posed = posed_letters(problem)
        least = least_claim(found, posed, construction)
    except (ProblemError, Refused):
        return None
    if refusal(least, posed, construction):
        return None
    transformer: Any = entry.assemble(made)
    posed_here = transformer.problem
    prompt = random_prompts(posed_here, _PROMPTS, seeded(seed))
    reached = transformer.step(prompt)
    apart = torch.linalg.vector_norm(reached - descend(posed_here, prompt, 1)[1], dim=1)
    halves = [posed_here.half_width(j) for j in range(1, posed_here.N + 1)]
    weights = split_weights(posed_here, reached)
    beyond = max(float(v.abs().max()) - half for v, half in zip(weights, halves, strict=True))
    return Measured(float(apart.max()) / (problem.eta * least["certified"]), max(0.0, beyond))


def measured_claims(count: int, seed: int = 0) -> list[Measured]:
    """Claims at random extreme letters, in lean, paper and softmax in turn, until `count` are measured."""
    rng, found, tried = random.Random(seed), list[Measured](), 0
    while len(found) < count:
        problem, construction = Problem.parse(extreme_letters(rng)), ("lean", "paper", "softmax")[tried % 3]
        tried += 1
        if one := measured_claim(problem, construction, tried):
            found.append(one)
    return found


def extreme_letters(rng: random.Random) -> dict[str, int | float | str]:
    """Letters far from the defaults: every radius and step from the smallest up, alone or together."""
    return {
        "N": rng.choice((1, 2, 3)),
        "K": rng.choice((1, 2, 3)),
        "d": rng.choice((1, 2)),
        "d_out": rng.choice((1, 2)),
        "n": rng.choice((1, 2, 8)),
        "eta": rng.choice((1e-6, 0.1, 1e3, 1e6)),
        "eps": rng.choice((0.05, 1e3)),
        **{radius: rng.choice(_RADII) for radius in ("B_x", "B_y", "B_v")},
        "activation": rng.choice(("tanh", "sigmoid", "identity", "1e-9*t")),
        "loss": rng.choice(("squared", "huber", "logistic")),
        "output": rng.choice(("activated", "linear")),
    }
