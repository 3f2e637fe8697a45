"""The domain W of the weights, and how far rounding may carry an iterate past its faces."""

from __future__ import annotations

from functools import lru_cache

from bounds.problem import Problem
from bounds.recurrence import ranges

_UNIT = 2.0**-53


@lru_cache(maxsize=1024)
def face_slack(problem: Problem, layer: int) -> float:
    """How far the projection of V_layer onto W can miss a face by rounding in float64.

    The MLP computes w - relu(w - h) + relu(-w - h) for a w that one step can have taken far outside W: by
    eta/2 times sup |s| sup |p|, here with a factor 8 for the transformer's own, approximate s and p.
    """
    reached = ranges(problem, {})[layer - 1]
    half = problem.half_width(layer)
    return min(half / 2, 4 * _UNIT * (2 * half + 8 * problem.eta * reached.s * reached.p_in))


def face(problem: Problem, layer: int) -> float:
    """Half the side of the box W in the coordinates of V_layer.

    W is the cube of `Problem.half_width`, drawn in by `face_slack`: an iterate that rounding leaves a little
    outside W still has rows of norm at most B_v, as the theorem asks.
    """
    return problem.half_width(layer) - face_slack(problem, layer)
