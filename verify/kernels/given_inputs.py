"""Functional descent on given inputs: kernels, iterates and rates in balls, literal layers in rationals.

Floats of the inputs are taken as exact rationals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import sympy
from flint import arb, arb_mat, fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.bounds.algebra.spectra import extreme_eigenvalues
from icgd.bounds.claims import Claim, L
from icgd.bounds.functional import ROUNDING, SOURCE, FunctionalProblem
from icgd.bounds.functions.scalar import lower_float, upper_float
from icgd.bounds.kernel import KERNELS, Kernel

_Row = list[arb]
_Matrix = list[_Row]
_Table = Sequence[Sequence[float]]

KERNEL_PRECISION = 320
_MOST_BITS = 8192  # more than 2,000 layers need at the default step size, which widen by a factor of 2 each

_r, _C = sympy.symbols("r C", positive=True)
_low, _high = sympy.symbols("lambda_min lambda_max", positive=True)

_SYMMETRIC = "s_q^T S^{-1} z"
_LETTERS_OF_SYMMETRIC = (
    r"; $E$ before it is normalised, $D$ the sums that it is divided by, $S = D^{-1/2} E D^{-1/2}$ with "
    r"eigenvalues $\lambda$, $z = D^{1/2} y$, $s_q = D^{-1/2} e_q / D_q$."
)


def kernel_balls(
    heads: Sequence[str],
    points: Sequence[Sequence[float]],
    scale: float = 1.0,
    normaliser: str = "examples",
) -> _Matrix:
    """h[i][j], key i of the n examples and token j of all n+1 (the query is last), summed over heads.

    scale: multiplies inner products.  softmax: exp normalised over the n examples, as (2.6) and (3.8) of the
    paper have it, or over all "tokens".
    """
    inner = _inner_products(points, scale)
    total = [[arb(0) for _ in row] for row in inner[:-1]]
    for kernel in (KERNELS[name] for name in heads):
        similar = _similarities(kernel, inner)
        sums = _normalisers(similar, normaliser) if kernel.normalised else [arb(1)] * len(inner)
        for row, values in zip(total, similar, strict=False):
            for j, value in enumerate(values):
                row[j] += value / sums[j]
    return total


def _inner_products(points: Sequence[Sequence[float]], scale: float) -> _Matrix:
    exact = [[arb(value) for value in point] for point in points]
    return [
        [arb(scale) * sum((a * b for a, b in zip(u, v, strict=True)), arb(0)) for v in exact] for u in exact
    ]


def _similarities(kernel: Kernel, inner: _Matrix) -> _Matrix:
    return [[kernel.k.ball(value) for value in row] for row in inner]


def _normalisers(similar: _Matrix, normaliser: str) -> _Row:
    """What each column is divided by; the last key is the query's."""
    keys = similar if normaliser == "tokens" else similar[:-1]
    return [sum(column, arb(0)) for column in zip(*keys, strict=True)]


def descent_balls(kernel: _Matrix, labels: Sequence[float], rate: float, steps: int) -> list[_Row]:
    """The label row after 0..steps steps: y_i - f_l(x_i), and -f_l(x_q) at the end."""
    row = [*(arb(value) for value in labels), arb(0)]
    matrix, step, path = arb_mat(kernel), arb(rate), [row]
    for _ in range(steps):
        change = (arb_mat([row[:-1]]) * matrix).tolist()[0]
        row = [value - step * moved for value, moved in zip(row, change, strict=True)]
        path.append(row)
    return path


def distance_from_descent(
    problem: FunctionalProblem, points: _Table, labels: Sequence[float], reached: Sequence[float]
) -> tuple[float, float]:
    """The ends of an enclosure of the largest |reached - exact| over the label row after all layers.

    A layer widens balls by at most 1 + r max_j sum_i |K_ij|, so the precision grows with the layers.
    """
    how = problem.heads, points, problem.scale, problem.normaliser
    sums = [sum(map(abs, column), arb(0)) for column in zip(*kernel_balls(*how), strict=True)]
    widened = max(float((1 + arb(problem.rate) * one).abs_upper()) for one in sums)
    with flint.ctx.workprec(KERNEL_PRECISION + min(_MOST_BITS, math.ceil(problem.L * math.log2(widened)))):
        exact = descent_balls(kernel_balls(*how), labels, problem.rate, problem.L)[-1]
        apart = [abs(a - b) for a, b in zip(exact, reached, strict=True)]
        return max(float(one.abs_lower()) for one in apart), max(float(one.abs_upper()) for one in apart)


def rounding_in_balls(ends: Sequence[tuple[float, float]], scale: float) -> tuple[float, str]:
    """What is certain of the errors on some prompts, over the scale, and in words.

    ends: of `distance_from_descent`.  An enclosure that is too wide to decide is no error.
    """
    low, high = (max(column) / scale for column in zip(*ends, strict=True))
    if not (low > ROUNDING or high <= ROUNDING):
        return low, f"balls on {len(ends)} are too wide to tell: {low:.2g} to {high:.2g}"
    return high, f"at most {high:.2g} by balls on {len(ends)}"


@dataclass(frozen=True)
class Convergence:
    """Enclosures of the quantities that decide convergence on one prompt; all fields are balls (Arb).

    smallest, largest: extreme eigenvalues of the symmetric form of the Gram matrix.
    rho: contraction factor of I - rK, max |1 - r lambda|.  limit: the predictor k_q^T K^-1 y.
    constant: C in |f_l(x_q) - limit| <= C rho^l; infinite, like the limit undefined, where K may be singular.
    """

    smallest: arb
    largest: arb
    rho: arb
    limit: arb
    constant: arb

    @property
    def converges(self) -> bool:
        """Whether K is certified to be positive definite and the step size to be small enough."""
        return bool(self.smallest > 0) and bool(self.rho < 1)


def convergence_on(
    heads: Sequence[str],
    points: Sequence[Sequence[float]],
    labels: Sequence[float],
    rate: float,
    scale: float = 1.0,
    normaliser: str = "examples",
) -> Convergence | None:
    """The certificate on one prompt; None for softmax in a sum, whose matrix has no symmetric form.

    scale, normaliser: as `kernel_balls` has them.
    Softmax alone: with E = exp's Gram matrix and D its normalisers the step is I - r D^-1 E, similar to
    I - r S, S = D^-1/2 E D^-1/2, so D^1/2 y and D^-1/2 e_q / D_q take the places of y and k_q.  The same
    holds for any other normalised kernel.
    """
    normalised = any(KERNELS[name].normalised for name in heads)
    if normalised and len(heads) > 1:
        return None
    with flint.ctx.workprec(KERNEL_PRECISION):
        y = [arb(value) for value in labels]
        if normalised:
            similar = _similarities(KERNELS[heads[0]], _inner_products(points, scale))
            sums = _normalisers(similar, normaliser)
            roots = [value.sqrt() for value in sums[:-1]]
            kernel = [
                [value / (a * b) for value, b in zip(row, [*roots, sums[-1]], strict=True)]
                for row, a in zip(similar[:-1], roots, strict=True)
            ]
            y = [value * a for value, a in zip(y, roots, strict=True)]
        else:
            kernel = kernel_balls(heads, points, scale)
        gram = [row[:-1] for row in kernel]
        query = [row[-1] for row in kernel]
        smallest, largest = extreme_eigenvalues(gram)
        step = arb(rate)
        rho = abs(1 - step * smallest).max(abs(1 - step * largest))
        if not smallest > 0:
            return Convergence(smallest, largest, rho, arb("nan"), arb("inf"))
        inverse = arb_mat(gram).solve(arb_mat([list(pair) for pair in zip(query, y, strict=True)]))
        (kk, limit), (_, yy) = (arb_mat([query, y]) * inverse).tolist()
        zero = arb(0)
        return Convergence(smallest, largest, rho, limit, kk.max(zero).sqrt() * yy.max(zero).sqrt())


def posed_convergence(
    problem: FunctionalProblem, heads: Sequence[str], points: _Table, labels: Sequence[float], rate: float
) -> Convergence | None:
    """The certificate on one prompt of these heads, in the problem's width and normaliser."""
    return convergence_on(heads, points, labels, rate, problem.scale, problem.normaliser)


def rate_claim(problem: FunctionalProblem, found: Convergence, drawn: bool = True) -> Claim:
    """Proposition 2 with its constants, on the inputs of the found.

    drawn: whether labels are the Gaussian process of `draw_examples`.  Only then, and without noise and with
    kernels that are covariances, is the limit the Bayes predictor.
    """
    normalised = any(KERNELS[name].normalised for name in problem.heads)
    covariance = all(KERNELS[name].is_semidefinite for name in problem.heads)
    constants = {
        _r: (problem.rate, "step size"),
        _low: (lower_float(found.smallest.lower()), "lower end of the certified enclosure"),
        _high: (upper_float(found.largest.upper()), "upper end of the certified enclosure"),
        _C: (
            upper_float(found.constant.upper()),
            "certified sqrt(s_q^T S^-1 s_q) sqrt(z^T S^-1 z)"
            if normalised
            else "certified sqrt(k_q^T K^-1 k_q) sqrt(y^T K^-1 y): "
            "RKHS norms of the query and of the predictor",
        ),
        L: (problem.L, "layers"),
    }
    return Claim(
        "functional/rate",
        f"icgd, after {SOURCE}, Proposition 2" if normalised else f"{SOURCE}, Proposition 2; constant: icgd",
        "Distance to the Bayes predictor"
        if drawn and covariance and not problem.noise
        else "Distance to the predictor that fits the labels",
        rf"$|f_L(x_q) - {_SYMMETRIC if normalised else 'k_q^T K^{-1} y'}| "
        r"\le C \max(1 - r\lambda_{\min}, r\lambda_{\max} - 1)^L$"
        + (_LETTERS_OF_SYMMETRIC if normalised else "."),
        (f"{'S' if normalised else 'K'} is positive definite on the inputs", "0 < r < 2/lambda_max"),
        "distance",
        "<=",
        _C * sympy.Max(1 - _r * _low, _r * _high - 1) ** L,
        constants,
    )


def exact_mismatch(
    weights: Sequence[Sequence[tuple[_Table, _Table, _Table]]],
    points: _Table,
    labels: Sequence[float],
    kernels: Sequence[_Table],
    rate: float,
    scale: float = 1.0,
) -> str:
    """The first place where layers of (V, B, C), by head, differ from exact descent; "" if they do not.

    kernels: any n x (n+1) values for each head.  The identity is polynomial in them, so floats may stand for
    the values of exp, as exact rationals; that kernels get scale <x_i, x_j> is checked by itself.
    """
    x, y, step = exact_matrix(points), exact_matrix([labels]), to_flint(rate)
    inner = x * x.transpose() * to_flint(scale)
    similar = [exact_matrix(kernel) for kernel in kernels]
    total, coefficients = sum(similar[1:], similar[0]), fmpq_mat(1, len(labels))
    Z = fmpq_mat([*x.transpose().tolist(), [*y.tolist()[0], fmpq(0)]])
    for index, heads in enumerate(weights):
        if len(heads) != len(similar):
            return f"layer {index}: {len(heads)} heads for {len(similar)} kernels"
        masked, after = fmpq_mat([row[:-1] for row in Z.tolist()]), Z
        for (V, B, C), kernel in zip(heads, similar, strict=True):
            b, c = exact_matrix(B), exact_matrix(C)
            if x * b.transpose() * c * x.transpose() != inner:
                factor = "" if scale == 1 else f"{scale!r} "
                return f"layer {index}: <B x_i, C x_j> is not {factor}<x_i, x_j>"
            after += exact_matrix(V) * masked * kernel
        Z = after
        values = fmpq_mat([(coefficients * total).tolist()[0][:-1]])
        coefficients = coefficients + (y - values) * step
        reached = (coefficients * total).tolist()[0]
        expected = [*(a - f for a, f in zip(y.tolist()[0], reached[:-1], strict=True)), -reached[-1]]
        if Z.tolist() != [*x.transpose().tolist(), expected]:
            return f"after layer {index + 1} the stream is not [X; y - f, -f_q]"
    return ""


def distances_from_limit(
    labels: Sequence[Sequence[float]], certificates: Sequence[Convergence | None]
) -> dict[str, list[float]]:
    """The largest distance from the limit of descent after every layer, and its bound, where all converge.

    labels: -f_l(x_q) of every prompt, layer by layer.
    """
    known = [(k, one) for k, one in enumerate(certificates) if one is not None and one.converges]
    if not known or len(known) < len(certificates):
        return {}
    distance, allowed = [], []
    with flint.ctx.workprec(KERNEL_PRECISION):
        for layer, row in enumerate(labels):
            distance.append(max(float(abs(one.limit + arb(row[k])).upper()) for k, one in known))
            allowed.append(max(float((one.constant * one.rho**layer).upper()) for _, one in known))
    number = len(known)
    return {f"distance from the limit, largest of {number}": distance, "certified C rho^l": allowed}
