"""How far the predictions of linear attention are from descent at most, over all prompts in given radii.

With tokens scaled to radius 1 every state is Z_l = R_l Z_0, R_l = [[M, u], [-w^T, a]], and for descent M = I,
u = 0, a = 1.  With r_l the residuals, S_l the layer's tensor, T_l its part that is no descent, G_l the second
moments of the tokens it sees and b_l their part (x, y),

    w_{l+1} = w_l + M^T A_l b_l - M^T n_l + nu_l w_l,    n_l = T_l[y, x](G_l),    nu_l = T_l[y, y](G_l),

so that the difference D from descent's w obeys D_{l+1} = (I - A_l C) D_l + (a_l - 1) A_l b_0 - M^T n_l + ...;
its norm is bounded layer by layer.  n_l at the moments of descent itself is bounded by `largest_response`,
all blocks of T_l at once; what is of second order in the deviations is bounded by norms.  Where that is far
above what a prompt reaches, multipliers (`signal_bound`) and second moments (`moment_search`) do better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import flint
import numpy as np
from flint import arb, fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.bounds.algebra.ring_matrices import Matrix
from icgd.bounds.functions.scalar import upper_float
from icgd.construct.given_linear import Exact, GivenLinear
from icgd.verify.given_linear.exact_bounds import (
    floats,
    largest_eigenvalue,
    largest_response,
    spectral_norm,
    two_ball_bound,
)
from icgd.verify.given_linear.layer_form import AttentionForm, descent_form, linear_form
from icgd.verify.given_linear.moment_search import GOAL, WORK, ScaledLayer, largest_difference
from icgd.verify.given_linear.signal_bound import chain_bound
from icgd.verify.given_linear.signal_chain import ScaledHeads, signal_chain

_PRECISION = 96

_TOO_FAR = 1e100
"""Bounds above this are given up."""


@dataclass(frozen=True)
class DistanceBound:
    """What no prompt exceeds.  value: of |prediction - descent's|.  by_layer: norm2 of D_1, ..., D_L, scaled.

    direct: the part of D_{l+1} that layer l makes by itself, to first order.
    """

    value: float
    by_layer: tuple[float, ...]
    direct: tuple[float, ...]


def distance_bound(
    given: GivenLinear,
    A: Sequence[Matrix],
    n: int,
    B_x: Fraction,
    B_y: Fraction,
    reached: float = 0.0,
    work: float = WORK,
) -> DistanceBound:
    """A bound for all prompts of n examples with norm2(x), norm2(x_q) <= B_x and |y| <= B_y.

    A: of descent w <- w - A_l grad R(w), as many as there are layers.  reached: a distance that a prompt
    reaches; where the bound is far above it, multipliers are searched for a better one, and then second
    moments, with this much work.
    """
    form = linear_form(given, n)
    exact: list[Exact] = [[[Fraction(value) for value in row] for row in matrix] for matrix in A]
    ours = _scaled(form, B_x, B_y)
    theirs = _scaled(descent_form(exact), B_x, B_y)
    deviations = [
        {place: layer[place] - other[place] for place in layer}
        for layer, other in zip(ours, theirs, strict=True)
    ]
    steps = [exact_matrix([[B_x * B_x * value for value in row] for row in matrix]) for matrix in exact]
    with flint.ctx.workprec(_PRECISION):
        found = _recursion(form, deviations, steps, n, arb(to_flint(B_y)))
    scaled = reached / float(B_y)
    if work > 0 and (given.L > 1 or not form.masked) and scaled > 0 and found.value > GOAL * reached:
        ours_chained = _scaled_heads(given.exact, given.scale(n) * n, B_x, B_y)
        theirs_chained = _scaled_heads(_descent_heads(exact), Fraction(1), B_x, B_y)
        share = Fraction(0) if given.masked else Fraction(1, n)
        sign = -given.sign  # descent is read as -y
        chain = signal_chain(ours_chained, theirs_chained, form.d, sign, share)
        if chain is not None:
            with flint.ctx.workprec(_PRECISION):
                value = upper_float(arb(chain_bound(chain, scaled)) * arb(to_flint(B_y)))
            found = replace(found, value=min(found.value, value))
    if found.value <= GOAL * reached:
        return found
    if work > 0 and form.sign == -1 and found.by_layer[-1] > GOAL * scaled > 0:
        layers = [_rounded(*parts, form.d) for parts in zip(ours, theirs, deviations, steps, strict=True)]
        with flint.ctx.workprec(_PRECISION):
            # A share that is rounded up belongs to a query that is shorter by as little.
            seen = 0.0 if form.masked else math.nextafter(1 / n, math.inf)
            searched = upper_float(arb(largest_difference(layers, scaled, work, seen)) * arb(to_flint(B_y)))
        found = replace(found, value=min(found.value, searched))
    return found


def _descent_heads(A: Sequence[Exact]) -> list[list[tuple[Exact, Exact]]]:
    """P and Q of this descent, without rounding."""
    d, nothing = len(A[0]), Fraction(0)
    P = [[nothing] * (d + 1) for _ in range(d)] + [[nothing] * d + [Fraction(1)]]
    layers = []
    for step in A:
        Q = [[-step[b][a] for b in range(d)] + [nothing] for a in range(d)] + [[nothing] * (d + 1)]
        layers.append([(P, Q)])
    return layers


def _scaled_heads(
    layers: Sequence[Sequence[tuple[Exact, Exact]]], share: Fraction, B_x: Fraction, B_y: Fraction
) -> list[ScaledHeads]:
    """share D^-1 P D and D Q D, D the radii of a token, for tokens of radius 1."""
    radius = [B_x] * (len(layers[0][0][0]) - 1) + [B_y]

    def placed(matrix: Exact, left: Sequence[Fraction]) -> fmpq_mat:
        rows = zip(matrix, left, strict=True)
        return exact_matrix(
            [[value * l * r for value, r in zip(row, radius, strict=True)] for row, l in rows]
        )

    return [
        [(placed(P, [share / r for r in radius]), placed(Q, radius)) for P, Q in heads] for heads in layers
    ]


def _rounded(ours: Tensors, theirs: Tensors, deviation: Tensors, step: fmpq_mat, d: int) -> ScaledLayer:
    def whole(tensors: Tensors) -> np.ndarray:
        made = np.zeros((d + 1,) * 4)
        for place, form in tensors.items():
            made[place] = floats(form)
        return made

    given_A = [[step[e, b] - 2 * deviation[d, e][b, d] for b in range(d)] for e in range(d)]
    return ScaledLayer(whole(ours), whole(theirs), whole(deviation), floats(step), floats(fmpq_mat(given_A)))


Tensors = dict[tuple[int, int], fmpq_mat]
"""S or T of one layer, scaled, by (row, column); the row of the label is d."""


def _scaled(form: AttentionForm, B_x: Fraction, B_y: Fraction) -> list[Tensors]:
    """The form for tokens of radius 1."""
    d = form.d
    radius = [B_x] * d + [B_y]
    found = []
    for layer in form.layers:
        rows = range(d + 1) if len(layer) > 1 else (d,)
        made = {}
        for a, columns in zip(rows, layer, strict=True):
            for e, matrix in enumerate(columns):
                share = radius[e] / radius[a]
                made[a, e] = fmpq_mat(
                    [
                        [to_flint(matrix[b][c] * radius[b] * radius[c] * share) for c in range(d + 1)]
                        for b in range(d + 1)
                    ]
                )
        found.append(made)
    return found


def _recursion(
    form: AttentionForm, deviations: Sequence[Tensors], steps: Sequence[fmpq_mat], n: int, B_y: arb
) -> DistanceBound:
    """Every letter bounds the norm of what it stands for above, after l layers."""
    d, one, zero = form.d, arb(1), arb(0)
    seen = zero if form.masked else one / n
    m, u, w, a = zero, zero, zero, zero  # of M - I, u, D, a - 1
    weight, residual = zero, one  # of descent's own w_l and r_l
    by_layer: list[float] = []
    direct: list[float] = []
    for index, (deviation, A) in enumerate(zip(deviations, steps, strict=True)):
        if max(map(upper_float, (m, u, w, a, weight, residual))) > _TOO_FAR:
            return DistanceBound(math.inf, (*by_layer, math.inf), tuple(direct))
        norm, shrink, kept = _step_norms(A)
        at = _at_descent(deviation, d, residual)
        direct.append(upper_float(at.label))
        moved = (m + u) ** 2 + (a + w) ** 2
        far = 2 * moved.sqrt() * (one + residual**2).sqrt() + moved
        query = (one + m) ** 2 + (weight + w) ** 2
        if index:
            far += seen * query
            own = zero
        else:  # nothing has moved yet, and the query's label is 0: its own moments are in the same radii
            own = seen
        label = at.label * (one + own) + at.label_slope * far
        nu = at.scaling * (one + own) + at.scaling_slope * far
        b = residual + a + w + seen * (weight + w) * (one if index else zero)
        next_w = (
            shrink * w
            + norm * a
            + norm * seen * (weight + w) * (one if index else zero)
            + norm * (2 * m + m**2) * b
            + norm * (one + m) * u * (residual + a + w)
            + (one + m) * label
            + nu * (weight + w)
        )
        next_a = a + (norm * ((one + m) * b + u * (residual + a + w)) + label) * u + nu * (one + a)
        inputs = at.inputs * (one + own) + at.inputs_slope * far
        mixing = at.mixing * (one + own) + at.mixing_slope * far
        next_m = m + inputs * (one + m) + mixing * (weight + w)
        next_u = u + inputs * u + mixing * (one + a)
        weight, residual = _least(shrink * weight + norm, weight + norm * residual), residual * kept
        m, u, w, a = next_m, next_u, next_w, next_a
        by_layer.append(upper_float(w))
    total = w if form.sign == -1 else w + 2 * weight
    return DistanceBound(upper_float(total * B_y), tuple(by_layer), tuple(direct))


def _least(left: arb, right: arb) -> arb:
    return left if left.upper() <= right.upper() else right


def _step_norms(A: fmpq_mat) -> tuple[arb, arb, arb]:
    """Bounds on norm2(A), on norm2(I - A C) and on norm2(I - X^T A X), C = X X^T, tr C <= 1.

    With A = s I + E the second is at most max(1, |1 - s|) + norm2(E), and the third at most
    max(1, 1 - least, largest - 1) + norm2 of the skew part, by the extreme eigenvalues of the symmetric one.
    """
    d = A.nrows()
    symmetric = (A + A.transpose()) * fmpq(1, 2)
    top, bottom = _eigenvalue_bounds(symmetric)
    skew = arb(spectral_norm((A - A.transpose()) * fmpq(1, 2)))
    middle = (to_flint(top) + to_flint(bottom)) / 2
    identity = fmpq_mat([[middle if i == j else fmpq(0) for j in range(d)] for i in range(d)])
    rest = arb(spectral_norm(A - identity))
    shrink = max(fmpq(1), abs(1 - middle))
    kept = max(1.0, 1.0 - bottom, top - 1.0)
    return arb(spectral_norm(A)), arb(shrink) + rest, arb(kept) + skew


def _eigenvalue_bounds(symmetric: fmpq_mat) -> tuple[float, float]:
    """Numbers that the largest eigenvalue is not above, and the smallest not below."""
    d = symmetric.nrows()
    shift = spectral_norm(symmetric)
    exact = fmpq_mat([[to_flint(shift) if i == j else fmpq(0) for j in range(d)] for i in range(d)])
    top = largest_eigenvalue(symmetric + exact) - shift
    bottom = shift - largest_eigenvalue(exact - symmetric)
    room = shift * 2.0**-50
    return top + room, bottom - room


@dataclass(frozen=True)
class _AtDescent:
    """A layer's T at the moments of descent, and its slope in the nuclear norm of the moments.

    label: row of the label, columns of x.  scaling: its own column.  inputs, mixing: the rows of x.
    """

    label: arb
    label_slope: arb
    scaling: arb
    scaling_slope: arb
    inputs: arb
    inputs_slope: arb
    mixing: arb
    mixing_slope: arb


def _at_descent(deviation: Tensors, d: int, residual: arb) -> _AtDescent:
    radius = to_flint(upper_float(residual))

    def placed(form: fmpq_mat) -> fmpq_mat:
        factor = [fmpq(1)] * d + [radius]
        return fmpq_mat([[form[b, c] * factor[b] * factor[c] for c in range(d + 1)] for b in range(d + 1)])

    def slope(entries: list[fmpq_mat]) -> arb:
        return sum((arb(spectral_norm(form)) ** 2 for form in entries), arb(0)).sqrt()

    def size(entries: list[fmpq_mat]) -> arb:
        each = [max(two_ball_bound(placed(form)), two_ball_bound(placed(-form))) for form in entries]
        return sum((arb(value) ** 2 for value in each), arb(0)).sqrt()

    label = [deviation[d, e] for e in range(d)]
    scaling = [deviation[d, d]] if (d, d) in deviation else []
    inputs = [deviation[i, e] for i in range(d) for e in range(d) if (i, e) in deviation]
    mixing = [deviation[i, d] for i in range(d) if (i, d) in deviation]
    return _AtDescent(
        arb(largest_response([placed(form) for form in label])),
        slope(label),
        size(scaling),
        slope(scaling),
        size(inputs),
        slope(inputs),
        size(mixing),
        slope(mixing),
    )
