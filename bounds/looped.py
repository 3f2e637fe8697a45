"""A looped linear transformer (arXiv 2410.11268): contraction on Gaussian data, and the examples it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import flint
import sympy
from flint import arb

from icgd.bounds.claims import Claim, d, epsilon, eta, n
from icgd.bounds.letters import Letters, ProblemError

SOURCE = "arXiv:2410.11268"
_PRECISION = 256

_T, _t, _c = sympy.symbols("T t c", positive=True)
_kappa = sympy.Symbol("kappa", positive=True)

CONDITION = ((sympy.sqrt(n) + sympy.sqrt(d) + _t) / (sympy.sqrt(n) - sympy.sqrt(d) - _t)) ** 2
"""Bound on the condition number of X X^T / n, standard normal X, where sqrt n > sqrt d + t."""

FAILURE = 2 * sympy.exp(-(_t**2) / 2)
"""Bound on the probability that the condition number exceeds CONDITION (Davidson and Szarek 2001)."""

_spread = sympy.sqrt(d) + _t
_beyond = eta * (sympy.sqrt(n) + _spread) ** 2 / n - 1

FACTOR = sympy.Max(1 - eta * (sympy.sqrt(n) - _spread) ** 2 / n, _beyond)
"""Bound on max |1 - eta lambda|, eigenvalues lambda of X^T X / n within (sqrt n -+ (sqrt d + t))^2 / n."""

ALLOWED = 1 / (1 - epsilon ** (1 / _T))
"""The condition number at which T contractions by 1 - 1/kappa leave the fraction epsilon of the error."""

EXAMPLES = sympy.ceiling(
    (sympy.sqrt(d) + _t) ** 2 * ((sympy.sqrt(_kappa) + 1) / (sympy.sqrt(_kappa) - 1)) ** 2
)
"""The number of examples from which CONDITION <= kappa: CONDITION solved for n."""


@dataclass(frozen=True, kw_only=True)
class LoopedProblem(Letters):
    """T loops of one linear-attention block on n examples of least squares in d dimensions.

    eta: step size held in the weights; 0 takes n/(sqrt n + sqrt d + t)^2, at most 1/lambda_max with
    probability 1 - 2 exp(-t^2/2), so that one set of weights serves all prompts.
    c: assumed constant of the earlier requirement n = exp(c T): arXiv 2410.11268 states exp(Omega(T)) only.
    Source: arXiv 2410.11268.  Raises ProblemError.
    """

    d: Annotated[int, "size of an input"] = 4
    n: Annotated[int, "examples in the prompt"] = 64
    T: Annotated[int, "loops of the block"] = 10
    eta: Annotated[float, "step size, 0 for n/(sqrt n + sqrt d + t)^2"] = 0.0
    t: Annotated[float, "deviation: the condition number is bounded with probability 1 - 2 exp(-t^2/2)"] = 2.0
    eps: Annotated[float, "target error after T loops, as a fraction of norm2(w*)"] = 1e-2
    c: Annotated[float, "assumed constant of the earlier requirement n = exp(c T)"] = 1.0

    def __post_init__(self) -> None:
        self.check_count("d", most=256)
        self.check_count("n", most=4096)
        self.check_count("T", most=500)
        self.check_number("eta", 0.0, 1e6)
        self.check_number("t", 0.1, 10.0)
        self.check_number("eps", 1e-12, 1 - 1e-6)
        self.check_number("c", 1e-3, 10.0)
        growth = self.rate * (math.sqrt(self.n) + math.sqrt(self.d) + self.t) ** 2 / self.n
        if growth > 1 and self.T * math.log10(growth) > 100:
            raise ProblemError(
                "eta", self.eta, f"steps of this size overflow after {self.T} loops; take 1 or less"
            )

    @property
    def chosen(self) -> dict[str, float]:
        return {} if self.eta else {"eta": self.rate}

    @property
    def rate(self) -> float:
        """The step size in the weights."""
        root = math.sqrt(self.n) + math.sqrt(self.d) + self.t
        return self.eta or self.n / root**2


def _letters(problem: LoopedProblem) -> dict[sympy.Symbol, tuple[int | float, str]]:
    return {
        d: (problem.d, "size of an input"),
        n: (problem.n, "examples"),
        _T: (problem.T, "loops"),
        _t: (problem.t, "deviation"),
        eta: (problem.rate, "step size"),
        epsilon: (problem.eps, "target error as a fraction of norm2(w*)"),
        _c: (problem.c, "assumed: the source says exp(Omega(T)) and gives no constant"),
    }


def is_conditioned(problem: LoopedProblem) -> bool:
    """Whether sqrt n > sqrt d + t, without which the condition number has no bound."""
    return math.sqrt(problem.n) > math.sqrt(problem.d) + problem.t


def claims(problem: LoopedProblem) -> tuple[Claim, ...]:
    """Sizes, the condition number of Gaussian data, the contraction, and both numbers of examples."""
    problem = LoopedProblem.taken(problem)
    letters = _letters(problem)
    gaussian = ("x_i standard normal", "sqrt n > sqrt d + t")
    condition = CONDITION if is_conditioned(problem) else sympy.oo
    # Without a positive lower bound on the eigenvalues, their lower bound is 0.
    contracted = FACTOR if is_conditioned(problem) else sympy.Max(1, _beyond)

    def claim(
        key: str,
        source: str,
        title: str,
        statement: str,
        hypotheses: tuple[str, ...],
        quantity: str,
        relation: str,
        bound: sympy.Expr,
    ) -> Claim:
        return Claim(
            f"looped/{key}", source, title, statement, hypotheses, quantity, relation, bound, letters  # type: ignore[arg-type]
        )  # fmt: skip

    return (
        claim(
            "steps",
            f"{SOURCE}, abstract",
            "Loops are steps",
            r"After $T$ loops the label row holds $y_i - w_T \cdot x_i$.",
            (),
            "defect",
            "==",
            sympy.Integer(0),
        ),
        claim(
            "parameters",
            "icgd",
            "Entries of P and Q, whatever T",
            r"$2 (d+1)^2$ entries.",
            (),
            "parameters",
            "==",
            2 * (d + 1) ** 2,
        ),
        claim(
            "condition",
            "Davidson and Szarek 2001",
            "Condition number of Gaussian data",
            r"$\kappa \le ((\sqrt n + \sqrt d + t)/(\sqrt n - \sqrt d - t))^2$.",
            gaussian,
            "condition",
            "<=",
            condition,
        ),
        claim(
            "failure",
            "Davidson and Szarek 2001",
            "Probability of a larger one",
            r"At most $2 e^{-t^2/2}$.",
            gaussian,
            "probability",
            "<=",
            FAILURE,
        ),
        claim(
            "contraction",
            f"{SOURCE}, abstract; constants: icgd",
            "Error after T loops",
            r"$\|w_T - w^*\| \le \max(1 - \eta \lambda_{\min}, \eta \lambda_{\max} - 1)^T \|w^*\|$, "
            r"with $(\sqrt n \mp (\sqrt d + t))^2 / n$ for the extreme eigenvalues; "
            r"no contraction where it is 1 or more.",
            (
                "eigenvalues of X^T X / n in (sqrt n -+ (sqrt d + t))^2 / n",
                "for x_i standard normal: with probability 1 - 2 exp(-t^2/2) or more",
            ),
            "error",
            "<=",
            contracted**_T,
        ),
        claim(
            "examples",
            f"{SOURCE}, abstract; constants: icgd",
            "Examples for the target error",
            r"$n \ge (\sqrt d + t)^2 ((\sqrt\kappa + 1)/(\sqrt\kappa - 1))^2$, "
            r"$\kappa = 1/(1 - \epsilon^{1/T})$.",
            gaussian,
            "examples needed",
            "==",
            EXAMPLES.subs(_kappa, ALLOWED),
        ),
        claim(
            "examples-before",
            f"{SOURCE}, abstract on earlier work; constant assumed by icgd",
            "Earlier requirement",
            r"$n \ge e^{c T}$.",
            ("c is assumed",),
            "examples needed",
            "==",
            sympy.ceiling(sympy.exp(_c * _T)),
        ),
    )


def examples_needed(d: int, T: int, eps: float, t: float) -> int:
    """The fewest examples with error at most eps norm2(w*) after T loops, by CONDITION, in float64.

    >>> examples_needed(4, 10, 0.01, 2.0)
    269
    """
    kappa = 1 / (1 - eps ** (1 / T))
    root = math.sqrt(kappa)
    return math.ceil((math.sqrt(d) + t) ** 2 * ((root + 1) / (root - 1)) ** 2)


def condition_bound(d: int, n: int, t: float) -> float:
    """CONDITION in float64, infinite where it does not apply."""
    gap = math.sqrt(n) - math.sqrt(d) - t
    return ((math.sqrt(n) + math.sqrt(d) + t) / gap) ** 2 if gap > 0 else math.inf


def eigenvalue_bounds(problem: LoopedProblem) -> tuple[arb, arb]:
    """Balls around the smallest and largest eigenvalue of X^T X / n that FACTOR allows."""
    with flint.ctx.workprec(_PRECISION):
        root, spread = arb(problem.n).sqrt(), arb(problem.d).sqrt() + arb(problem.t)
        low = (root - spread).max(arb(0))
        return low**2 / problem.n, (root + spread) ** 2 / problem.n
