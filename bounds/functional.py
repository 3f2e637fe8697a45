"""Functional gradient descent by attention (arXiv 2312.06528): what holds for all inputs of a radius."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import sympy

from icgd.bounds.claims import Claim, L, d, n
from icgd.bounds.kernel import KERNELS
from icgd.bounds.letters import Letters, ProblemError

SOURCE = "arXiv:2312.06528"
NORMALISERS = {
    "examples": "over the n examples: the query is masked before the softmax",
    "tokens": "over all n + 1 tokens: the query is masked after the softmax",
}
"""What a normalised kernel is divided by the sum over; the matrices are the same for both."""

COMPARED = ("linear", "exp", "softmax", "relu")
"""The similarities of (3.12) in the paper, of which relu and softmax are no kernels; claims name these."""

ROUNDING = 1e-12
"""How far, relative to the labels, a float64 run may be from exact descent: the claim of equality."""

_EXPONENT = 40  # exp(radius^2) and its Gram matrix stay far inside float64

_peak = sympy.Symbol("k_max", positive=True)
_heads = sympy.Symbol("H", integer=True, positive=True)


@dataclass(frozen=True, kw_only=True)
class FunctionalProblem(Letters):
    """L layers of attention with the given kernels, on n labelled points of a sphere.

    kernel: one or more names of `icgd.bounds.kernel.KERNELS`, one head each, joined by "+".
    r: step size of every layer; 0 takes the largest 1/(upper bound on lambda_max) that holds for all inputs.
    sigma: K(x, x') = k(<x, x'> / sigma^2).  normaliser: of `NORMALISERS`.  noise: what labels of examples
    have in addition to the Gaussian process; that of the query has none.
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
    sigma: Annotated[float, "width of the kernel, K(x, x') = k(<x, x'>/sigma^2)"] = 1.0
    normaliser: Annotated[
        str,
        "what softmax sums over: examples (the query is masked before it), or tokens (after it)",
    ] = "examples"
    noise: Annotated[float, "standard deviation of the noise on drawn labels"] = 0.0

    def __post_init__(self) -> None:
        self.check_count("d", most=1024)
        self.check_count("n", most=128)
        self.check_count("L", most=2000)
        self.check_number("r", 0.0, 1e6)
        self.check_number("sigma", 1e-3, 1e3)
        self.check_number("noise", 0.0, 1e3)
        self.check_number("radius", 1e-3, 1e3)
        if not 1e-3 <= self.reach <= math.sqrt(_EXPONENT):
            allowed = f"radius/sigma, here {self.reach:g}, is between 0.001 and {math.sqrt(_EXPONENT):g}"
            raise ProblemError("radius", self.radius, allowed)
        if self.normaliser not in NORMALISERS:
            raise ProblemError("normaliser", self.normaliser, f"it is {' or '.join(NORMALISERS)}")
        names = self.kernel.split("+") if isinstance(self.kernel, str) else []
        if not 1 <= len(names) <= 8 or any(name not in KERNELS for name in names):
            raise ProblemError("kernel", self.kernel, f"up to 8 of {KERNELS.names}, joined by +")
        for name in names:
            _check_size(name, self.reach, self.n)

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
        return self.r or 1 / (self.n * peak(self.heads, self.reach, self.n)) * (1 - 2**-50)

    @property
    def reach(self) -> float:
        """The 2-norm of inputs over the width: k is evaluated between minus and plus its square."""
        return self.radius / self.sigma

    @property
    def scale(self) -> float:
        """1/sigma^2, the float that multiplies inner products, and is exact from here on."""
        return 1 / self.sigma**2


_MOST = 1e100
"""The largest size of a kernel, so that its Gram matrices stay far inside float64."""


def _check_size(name: str, radius: float, points: int) -> None:
    """Raises ProblemError for a kernel that is not finite, or too large, at this radius."""
    reach = f"for |s| <= {radius**2:g}"
    try:
        largest = KERNELS[name].largest(radius, points)
    except ValueError as error:
        raise ProblemError(
            "kernel", name, f"it must be finite {reach}, and positive if normalised"
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
    """The claims that hold for all inputs of the given radius."""
    problem = FunctionalProblem.taken(problem)
    width = problem.sigma != 1
    letters = {
        d: (problem.d, "size of an input"),
        n: (problem.n, "examples"),
        L: (problem.L, "layers"),
        _heads: (len(problem.heads), "heads of a layer, one per kernel"),
        _peak: (
            peak(problem.heads, problem.reach, problem.n),
            "largest size of K at this radius and width, 1/n for softmax, summed over heads",
        ),
    }

    def claim(
        key: str, source: str, title: str, statement: str, quantity: str, relation: str, bound: sympy.Expr
    ) -> Claim:
        hypotheses = ("B = I/sigma^2, C = I" if width else "B = C = I", "V = -r e e^T on the label row")
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
            r"At most $n k_{\max}$, $k_{\max}$ at inner products up to $(\mathrm{radius}/\sigma)^2$.",
            "lambda_max",
            "<=",
            n * _peak,
        ),
    )


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
