"""Theorem 1 of arXiv 2312.06528: where the family of functional descent is stationary, by exact algebra.

**Reading**, as arXiv 2505.17838 restates it for operators: layers Z + V_l Z M h(B_l X, C_l X) with
V_l = r_l e e^T on the label row, loss E((query's label after L layers) + y_q)^2, and the family
B_l = b_l S^-1/2, C_l = c_l S^-1/2 with real r_l, b_l, c_l, under three hypotheses on a positive definite S:
  inputs: for every orthogonal U the whole prompt S^1/2 U S^-1/2 X is distributed as X;
  labels: E[y y^T | X] = K(X), and K is the same at S^1/2 U S^-1/2 X;
  activation: h(T^T U, T^-1 W) = h(U, W) for invertible T, as where h is a function of the <u_i, w_j>.
It asserts that over the family the squared norm of the gradient in ALL entries of r, B, C has infimum 0.

Two statements are kept apart here.
The lemma: at every point of the family the gradient in B_l is a multiple of S^1/2, and so is the one in C_l.
With g_l the derivative in b_l, its norm is |g_l| norm(S^1/2) / d, so (r, b, c) that is stationary within the
family is stationary in all entries.  Where the family's least loss is not attained, Ekeland's principle still
gives points of nearly the least loss with arbitrarily small gradient (if that loss is C^1; for relu this
requires inputs with a density).  The lemma uses h at orthogonal T only.  It says nothing about other
stationary points, minima over all (r, B, C), or what training finds.
The infimum: `idle_rate` gives a point that attains it, b = c = 0, whether or not a hypothesis holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import sympy
from flint import Ordering, fmpq_mpoly_ctx

from icgd.bounds.algebra.gaussian_moments import SampleCovariance
from icgd.bounds.algebra.ring_matrices import diagonal, matrix_product, matrix_sum, scaled, transposed
from icgd.bounds.claims import Claim
from icgd.bounds.functional import SOURCE

IntegerMatrix = tuple[tuple[int, ...], ...]
Polynomial = Any

OFF_FAMILY = 1e-10
"""How large the gradient off the family may be, relative to that of a single prompt, in float64."""


def stationarity_claim() -> Claim:
    """The lemma in floating point: the claim that `verify` measures."""
    return Claim(
        "functional/theorem-1/off-family",
        f"{SOURCE}, Theorem 1",
        "Gradient off the family B = b S^-1/2, C = c S^-1/2",
        r"\nabla_{B_l} \in \mathbb{R} S^{1/2},\ \nabla_{C_l} \in \mathbb{R} S^{1/2}",
        (
            "X invariant under S^1/2 U S^-1/2, U orthogonal",
            "so is E[y y^T | X]",
            "h depends on inner products",
        ),
        "off_family",
        "<=",
        sympy.Rational(1, 10**10),
        {},
    )


def signed_permutations(d: int) -> tuple[IntegerMatrix, ...]:
    """The 2^d d! orthogonal matrices with integer entries.

    >>> len(signed_permutations(3))
    48
    """
    return tuple(
        tuple(tuple(sign * (k == j) for k in range(d)) for sign, j in zip(signs, order, strict=True))
        for order in permutations(range(d))
        for signs in product((1, -1), repeat=d)
    )


def quarter_turns() -> tuple[IntegerMatrix, ...]:
    """The four rotations of the square, without reflections.

    >>> quarter_turns()[1]
    ((0, -1), (1, 0))
    """
    return ((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0))


def group_average(group: Sequence[IntegerMatrix]) -> sympy.Matrix:
    """The mean of g A g^T over the group, A a matrix of symbols a_ij.

    The gradient in B S^1/2 becomes g A g^T when g acts on the whitened prompt, so it equals this average
    where the distribution is invariant under the group.

    >>> group_average(signed_permutations(2))
    Matrix([
    [a_00/2 + a_11/2,               0],
    [              0, a_00/2 + a_11/2]])
    """
    d = len(group[0])
    A = sympy.Matrix(d, d, lambda i, j: sympy.Symbol(f"a_{i}{j}"))
    turned = sum((sympy.Matrix(g) * A * sympy.Matrix(g).T for g in group), sympy.zeros(d))
    return (turned / len(group)).expand()


@lru_cache(maxsize=16)
def averages_to_trace(group: tuple[IntegerMatrix, ...]) -> bool:
    """Whether the average of every A is trace(A)/d times I.

    Quarter turns, and with them all rotations of the plane, add (a_10 - a_01)/2 times a quarter turn.

    >>> averages_to_trace(signed_permutations(2)), averages_to_trace(quarter_turns())
    (True, False)
    """
    average, d = group_average(group), len(group[0])
    trace = sum(sympy.Symbol(f"a_{k}{k}") for k in range(d))
    return bool((average - sympy.eye(d) * trace / d).expand().is_zero_matrix)


@dataclass(frozen=True)
class LinearSetting:
    """Powers of S^1/2 in the linear problem; the defaults are the theorem's, others break a hypothesis.

    family: B = b S^(family/2), and C.  task: labels w.x + noise, w ~ N(0, S^(task/2)).
    """

    family: int = -1
    task: int = -2


AS_STATED = LinearSetting()


@dataclass(frozen=True)
class LinearGradient:
    """The gradient on the family for linear attention, by layer first in B and then in C.

    off: vanishes exactly if each part is a multiple of S^1/2.  along: that multiple, times an
    eigenvalue of S^1/2.  All are polynomials in r, b, c, the eigenvalues, 1/n and the noise.
    """

    off: tuple[Polynomial, ...]
    along: tuple[Polynomial, ...]

    @property
    def stationary(self) -> bool:
        """Whether, at every point of the family, the gradient is zero off the family but not along it."""
        return all(value == 0 for value in self.off) and all(value != 0 for value in self.along)


@lru_cache(maxsize=16)
def linear_gradient(L: int, setting: LinearSetting = AS_STATED) -> LinearGradient:
    """d = 2, h(U, W) = U^T W, x ~ N(0, S), labels w.x + noise; every n, S = diag(s_0^2, s_1^2), r, b, c.

    With C the sample covariance and e = (1/n) sum_i noise_i x_i, label j of layer l is
    noise_j + u_l.x_j, u_0 = w and u_{l+1} = u_l + n r_l C_l^T B_l (C u_l + e); E e e^T = noise^2 C / n.
    So u_L = M w + N e and the loss is tr S M E[w w^T] M^T + (noise^2 / n) tr S N C N^T plus a
    constant.  n r_l is written r_l; powers of s_0 s_1 clear inverse powers of S, and scale b, c and the loss.

    >>> linear_gradient(1).stationary
    True
    """
    names = ["C00", "C01", "C11", "s0", "s1", *(f"{name}{l}" for l in range(L) for name in "rbc")]
    names += ["m", "noise2", "bump"]
    context = fmpq_mpoly_ctx.get(names, Ordering.lex)
    gens = dict(zip(names, context.gens(), strict=True))
    zero, one = context.constant(0), context.constant(1)
    s = [gens["s0"], gens["s1"]]

    def power(exponent: int) -> list[Polynomial]:
        return [value ** abs(exponent) for value in (s if exponent >= 0 else s[::-1])]

    C = [[gens["C00"], gens["C01"]], [gens["C01"], gens["C11"]]]
    S, task, base = diagonal(power(2), zero), diagonal(power(setting.task), zero), power(setting.family)
    I, nothing = diagonal([one, one], zero), [[zero] * 2] * 2
    moments = SampleCovariance(S, gens["m"])

    def partial(bumped: tuple[str, int], i: int, j: int) -> Polynomial:
        M, N = I, nothing
        for l in range(L):
            B, C_l = (diagonal([gens[f"{name}{l}"] * value for value in base], zero) for name in "bc")
            for name, matrix in (("b", B), ("c", C_l)):
                if (name, l) == bumped:
                    matrix[i][j] += gens["bump"]
            step = scaled(gens[f"r{l}"], matrix_product(transposed(C_l), B))
            moved = matrix_product(step, C)
            M, N = (
                matrix_sum(M, matrix_product(moved, M)),
                matrix_sum(N, matrix_sum(matrix_product(moved, N), step)),
            )
        error = matrix_product(matrix_product(matrix_product(S, M), task), transposed(M))
        noise = matrix_product(matrix_product(matrix_product(S, N), C), transposed(N))
        loss = error[0][0] + error[1][1] + gens["m"] * gens["noise2"] * (noise[0][0] + noise[1][1])
        terms = loss.derivative("bump").to_dict().items()
        slope = context.from_dict({powers: value for powers, value in terms if powers[-1] == 0})
        return moments.expect(slope, dict(enumerate(((0, 0), (0, 1), (1, 1)))))

    off, along = [], []
    for bumped in product("bc", range(L)):
        g = [[partial(bumped, i, j) for j in range(2)] for i in range(2)]
        off += [g[0][1], g[1][0], s[1] * g[0][0] - s[0] * g[1][1]]
        along.append(g[0][0])
    return LinearGradient(tuple(off), tuple(along))


def idle_rate(at_zero: float, covariance: Sequence[Sequence[float]]) -> float:
    """The r_0 that, with b = c = 0 and every other r_l = 0, makes the gradient 0 in all (r, B, C).

    at_zero: h of inner products 0: 0 for linear and relu, 1 for exp, 1/(n+1) for softmax.  covariance: of the
    n labels and, last, the query's.  The gradient in B holds a factor C and the one in C a factor B; at
    B = C = 0 the query's label is at_zero p(r) sum_i y_i for a polynomial p, and the loss is a parabola in p.
    No assumption on x is needed.

    >>> idle_rate(1.0, [[2.0, 1.0], [1.0, 2.0]])
    -0.5
    """
    exact = [[Fraction(value) for value in row] for row in covariance]
    labels = sum(value for row in exact[:-1] for value in row[:-1])
    scale = Fraction(at_zero) * labels
    return float(-sum(exact[-1][:-1]) / scale) if scale else 0.0
