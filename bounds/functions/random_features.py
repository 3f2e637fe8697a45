"""Random ReLU features: how many the theorem's own construction needs, with explicit constants.

On [-R, R] every g with a derivative of bounded variation is an average of ReLU features,

    g(t) = g(-R) + g'(-R) (t + R) + int (t - s)^+ dg'(s) = A E[ sign psi_s(t) ],

where psi_s(t) = relu(t - s) / (R + |s|) = relu(w . [t; R]) / R with norm1(w) = 1, the constant is the
feature 1, t + R is 2R psi_{-R}, and A is the sum of the absolute weights, `feature_mass`.  Drawing M
features independently, with probabilities proportional to their weights, gives the network
g_M(t) = (A/M) sum_m sign_m psi_{s_m}(t).  (Bai et al. 2023, Proposition A.1, gives the existence of a
constant c(k) only; theirs is a covering argument in k variables.)

For one variable no covering is needed.  At each t, psi_s(t) decreases in s, from (t+R)/(2R) <= 1 at s = -R
to 0 at s = R.  So order the features in a way that does not depend on t: the constant, s from -R to R,
all with sign +, then s from R to -R and the constant with sign -.  In this order the signed feature falls
from 1 to -1, so its variation is 2, and with F, F_M the distribution functions of the draw and of the
sample in that order, summation by parts gives

    |g_M(t) - g(t)| = A |int (F_M - F) d(signed feature)| <= 2 A sup |F_M - F|   for all t at once.

By the Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant (Ann. Probab. 18, 1990),
P(sup |F_M - F| > e/(2A)) <= 2 exp(-M e^2 / (2 A^2)), which is below 1 once M > 2 ln(2) (A/e)^2: then
some draw is within e everywhere.  Hoeffding's inequality over a cover of the interval, with a share
theta of e for the deviation and the rest for the Lipschitz slack, needs more than
2 (A/(theta e))^2 ln(2 ceil(2A/((1-theta) e))) features (theta = 1/3: 18 (A/e)^2 ln(2 ceil(3A/e))): in
one variable the logarithm is an artefact of the cover.
"""

from __future__ import annotations

import heapq
import math

import flint
import numpy as np
import sympy

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.functions.scalar import PRECISION, Scalar, ball_between, upper_float

_SLACK = 1e-6
"""Relative width at which the enclosure of a feature mass is tight enough."""


def sampled_heads(mass: sympy.Expr | float, error: sympy.Expr | float) -> sympy.Expr:
    """The least integer M above 2 ln(2) (A/e)^2: some draw of M random features is within e.

    mass: A, as `feature_mass` bounds it; error: e > 0, in the units of A.

    >>> int(sampled_heads(1, sympy.Rational(1, 10)))
    139
    """
    ratio = sympy.sympify(mass) / sympy.sympify(error)
    return sympy.floor(2 * sympy.log(2) * ratio**2) + 1


def feature_mass(g: Scalar, radius: float) -> float:
    """A certified upper bound of A = |g(-R)| + 2R |g'(-R)| + int |g''(s)| (R + |s|) ds over [-R, R].

    The sum of absolute weights of g in ReLU features, constant and linear terms included, which may be well
    above the total variation of g: 3.44 for tanh on [-1, 1], whose variation there is 1.52.
    A jump of g' at a kink counts as a point mass of g''.  Within 1e-5 (relative) for smooth g: where the
    sign of g'' is certain the integral is taken in closed form by parts, and elsewhere (around its roots)
    it is bounded by the supremum.  Raises ValueError where g jumps or has no finite enclosure.

    >>> from icgd.bounds.functions.scalar import t
    >>> round(feature_mass(Scalar(t**2), 1.0), 4)  # 1 + 4 + 2 * 3
    11.0
    """
    with flint.ctx.workprec(PRECISION):
        R, tiny = flint.arb(radius), math.ldexp(radius, -40)
        first, last = (-radius, -radius + tiny), (radius - tiny, radius)  # a kink may lie on an end
        bend = g.derivative.derivative.ball
        total = abs(g.ball(-R)) + 2 * R * abs(g.derivative.ball(ball_between(*first)))
        total += 2 * R * tiny * (abs(bend(ball_between(*first))) + abs(bend(ball_between(*last))))
        cuts = [first[1], last[0]]
        for kink in (k for k in g.kinks if first[1] < k < last[0]):
            total += _at_kink(g, kink, tiny) * (R + abs(flint.arb(kink)) + tiny)
            cuts += [max(kink - tiny, first[1]), min(kink + tiny, last[0])]
        cuts.sort()
        stretches = list(zip(cuts[::2], cuts[1::2], strict=True))
        left = [(a, min(b, 0.0)) for a, b in stretches if a < 0]
        right = [(max(a, 0.0), b) for a, b in stretches if b > 0]
        total += _curvature_mass(g, R, left + right, total)
        if not total.is_finite():
            raise ValueError(f"{g.expr} has no finite mass in ReLU features on [{-radius:g}, {radius:g}]")
        return upper_float(total)


def _at_kink(g: Scalar, kink: float, tiny: float) -> flint.arb:
    """A bound on the variation of g' over [kink - tiny, kink + tiny]; ValueError if g jumps there."""
    around = ball_between(kink - tiny, kink + tiny)
    value, slope, bend = (f.ball(around) for f in (g, g.derivative, g.derivative.derivative))
    if not 2 * value.rad() < 1e-6 * (1 + value.abs_upper()):
        raise ValueError(f"{g.expr} jumps at {kink:g}: no finite sum of ReLUs is close to it")
    return 2 * slope.rad() + 2 * flint.arb(tiny) * bend.abs_upper()


def _curvature_mass(
    g: Scalar, R: flint.arb, stretches: list[tuple[float, float]], rest: flint.arb
) -> flint.arb:
    """An upper bound of int |g''(s)| (R + |s|) ds over stretches on which s has one sign."""
    value, slope, bend = g.ball, g.derivative.ball, g.derivative.derivative.ball
    certain = flint.arb(0)
    doubtful: list[tuple[float, float, float]] = []

    def primitive(s: float, sign: int) -> flint.arb:  # of g''(s) (R + sign s), by parts
        x = flint.arb(s)
        return slope(x) * (R + sign * x) - sign * value(x)

    def take(a: float, b: float) -> None:
        nonlocal certain
        curvature = bend(ball_between(a, b))
        if curvature >= 0 or curvature <= 0:
            sign = -1 if b <= 0 else 1
            certain += abs(primitive(b, sign) - primitive(a, sign))
            return
        ceiling = curvature.abs_upper() * (R + max(-a, b)) * (flint.arb(b) - a)
        heapq.heappush(doubtful, (-upper_float(ceiling) if ceiling.is_finite() else -math.inf, a, b))

    for a, b in stretches:
        take(a, b)
    for _ in range(50_000):
        if not doubtful or -doubtful[0][0] * len(doubtful) <= _SLACK * float((certain + rest).lower()):
            break
        _, a, b = heapq.heappop(doubtful)
        middle = (a + b) / 2
        if not a < middle < b:
            heapq.heappush(doubtful, (-math.inf, a, b))
            break
        take(a, middle)
        take(middle, b)
    return sum((flint.arb(-item[0]) for item in doubtful), certain)


def sample_features(g: Scalar, radius: float, count: int, rng: np.random.Generator) -> ReluSum:
    """A random draw of `count` features for g on [-radius, radius]: a network with sum |c| = A.

    Constant features go into the constant of the sum, so at most `count` units remain.  The density is a
    table of 2^14 cells, in which draws are uniform; the result is a sample and carries no certificate.

    >>> from icgd.bounds.functions.scalar import t
    >>> drawn = sample_features(Scalar(sympy.tanh(t)), 1.0, 1000, np.random.default_rng(0))
    >>> x = np.linspace(-1, 1, 201)
    >>> bool(np.abs(drawn(x) - np.tanh(x)).max() < 0.2)
    True
    """
    edges = np.linspace(-radius, radius, 2**14 + 1)
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    kinks = np.array([k for k in g.kinks if -radius < k < radius])
    jumps = g.derivative(kinks + 1e-9 * radius) - g.derivative(kinks - 1e-9 * radius)
    ends = np.array([-radius, -radius])  # the constant, then t + R
    places = np.concatenate([ends, kinks, middles])
    first = [g(-radius), 2 * radius * g.derivative((1e-9 - 1) * radius)]
    bends = np.concatenate([jumps, g.derivative.derivative(middles) * width])
    weights = np.concatenate([first, bends * (radius + np.abs(places[2:]))])
    total = float(np.abs(weights).sum())
    if total == 0:
        return ReluSum(middles[:0], middles[:0], middles[:0])
    drawn = rng.choice(weights.size, size=count, p=np.abs(weights) / total)
    spread = np.where(drawn >= 2 + kinks.size, rng.uniform(-0.5, 0.5, count) * width, 0.0)
    s, c = (places[drawn] + spread)[drawn > 0], np.sign(weights[drawn]) * total / count
    a = 1 / (radius + np.abs(s))
    return ReluSum(a, -s * a, c[drawn > 0], float(c[drawn == 0].sum()))
