"""The error recurrence: how local approximation errors become the error of one gradient step.

The forward and the backward pass of the simulated network are followed layer by layer with two kinds of
numbers: ranges (how large each quantity can be, in the transformer's own approximate arithmetic)
and errors (how far it can be from exact arithmetic).  Errors are linear in the local errors once
the ranges are fixed, so the same recurrence runs on numpy coefficient vectors, on floats and on
sympy symbols.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem

TermKind = Literal["r", "dr", "u", "product", "z", "g", "update"]


class Term(NamedTuple):
    """One source of local error: which kind of quantity, in which layer (1..N) of the network.

    r, dr, u: sup error of the approximations of r, r' and of the loss slope.
    product: sup error of r'(z) times the back-propagated g.
    z, g, update: rounding of the matrix products and of the mean over examples.
    """

    kind: TermKind
    layer: int

    def __str__(self) -> str:
        return f"{self.kind}[{self.layer}]"


@dataclass(frozen=True)
class LayerRanges:
    """Suprema over all prompts in the radii and all w in W, for one layer j of the network.

    p_in: 2-norm of p(j-1).  z, r, slope, curvature: sup |z|, |r(z)|, |r'(z)|, |r''(z)| per unit.
    dr_low, dr_high: range of r'(z).  p_out: 2-norm of p(j).
    g, g_norm: sup of a coordinate and 2-norm of the vector that r'(z) multiplies.
    s, s_norm: the same for their product s(j).
    spread: bound on the operator norm of V_j, sqrt(dims[j]) B_v.
    """

    p_in: float
    z: float
    r: float
    slope: float
    curvature: float
    dr_low: float
    dr_high: float
    p_out: float
    g: float
    g_norm: float
    s: float
    s_norm: float
    spread: float

    @property
    def dr(self) -> float:
        """sup |r'(z)| as the transformer computes it."""
        return max(-self.dr_low, self.dr_high)


WIDENING = 1 + 1e-9
"""Relative allowance on every range: covers the rounding of this module's own floating-point sums
(all of non-negative numbers, a few thousand operations of 2**-53 each) and of the transformer's."""


def loss_slope_of_z(problem: Problem) -> Scalar:
    """phi(r(z)), the part of the loss slope that is one function of z(N) when rho = 0."""
    return problem.loss.phi.compose(problem.activation_at(problem.N).r)


MOST_LAYERS = 256
"""Deeper networks take hours, and their rounding exceeds any eps."""


def ranges(problem: Problem, errors: Mapping[Term, float]) -> tuple[LayerRanges, ...]:
    """Ranges of every layer 1..N when the local errors are at most `errors` (absent means 0).

    They hold for the exact quantities and for the transformer's approximate ones alike.
    """
    if problem.N > MOST_LAYERS:
        raise ProblemError(
            "N", problem.N, f"networks of up to {MOST_LAYERS} layers are supported; take fewer"
        )
    e = _lookup(errors)
    dims, root = problem.dims, math.sqrt
    forward: list[dict[str, float]] = []
    p_norm = problem.B_x
    for j in range(1, problem.N + 1):
        r = problem.activation_at(j).r
        z = (problem.B_v * p_norm + e("z", j)) * WIDENING
        dr_low, dr_high = r.derivative.range(-z, z)
        sup_r = (r.sup(-z, z) + e("r", j)) * WIDENING
        layer = {
            "p_in": p_norm,
            "z": z,
            "r": sup_r,
            "slope": r.derivative.sup(-z, z) * WIDENING,
            "curvature": _finite_sup(r.derivative.derivative, z) * WIDENING,
            "dr_low": dr_low - (e("dr", j) + (WIDENING - 1) * (dr_high - dr_low)) * WIDENING,
            "dr_high": dr_high + (e("dr", j) + (WIDENING - 1) * (dr_high - dr_low)) * WIDENING,
            "p_out": root(dims[j]) * sup_r * WIDENING,
            "spread": root(dims[j]) * problem.B_v,
        }
        forward.append(layer)
        p_norm = layer["p_out"]
    last = forward[-1]
    try:
        g, g_norm = _loss_slope_range(problem, last["r"], e("u", problem.N))
    except ValueError as error:
        why = f"{error}; choose a loss whose slope is bounded there, or smaller radii"
        raise ProblemError("loss", problem.loss.name, why) from None
    layers: list[LayerRanges] = []
    for j in range(problem.N, 0, -1):
        layer = forward[j - 1]
        g, g_norm = (g + e("g", j)) * WIDENING, (g_norm + root(dims[j]) * e("g", j)) * WIDENING
        sup_dr = max(-layer["dr_low"], layer["dr_high"])
        s = (sup_dr * g + e("product", j)) * WIDENING
        s_norm = min(sup_dr * g_norm + root(dims[j]) * e("product", j), root(dims[j]) * s) * WIDENING
        layers.append(LayerRanges(**layer, g=g, g_norm=g_norm, s=s, s_norm=s_norm))
        # A column of V_j inside the box W has norm at most sqrt(dims[j]/dims[j-1]) B_v.
        g = layer["spread"] / root(dims[j - 1]) * s_norm
        g_norm = min(layer["spread"] * s_norm, root(dims[j - 1]) * g)
    return tuple(reversed(layers))


def _finite_sup(g: Scalar, z: float) -> float:
    return g.sup(-z, z) if not g.is_constant or g.expr != 0 else 0.0


def _loss_slope_range(problem: Problem, sup_p: float, error: float) -> tuple[float, float]:
    """sup of |u[k]| and of the 2-norm of u, for |p[k]| <= sup_p, in the transformer's arithmetic."""
    loss, root = problem.loss, math.sqrt(problem.d_out)
    reach = sup_p + abs(loss.rho) * problem.B_y
    coordinate = loss.phi.sup(-reach, reach) + abs(loss.sigma) * problem.B_y + error
    lipschitz = loss.phi.derivative.sup(-reach, reach)
    at_zero = abs(loss.phi(0.0))
    norm = (
        root * (at_zero + lipschitz * sup_p + error)
        + (lipschitz * abs(loss.rho) + abs(loss.sigma)) * problem.B_y
    )
    return coordinate * WIDENING, min(norm, root * coordinate) * WIDENING


def _lookup(errors: Mapping[Term, Any]) -> Any:
    return lambda kind, layer: errors.get(Term(kind, layer), 0.0)


@dataclass(frozen=True)
class Propagation:
    """Errors of one step, in whatever numbers the local errors were given in.

    p, dr, s: 2-norm error of p(j), sup error of r'(z(j)), 2-norm error of s(j), for j = 1..N.
    gradient: Frobenius error of the gradient in V_j, for j = 1..N; the step error over eta is the
    2-norm of this vector.
    """

    p: tuple[Any, ...]
    dr: tuple[Any, ...]
    s: tuple[Any, ...]
    gradient: tuple[Any, ...]


def propagate(
    problem: Problem, layers: tuple[LayerRanges, ...], errors: Mapping[Term, Any], *, from_z: bool
) -> Propagation:
    """The plain error recurrence, linear in `errors` (floats, coefficient vectors or sympy symbols).

    from_z: whether the loss slope is computed from z(N) by one function, or from the approximate p(N).

    Each line is the triangle inequality around an approximate quantity (range from `layers`) and an
    exact one; Lipschitz constants are suprema over the ranges.
    """
    e = _lookup(errors)
    root, dims, N = math.sqrt, problem.dims, problem.N
    p: list[Any] = [0.0]
    dr: list[Any] = []
    for j, layer in enumerate(layers, start=1):
        row = problem.B_v * p[-1] + e("z", j)
        matrix = layer.spread * p[-1] + root(dims[j]) * e("z", j)
        dr.append(e("dr", j) + layer.curvature * row)
        p.append(root(dims[j]) * e("r", j) + layer.slope * matrix)
    loss = problem.loss
    reach = layers[-1].r + abs(loss.rho) * problem.B_y
    if from_z:
        slope, z_error = (
            loss_slope_of_z(problem).derivative,
            layers[-1].spread * p[-2] + root(dims[N]) * e("z", N),
        )
        g = slope.sup(-layers[-1].z, layers[-1].z) * z_error + root(dims[N]) * e("u", N)
    else:
        g = loss.phi.derivative.sup(-reach, reach) * p[-1] + root(dims[N]) * e("u", N)
    s: list[Any] = []
    for j in range(N, 0, -1):
        layer = layers[j - 1]
        g = g + root(dims[j]) * e("g", j)
        s.append(root(dims[j]) * e("product", j) + layer.slope * g + layer.g_norm * dr[j - 1])
        g = layer.spread * s[-1]
    s.reverse()
    gradient = tuple(
        (layer.p_in * s[j] + layer.s_norm * p[j]) / 2 + e("update", j + 1) for j, layer in enumerate(layers)
    )
    return Propagation(p=tuple(p[1:]), dr=tuple(dr), s=tuple(s), gradient=gradient)


def step_error_bound(
    problem: Problem, layers: tuple[LayerRanges, ...], errors: Mapping[Term, float], *, from_z: bool
) -> float:
    """A bound on norm2(err)/eta for every prompt in the radii, every w in W and every n."""
    gradient = propagate(problem, layers, errors, from_z=from_z).gradient
    return math.hypot(*map(float, gradient)) * WIDENING
