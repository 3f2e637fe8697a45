"""Linear attention as preconditioned gradient descent (arXiv 2306.00297): problem, statement and claims."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

import sympy
from flint import Ordering, fmpq, fmpq_mpoly_ctx

from icgd.bounds.algebra.best_steps import best_steps
from icgd.bounds.algebra.rational_axes import rational_axes
from icgd.bounds.algebra.ring_matrices import Ring
from icgd.bounds.claims import Claim, Constants, n
from icgd.bounds.letters import Letters, ProblemError

SOURCE = "arXiv:2306.00297"
ONE_STEP = "preconditioned/theorem-3/one-step"
ONE_STEP_ON_SPHERE = "preconditioned/sphere/one-step"
MOST_TRANSFORMED = 3
"""Depth up to which Theorem 4's loss is written out: its degree in C triples from layer to layer."""

_NOISELESS = "labels w.x without noise"
_RANGE = "eigenvalues from 1/100 to 100, within a factor 100"

_EXPONENT = re.compile(r"_|[eE][+-]?\d{3}")
"""Matches a rational with an exponent too large to evaluate, or an underscore, which could hide one."""


@dataclass(frozen=True, kw_only=True)
class PreconditionedProblem(Letters):
    """In-context linear regression by L layers of linear attention.

    S: eigenvalues of the covariance, rational, separated by commas; one value stands for all d.
    "auto" takes 2,1/2 at d = 2 and 1 elsewhere.  Their eigenvectors are `rotation`, a fixed rational one, so
    that S is not diagonal.  Rows separated by semicolons are the covariance matrix itself.
    prior: of w, "inverse" for N(0, S^-1), as in Theorem 3, or "identity" for N(0, I), as in Theorem 1; it
    decides which of the two minimisers is built, and every theorem is judged under its own.
    covariates: "normal" for x ~ N(0, S); "sphere" for x = S^(1/2) u with u uniform on the sphere of radius
    sqrt(d), so that S is the covariance of x, too: no theorem's case, and other minimisers.
    Raises ProblemError.

    >>> PreconditionedProblem(S="2,1/2").eigenvalues
    (Fraction(2, 1), Fraction(1, 2))
    >>> PreconditionedProblem(S="2,0; 0,1/2").covariance == [[2, 0], [0, Fraction(1, 2)]]
    True
    """

    d: Annotated[int, "size of an input x"] = 2
    n: Annotated[int, "in-context examples"] = 10
    L: Annotated[int, "layers, the depth up to which Theorems 3 and 4 are judged"] = 3
    S: Annotated[
        str,
        "eigenvalues of the covariance of x, such as 2,1/2, on fixed eigenvectors that are not the axes; "
        "one value stands for all d; auto takes 2,1/2 at d = 2, else 1; or the whole matrix, 2,0;0,1/2",
    ] = "auto"
    prior: Annotated[
        str, "of w, for what is built: inverse (S^-1, Theorem 3) or identity (Theorem 1, with --L 1)"
    ] = "inverse"
    covariates: Annotated[
        str,
        "normal, as in the theorems, or sphere: x is S^(1/2) times a uniform vector of length sqrt(d); for "
        "vectors of length 1 give S divided by d",
    ] = "normal"

    def __post_init__(self) -> None:
        self.check_count("d", most=5)
        self.check_count("n", most=10_000)
        self.check_count("L", most=8)
        if self.prior not in ("inverse", "identity"):
            raise ProblemError("prior", self.prior, "it is inverse or identity")
        if self.prior == "identity" and self.L != 1:
            raise ProblemError("prior", self.prior, f"Theorem 1 has one layer, and L = {self.L}: take L = 1")
        if self.covariates not in ("normal", "sphere"):
            raise ProblemError("covariates", self.covariates, "it is normal or sphere")
        if self.covariates == "sphere" and min(self.d, self.n) < 2:
            why = "it needs d and n of 2 or more: below, one step leaves nothing to further ones"
            raise ProblemError("covariates", self.covariates, why)
        wanted = f"{self.d} rationals (one stands for all) are needed, {_RANGE}"
        try:
            given = self.S.tolist() if hasattr(self.S, "tolist") else self.S
            text = _written(given)
            if ";" in text:
                wanted = (
                    f"a symmetric {self.d} x {self.d} matrix, rows separated by ;, is needed, with {_RANGE}"
                )
            if text == "auto":
                text = "2,1/2" if self.d == 2 else "1"
            if len(text) > (200 if ";" not in text else 800) or _EXPONENT.search(text):
                raise ProblemError("S", self.S, wanted)
            values = list(_axes_of(text)[0] if ";" in text else map(Fraction, text.split(",")))
        except (ValueError, ZeroDivisionError):
            raise ProblemError("S", self.S, wanted) from None
        if len(values) not in (1, self.d) or not all(Fraction(1, 100) <= v <= 100 for v in values):
            raise ProblemError("S", self.S, wanted)
        if max(values) > 100 * min(values):
            raise ProblemError("S", self.S, wanted)
        object.__setattr__(self, "S", text)

    @property
    def eigenvalues(self) -> tuple[Fraction, ...]:
        """The d eigenvalues of S."""
        if ";" in self.S:
            return _axes_of(self.S)[0]
        values = tuple(Fraction(part) for part in self.S.split(","))
        return values if len(values) == self.d else values * self.d

    @property
    def rotation(self) -> tuple[tuple[Fraction, ...], ...]:
        """Orthonormal eigenvectors of S as columns: (I - K)(I + K)^-1, K antisymmetric with 1/2 above.

        Those of a whole matrix instead, where S is one.
        """
        if ";" in self.S:
            return _axes_of(self.S)[1]
        half = sympy.Rational(1, 2)
        K = sympy.Matrix([[half * ((j > i) - (j < i)) for j in range(self.d)] for i in range(self.d)])
        R = (sympy.eye(self.d) - K) * (sympy.eye(self.d) + K).inv()
        return tuple(tuple(Fraction(int(x.p), int(x.q)) for x in R.row(i)) for i in range(self.d))

    def spectral(self, values: tuple[Ring, ...]) -> list[list[Ring]]:
        """The matrix with these eigenvalues on the eigenvectors of S, exactly for exact values."""
        R = self.rotation
        return [
            [sum(R[i][k] * R[j][k] * values[k] for k in range(self.d)) for j in range(self.d)]
            for i in range(self.d)
        ]

    @property
    def covariance(self) -> list[list[Fraction]]:
        """The covariance matrix S; one that was given whole is at most 1e-15 of its size away."""
        return self.spectral(self.eigenvalues)


def _written(given: object) -> str:
    """S as text: numbers with commas between, rows with semicolons between."""
    if isinstance(given, list | tuple):
        rows = [row.tolist() if hasattr(row, "tolist") else row for row in given]
        nested = any(isinstance(row, list | tuple) for row in rows)
        return (";" if nested else ",").join(map(_written, rows) if nested else map(str, rows))
    return str(given)


@lru_cache(maxsize=64)
def _axes_of(text: str) -> tuple[tuple[Fraction, ...], tuple[tuple[Fraction, ...], ...]]:
    """Eigenvalues and eigenvectors, as columns, of a matrix in rows; raises ValueError for a bad one."""
    rows = [[Fraction(part) for part in row.split(",")] for row in text.split(";")]
    d = len(rows)
    square = all(len(row) == d for row in rows)
    if not square or any(rows[i][j] != rows[j][i] for i in range(d) for j in range(i)):
        raise ValueError("a symmetric matrix is needed")
    return rational_axes(rows)


def _inverse_preconditioner(eigenvalue: Ring, trace: Ring, inverse_n: Ring) -> Ring:
    return (1 + inverse_n) * eigenvalue + inverse_n * trace


def _inverse_eigenvalue(eigenvalue: Ring, inverse: Ring) -> Ring:
    return inverse


@dataclass(frozen=True)
class Statement:
    """What the theorems claim about the matrices, in the eigenbasis of S; over any ring.

    preconditioner: (eigenvalue of S, tr S, 1/n) -> the eigenvalue of A^-1 at Theorem 1's minimiser,
    (n+1)/n eigenvalue + tr(S)/n.  family: (eigenvalue of S, its inverse) -> the eigenvalue of A_l / a_l in
    Theorems 3 and 4, the inverse.  sign: Q = sign [[A, 0], [0, 0]].  masked: the query is not an example.
    """

    preconditioner: Callable[[Ring, Ring, Ring], Ring] = _inverse_preconditioner
    family: Callable[[Ring, Ring], Ring] = _inverse_eigenvalue
    sign: int = -1
    masked: bool = True


AS_PUBLISHED = Statement()
"""The theorems as published, with the signs that Lemma 1 needs."""


def statement_for(problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED) -> Statement:
    """The statement for the problem's inputs: on the sphere with its own minimiser, as icgd derives it.

    >>> on_sphere = statement_for(PreconditionedProblem(d=2, covariates="sphere"))
    >>> on_sphere.preconditioner(Fraction(2), Fraction(5, 2), Fraction(1, 10))  # 2 + 5/2 / 20
    Fraction(17, 8)
    """
    if problem.covariates == "normal" or statement.preconditioner is not _inverse_preconditioner:
        return statement
    d = problem.d

    def preconditioner(eigenvalue: Ring, trace: Ring, inverse_n: Ring) -> Ring:
        return eigenvalue + inverse_n * ((d - 2) * eigenvalue + d * trace) / (d + 2)

    return replace(statement, preconditioner=preconditioner)


def minimiser(problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED) -> list[list[Fraction]]:
    """The A of least loss of one layer, w ~ N(0, I), exactly: Theorem 1's, or that for inputs on the sphere.

    >>> minimiser(PreconditionedProblem(d=1, n=4, S="1"))  # 1 / (5/4 + 1/4)
    [[Fraction(2, 3)]]
    """
    trace, inverse_n = sum(problem.eigenvalues), Fraction(1, problem.n)
    statement = statement_for(problem, statement)
    return problem.spectral(
        tuple(1 / statement.preconditioner(value, trace, inverse_n) for value in problem.eigenvalues)
    )


def family_direction(
    problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED
) -> list[list[Fraction]]:
    """Theorems 3 and 4's A_l / a_l, exactly: S^-1."""
    return problem.spectral(tuple(statement.family(v, 1 / v) for v in problem.eigenvalues))


def claims(problem: PreconditionedProblem) -> tuple[Claim, ...]:
    """The claims about losses and sizes, with explicit constants; that of one layer first."""
    problem = PreconditionedProblem.taken(problem)
    symbols = sympy.symbols(f"lambda1:{problem.d + 1}", positive=True)
    d, L = sympy.symbols("d L", integer=True, positive=True)
    sizes: dict[sympy.Symbol, tuple[int | float, str]] = {
        symbol: (_plain(value), "eigenvalue of S")
        for symbol, value in zip(symbols, problem.eigenvalues, strict=True)
    }
    sizes |= {
        n: (problem.n, "in-context examples"),
        d: (problem.d, "size of an input"),
        L: (problem.L, "layers"),
    }
    losses = _losses_on_sphere if problem.covariates == "sphere" else _losses
    parameters = Claim(
        "preconditioned/parameters",
        "icgd",
        "Entries of (P, Q)",
        "$2 L (d+1)^2$.",
        (),
        "parameters",
        "==",
        2 * L * (d + 1) ** 2,
        sizes,
    )
    return (*losses(problem, symbols, sizes), parameters)


def _losses(
    problem: PreconditionedProblem, symbols: tuple[sympy.Symbol, ...], sizes: Constants
) -> tuple[Claim, ...]:
    """The least losses for x ~ N(0, S)."""
    trace, d = sum(symbols), sympy.Symbol("d", integer=True, positive=True)
    one = sum(value - value**2 / (value * (n + 1) / n + trace / n) for value in symbols)
    exact = best_steps(problem.n, problem.d, problem.L).loss
    gaussian = ("x ~ N(0, S), S positive definite", _NOISELESS)
    return (
        Claim(
            "preconditioned/theorem-1/loss",
            f"{SOURCE}, Theorem 1; value: icgd",
            "Least expected loss of one layer",
            r"$\min_{P,Q} \mathbb{E}(w \cdot x_{n+1} - \hat y)^2"
            r" = \sum_j \lambda_j - \lambda_j^2 / (\tfrac{n+1}{n}\lambda_j + \tfrac1n \mathrm{tr} S)$.",
            ("x ~ N(0, S)", _NOISELESS, "w ~ N(0, I)"),
            "loss",
            "==",
            one,
            sizes,
        ),
        Claim(
            "preconditioned/theorem-3/loss",
            f"{SOURCE}, Theorem 3; value: icgd",
            "Least expected loss of L steps A_l = a_l S^-1",
            r"$\min_a \mathbb{E}\,\mathrm{tr}\prod_l (I - a_l C)^2$.",
            (*gaussian, "w ~ N(0, S^-1)"),
            "loss",
            "==",
            sympy.Rational(exact.numerator, exact.denominator),
            sizes,
        ),
        Claim(
            ONE_STEP,
            "icgd",
            "Best loss of one step, a = n / (n + d + 1)",
            r"$d (d+1) / (n+d+1)$ at $L = 1$.",
            (*gaussian, "w ~ N(0, S^-1)"),
            "loss",
            "==",
            d * (d + 1) / (n + d + 1),
            sizes,
        ),
    )


def _losses_on_sphere(
    problem: PreconditionedProblem, symbols: tuple[sympy.Symbol, ...], sizes: Constants
) -> tuple[Claim, ...]:
    """The least losses for x = S^(1/2) u, u uniform on the sphere of radius sqrt(d); no theorem's."""
    trace, d = sum(symbols), sympy.Symbol("d", integer=True, positive=True)
    one = sum(v - v**2 / (v + ((d - 2) * v + d * trace) / (n * (d + 2))) for v in symbols)
    exact = best_steps(problem.n, problem.d, problem.L, "sphere").loss
    sphere = ("x = S^(1/2) u, u uniform on the sphere of radius sqrt(d)", "S positive definite", _NOISELESS)
    return (
        Claim(
            "preconditioned/sphere/one-layer",
            "icgd",
            "Least expected loss of one layer, inputs on the sphere",
            r"$\min_{P,Q} \mathbb{E}(w \cdot x_{n+1} - \hat y)^2 = \sum_j \lambda_j - \lambda_j^2 /"
            r" (\lambda_j + \tfrac{(d-2)\lambda_j + d\,\mathrm{tr} S}{n(d+2)})$.",
            (*sphere, "w ~ N(0, I)"),
            "loss",
            "==",
            one,
            sizes,
        ),
        Claim(
            "preconditioned/sphere/layers",
            "icgd",
            "Least expected loss of L steps A_l = a_l S^-1, inputs on the sphere",
            r"$\min_a \mathbb{E}\,\mathrm{tr}\prod_l (I - a_l C)^2$, $C$ of the vectors $u$.",
            (*sphere, "w ~ N(0, S^-1)"),
            "loss",
            "==",
            sympy.Rational(exact.numerator, exact.denominator),
            sizes,
        ),
        Claim(
            ONE_STEP_ON_SPHERE,
            "icgd",
            "Best loss of one step, a = n / (n + d - 1), inputs on the sphere",
            r"$d (d-1) / (n+d-1)$ at $L = 1$.",
            (*sphere, "w ~ N(0, S^-1)"),
            "loss",
            "==",
            d * (d - 1) / (n + d - 1),
            sizes,
        ),
    )


def _plain(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


@dataclass(frozen=True)
class LemmaOne:
    """How one layer moves w, as an identity in all entries of x, y, w and A.

    transposed: whether w' = w - A^T grad R(w) for every A, as the signs of Q and of the output require.
    literal: whether w' = w - A grad R(w) for every A.  symmetric: the same for every symmetric A.
    """

    transposed: bool
    literal: bool
    symmetric: bool


def lemma_one(d: int, n: int, statement: Statement = AS_PUBLISHED) -> LemmaOne:
    """Lemma 1, one layer from any w; by induction, every depth.

    Column i of the label row is y_i - w.x_i, the query's is -w.x_{n+1}: before the layer with w, after it
    with w'.

    >>> lemma_one(2, 2)
    LemmaOne(transposed=True, literal=False, symmetric=True)
    """
    names = [f"x{i}_{k}" for i in range(n + 1) for k in range(d)]
    names += [f"y{i}" for i in range(n)] + [f"w{k}" for k in range(d)]
    names += [f"A{k}_{l}" for k in range(d) for l in range(d)]
    context = fmpq_mpoly_ctx.get(names, Ordering.lex)
    gens = dict(zip(names, context.gens(), strict=True))
    x = [[gens[f"x{i}_{k}"] for k in range(d)] for i in range(n + 1)]
    y = [*(gens[f"y{i}"] for i in range(n)), context.constant(0)]
    w = [gens[f"w{k}"] for k in range(d)]

    def holds(A: list[list[Ring]], applied: list[list[Ring]]) -> bool:
        labels = [y[i] - sum(w[k] * x[i][k] for k in range(d)) for i in range(n + 1)]
        seen = range(n) if statement.masked else range(n + 1)
        # The label row of (1/n) P Z M (Z^T Q Z), P = e e^T, Q = sign [[A, 0], [0, 0]].
        moment = [sum(labels[i] * x[i][k] for i in seen) * fmpq(1, n) for k in range(d)]
        key = [statement.sign * sum(moment[k] * A[k][l] for k in range(d)) for l in range(d)]
        after = [labels[j] + sum(key[l] * x[j][l] for l in range(d)) for j in range(n + 1)]
        # grad R(w) = (1/n) sum_i (w.x_i - y_i) x_i over the n examples.
        slope = [-sum(labels[i] * x[i][k] for i in range(n)) * fmpq(1, n) for k in range(d)]
        moved = [w[k] - sum(applied[k][l] * slope[l] for l in range(d)) for k in range(d)]
        return all(after[j] == y[j] - sum(moved[k] * x[j][k] for k in range(d)) for j in range(n + 1))

    A = [[gens[f"A{k}_{l}"] for l in range(d)] for k in range(d)]
    transpose = [[A[l][k] for l in range(d)] for k in range(d)]
    symmetric = [[A[min(k, l)][max(k, l)] for l in range(d)] for k in range(d)]
    return LemmaOne(holds(A, transpose), holds(A, A), holds(symmetric, symmetric))
