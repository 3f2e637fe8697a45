"""Functional gradient descent by attention (arXiv 2312.06528): kernels, and certified rates on given inputs.

Everything numeric is ball arithmetic (Arb): inputs are the exact rationals that their floats are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import flint
import sympy
from flint import arb, arb_mat, fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.bounds.algebra.spectra import extreme_eigenvalues
from icgd.bounds.claims import Claim, L, d, n
from icgd.bounds.functions.scalar import lower_float, upper_float
from icgd.bounds.kernel import KERNELS, Kernel
from icgd.bounds.letters import Letters, ProblemError

SOURCE = "arXiv:2312.06528"
COMPARED = ("linear", "exp", "softmax", "relu")
"""The kernels that the paper speaks of, by name: what is said of particular ones is said of these."""

ROUNDING = 1e-12
"""How far, relative to the labels, a float64 run may be from exact descent: the claim of equality."""

_PRECISION = 320
_EXPONENT = 40  # exp(radius^2) and its Gram matrix stay far inside float64

Row = list[arb]
Matrix = list[Row]

_r, _C, _rho = sympy.symbols("r C rho", positive=True)
_low, _high, _peak = sympy.symbols("lambda_min lambda_max k_max", positive=True)
_heads = sympy.Symbol("H", integer=True, positive=True)


@dataclass(frozen=True, kw_only=True)
class FunctionalProblem(Letters):
    """L layers of attention with the given kernels, on n labelled points of a sphere.

    kernel: one or more names of `icgd.bounds.kernel.KERNELS`, one head each, joined by "+".
    r: step size of every layer; 0 takes the largest 1/(upper bound on lambda_max) that holds for all inputs.
    Source: arXiv 2312.06528, Propositions 1 to 3.  Raises ProblemError.

    >>> FunctionalProblem(kernel="linear+exp").heads
    ('linear', 'exp')
    """

    d: Annotated[int, "size of an input"] = 4
    n: Annotated[int, "labelled examples in the prompt"] = 12
    L: Annotated[int, "layers, each a step of functional gradient descent"] = 40
    r: Annotated[float, "step size, 0 for 1/(largest eigenvalue that n points of the sphere can have)"] = 0.0
    radius: Annotated[float, "2-norm of the inputs"] = 1.0
    kernel: Annotated[str, f"heads of each layer: {KERNELS.names}, joined by +"] = "exp"

    def __post_init__(self) -> None:
        self.check_count("d", most=1024)
        self.check_count("n", most=128)
        self.check_count("L", most=2000)
        self.check_number("r", 0.0, 1e6)
        self.check_number("radius", 1e-3, math.sqrt(_EXPONENT))
        names = self.kernel.split("+") if isinstance(self.kernel, str) else []
        if not 1 <= len(names) <= 8 or any(name not in KERNELS for name in names):
            raise ProblemError("kernel", self.kernel, f"up to 8 of {KERNELS.names}, joined by +")
        for name in names:
            _check_size(name, self.radius, self.n)

    @property
    def heads(self) -> tuple[str, ...]:
        """The kernel of each head."""
        return tuple(self.kernel.split("+"))

    @property
    def chosen(self) -> dict[str, float]:
        return {} if self.r else {"r": self.rate}

    @property
    def rate(self) -> float:
        """The step size that every layer takes."""
        return self.r or 1 / (self.n * peak(self.heads, self.radius, self.n)) * (1 - 2**-50)


_MOST = 1e100
"""What a kernel may reach, so that its Gram matrices stay far inside float64."""


def _check_size(name: str, radius: float, points: int) -> None:
    """Raises ProblemError for a kernel that is not finite, or too large, at this radius."""
    reach = f"for |s| <= {radius**2:g}"
    try:
        largest = KERNELS[name].largest(radius, points)
    except ValueError as error:
        raise ProblemError(
            "kernel", name, f"it is to be finite {reach}, and positive if normalised"
        ) from error
    if not largest <= _MOST:
        raise ProblemError("kernel", name, f"it reaches {largest:.3g} {reach}, beyond {_MOST:g}")


def peak(heads: Sequence[str], radius: float, points: int) -> float:
    """A bound on lambda_max / n over all inputs of that norm, summed over heads.

    >>> peak(("linear", "exp"), 1.0, 5)
    3.718281828459045
    """
    return sum(KERNELS[name].largest(radius, points) for name in heads)


def claims(problem: FunctionalProblem) -> tuple[Claim, ...]:
    """What holds for all inputs; `rate_claim` adds what is certified on given ones."""
    letters = {
        d: (problem.d, "size of an input"),
        n: (problem.n, "examples"),
        L: (problem.L, "layers"),
        _heads: (len(problem.heads), "heads of a layer, one a kernel"),
        _peak: (
            peak(problem.heads, problem.radius, problem.n),
            "largest size of K at this radius, 1/n for softmax, summed over heads",
        ),
    }

    def claim(
        key: str, source: str, title: str, statement: str, quantity: str, relation: str, bound: sympy.Expr
    ) -> Claim:
        hypotheses = ("B = C = I", "V = -r e e^T on the label row")
        return Claim(
            f"functional/{key}", source, title, statement, hypotheses, quantity, relation, bound, letters  # type: ignore[arg-type]
        )  # fmt: skip

    return (
        claim(
            "descent",
            f"{SOURCE}, Proposition 1",
            "Layers are steps",
            r"$f_{l+1} = f_l + r \sum_i (y_i - f_l(x_i)) K(\cdot, x_i)$.",
            "defect",
            "==",
            sympy.Integer(0),
        ),
        claim(
            "rounding",
            "icgd",
            "Float64 run against exact descent",
            r"At most $10^{-12}$.",
            "rounding",
            "<=",
            sympy.Rational(1, 10**12),
        ),
        claim(
            "parameters",
            "icgd",
            "Entries of V, B, C",
            r"$L H ((d+1)^2 + 2 d^2)$.",
            "parameters",
            "==",
            L * _heads * ((d + 1) ** 2 + 2 * d**2),
        ),
        claim(
            "largest-eigenvalue",
            "icgd",
            "Largest eigenvalue of the Gram matrix",
            r"At most $n k_{\max}$.",
            "lambda_max",
            "<=",
            n * _peak,
        ),
    )


def rate_claim(problem: FunctionalProblem, certificate: Certificate) -> Claim:
    """Proposition 2 with its constants, on the inputs of the certificate."""
    constants = {
        _r: (problem.rate, "step size"),
        _low: (lower_float(certificate.smallest.lower()), "lower end of the certified enclosure"),
        _high: (upper_float(certificate.largest.upper()), "upper end of the certified enclosure"),
        _C: (
            upper_float(certificate.constant.upper()),
            "certified sqrt(k_q^T K^-1 k_q) sqrt(y^T K^-1 y): RKHS norms of the query and of the predictor",
        ),
        L: (problem.L, "layers"),
    }
    return Claim(
        "functional/rate",
        f"{SOURCE}, Proposition 2; constant: icgd",
        "Distance to the Bayes predictor",
        r"$|f_L(x_q) - k_q^T K^{-1} y| \le C \max(1 - r\lambda_{\min}, r\lambda_{\max} - 1)^L$.",
        ("K is positive definite on the inputs", "0 < r < 2/lambda_max"),
        "distance",
        "<=",
        _C * sympy.Max(1 - _r * _low, _r * _high - 1) ** L,
        constants,
    )


def kernel_balls(heads: Sequence[str], points: Sequence[Sequence[float]]) -> Matrix:
    """h[i][j], key i of the n examples and token j of all n+1 (the query is last), summed over heads.

    softmax: exp normalised over all n+1 keys, the query's own included (**reading**: the module of the paper
    normalises the columns of h over all tokens, and the mask acts on values only).
    """
    inner = _inner_products(points)
    total = [[arb(0) for _ in row] for row in inner[:-1]]
    for kernel in (KERNELS[name] for name in heads):
        similar = _similarities(kernel, inner)
        sums = _normalisers(similar) if kernel.normalised else [arb(1)] * len(inner)
        for row, values in zip(total, similar, strict=False):
            for j, value in enumerate(values):
                row[j] += value / sums[j]
    return total


def _inner_products(points: Sequence[Sequence[float]]) -> Matrix:
    exact = [[arb(value) for value in point] for point in points]
    return [[sum((a * b for a, b in zip(u, v, strict=True)), arb(0)) for v in exact] for u in exact]


def _similarities(kernel: Kernel, inner: Matrix) -> Matrix:
    return [[kernel.k.ball(value) for value in row] for row in inner]


def _normalisers(similar: Matrix) -> Row:
    return [sum(column, arb(0)) for column in zip(*similar, strict=True)]


def descent_balls(kernel: Matrix, labels: Sequence[float], rate: float, steps: int) -> list[Row]:
    """The label row after 0..steps steps: y_i - f_l(x_i), and last -f_l(x_q)."""
    row = [*(arb(value) for value in labels), arb(0)]
    matrix, step, path = arb_mat(kernel), arb(rate), [row]
    for _ in range(steps):
        change = (arb_mat([row[:-1]]) * matrix).tolist()[0]
        row = [value - step * moved for value, moved in zip(row, change, strict=True)]
        path.append(row)
    return path


@dataclass(frozen=True)
class Certificate:
    """Enclosures of what decides convergence on one prompt; all fields are balls (Arb).

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
        """Whether K is certified positive definite and the step short enough."""
        return bool(self.smallest > 0) and bool(self.rho < 1)


def certify(
    heads: Sequence[str], points: Sequence[Sequence[float]], labels: Sequence[float], rate: float
) -> Certificate | None:
    """The certificate on one prompt; None for softmax in a sum, whose matrix has no symmetric form.

    Softmax alone: with E = exp's Gram matrix and D its normalisers the step is I - r D^-1 E, similar to
    I - r S, S = D^-1/2 E D^-1/2, so D^1/2 y and D^-1/2 e_q / D_q take the places of y and k_q.  The same
    holds for any other normalised kernel.
    """
    normalised = any(KERNELS[name].normalised for name in heads)
    if normalised and len(heads) > 1:
        return None
    with flint.ctx.workprec(_PRECISION):
        y = [arb(value) for value in labels]
        if normalised:
            similar = _similarities(KERNELS[heads[0]], _inner_products(points))
            sums = _normalisers(similar)
            roots = [value.sqrt() for value in sums[:-1]]
            kernel = [
                [value / (a * b) for value, b in zip(row, [*roots, sums[-1]], strict=True)]
                for row, a in zip(similar[:-1], roots, strict=True)
            ]
            y = [value * a for value, a in zip(y, roots, strict=True)]
        else:
            kernel = kernel_balls(heads, points)
        gram = [row[:-1] for row in kernel]
        query = [row[-1] for row in kernel]
        smallest, largest = extreme_eigenvalues(gram)
        step = arb(rate)
        rho = abs(1 - step * smallest).max(abs(1 - step * largest))
        if not smallest > 0:
            return Certificate(smallest, largest, rho, arb("nan"), arb("inf"))
        inverse = arb_mat(gram).solve(arb_mat([list(pair) for pair in zip(query, y, strict=True)]))
        (kk, limit), (_, yy) = (arb_mat([query, y]) * inverse).tolist()
        zero = arb(0)
        return Certificate(smallest, largest, rho, limit, kk.max(zero).sqrt() * yy.max(zero).sqrt())


def descent_identity() -> bool:
    """Two layers on two examples and a query, symbols for everything, against descent on coefficients."""
    K = sympy.Matrix(2, 3, sympy.symbols("k:6"))
    y, (r, s) = sympy.Matrix(1, 2, sympy.symbols("y:2")), sympy.symbols("r s")
    row = y.row_join(sympy.zeros(1, 1))
    for rate in (r, s):  # the label row of Z + V Z M h
        row = row - rate * row[:, :2] * K
    coefficients = r * y + s * (y - r * y * K[:, :2])
    expected = (y - coefficients * K[:, :2]).row_join(-coefficients * K[:, 2:])
    return bool((row - expected).expand().is_zero_matrix)


Table = Sequence[Sequence[float]]


def exact_mismatch(
    weights: Sequence[Sequence[tuple[Table, Table, Table]]],
    points: Table,
    labels: Sequence[float],
    kernels: Sequence[Table],
    rate: float,
) -> str:
    """Where layers of (V, B, C), by head, first leave exact descent on the coefficients; "" if nowhere.

    kernels: any n x (n+1) values for each head.  The identity is polynomial in them, so floats stand in for
    exp, as exact rationals; that a kernel gets the argument <x_i, x_j> is a comparison of its own.
    """
    x, y, step = exact_matrix(points), exact_matrix([labels]), to_flint(rate)
    similar = [exact_matrix(kernel) for kernel in kernels]
    total, coefficients = sum(similar[1:], similar[0]), fmpq_mat(1, len(labels))
    Z = fmpq_mat([*x.transpose().tolist(), [*y.tolist()[0], fmpq(0)]])
    for index, heads in enumerate(weights):
        if len(heads) != len(similar):
            return f"layer {index}: {len(heads)} heads for {len(similar)} kernels"
        masked, after = fmpq_mat([row[:-1] for row in Z.tolist()]), Z
        for (V, B, C), kernel in zip(heads, similar, strict=True):
            b, c = exact_matrix(B), exact_matrix(C)
            if x * b.transpose() * c * x.transpose() != x * x.transpose():
                return f"layer {index}: <B x_i, C x_j> is not <x_i, x_j>"
            after += exact_matrix(V) * masked * kernel
        Z = after
        values = fmpq_mat([(coefficients * total).tolist()[0][:-1]])
        coefficients = coefficients + (y - values) * step
        reached = (coefficients * total).tolist()[0]
        expected = [*(a - f for a, f in zip(y.tolist()[0], reached[:-1], strict=True)), -reached[-1]]
        if Z.tolist() != [*x.transpose().tolist(), expected]:
            return f"after layer {index + 1} the stream is not [X; y - f, -f_q]"
    return ""
