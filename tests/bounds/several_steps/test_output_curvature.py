"""The curvature of l(r(z), y) in z, against mpmath's second derivatives of the composition."""

import mpmath
import pytest

from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.output_curvature import output_curvature

COMPOSED = {
    ("tanh", "squared"): lambda z, y: (mpmath.tanh(z) - y) ** 2,
    ("sigmoid", "logistic"): lambda z, y: mpmath.log(1 + mpmath.exp(p := 1 / (1 + mpmath.exp(-z)))) - p * y,
    ("sin", "log-cosh"): lambda z, y: mpmath.log(mpmath.cosh(mpmath.sin(z) - y)),
}


@pytest.mark.parametrize("names", COMPOSED, ids="-".join)
def test_second_derivatives_lie_within_the_bounds_and_come_close(names):
    activation, loss = names
    problem = Problem.parse({"N": 1, "activation": activation, "loss": loss, "B_y": 1.5})
    above, below = output_curvature(problem, 2.0)
    seen = {}
    for k in range(-24, 25):
        z = k / 12
        values = [mpmath.diff(lambda t, y=y: COMPOSED[names](t, y), z, 2) for y in (-1.5, 0, 0.7, 1.5)]
        bin_ = max(1, -(-abs(k) * 64 // 24))
        seen[k] = max(values), max(-v for v in values)
        for y, value in zip((-1.5, 0, 0.7, 1.5), values, strict=True):
            for bound, signed in ((above, value), (below, -value)):
                share = abs(y) / 1.5
                assert signed <= (1 - share) * bound.at_zero[bin_] + share * bound.at_most[bin_]
    top, bottom = (max(pair[side] for pair in seen.values()) for side in (0, 1))
    room = 0.02 if loss != "log-cosh" else 0.12  # between the points; y is cut into twelve parts there
    assert above.at_most[-1] <= top * (1 + room) and below.at_most[-1] <= bottom + room * top
