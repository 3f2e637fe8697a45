"""The domain of the claims: the box W of the weights, its faces after rounding, the margin of `exact`."""

from __future__ import annotations

from functools import lru_cache

from icgd.bounds.problem import ROUNDOFFS, Problem
from icgd.bounds.step_error.recurrence import ranges

UNIT_ROUNDOFF = ROUNDOFFS["float64"]
"""Half the distance from 1 to the next float64."""


MARGIN = 2.0**-10
"""Width of the strip above 0 in which the gate of `exact` is neither open nor closed.

`exact` reproduces descent on a ReLU network to rounding on every prompt whose pre-activations avoid
(0, MARGIN).  A narrower strip costs accuracy in the gate: about 2**-53 / MARGIN.
"""


@lru_cache(maxsize=1024)
def face_slack(problem: Problem, layer: int) -> float:
    """How far the projection of V_layer onto W can miss a face by rounding in float64.

    The MLP computes w - relu(w - h) + relu(-w - h) for a w that one step may have moved outside W by up to
    eta/2 times sup |s| sup |p|, here with a factor 8 for the transformer's own, approximate s and p.
    """
    reached = ranges(problem, {})[layer - 1]
    half = problem.half_width(layer)
    return min(half / 2, 4 * UNIT_ROUNDOFF * (2 * half + 8 * problem.eta * reached.s * reached.p_in))


def face(problem: Problem, layer: int) -> float:
    """Half the side of the box W in the coordinates of V_layer.

    W is the cube of `Problem.half_width`, shrunk by `face_slack`: an iterate that rounding leaves a little
    outside W still has rows of norm at most B_v, as the theorem asks.
    """
    return problem.half_width(layer) - face_slack(problem, layer)
