"""The constants of the lemmas of arXiv 2411.16549, Section 3.3 and Appendix C: as published, and repaired.

The paper never gives C(k) of its Lemma 7, so features are counted by `icgd.bounds.functions.random_features`.
Readings, all in the paper's favour: B_r and B_{r'} are maxima over j = 0..N, as C.7 bounds p(0) by B_r, too;
B_l, which Lemma 4 does not define, is sup |u[k]| over |p[k]| <= B_r, |y[k]| <= B_y; d is the output size.

As published, a few constants are no bounds.  The repairs, each with its reason (p', r', g', s' approximate):

- z = <v, p'(j)> has |z| <= B_v norm2(p'(j)) <= B_v sqrt(K) B_r for j >= 1, and |z| <= B_v B_x for j = 0.  So
  B_r^j is the supremum on |t| <= B_v sqrt(K) B_r^{j-1} and R_1 = max(sqrt(K) B_v B_r, 1).  It is increased by
  eps_r, so that it bounds p'(j)[k], too, and B_{r'} by eps_{r'}, B_l by eps_l, for the same reason.
- r' is evaluated where r is, so R_2 = R_1, and B_{r'} is the supremum of r' on the arguments of r.
- |p'(N)[k]| <= B_r, not B_v B_r, so R_3 = max(B_r, B_y, 1).
- s(j) = r'(z) V^T s(j+1) combines columns of V, and norm2(v_k) bounds rows.  But norm2(V^T s) is at most
  normF(V) norm2(s) <= P B_v norm2(s): Lemma 6's induction holds in 2-norm, started from norm2 <= sqrt(d) max
  <= P max: norm2(s'(j)) <= P B_s, norm2(s'(j) - s(j)) <= P (E_s^r eps_r + E_s^{r'} eps_{r'} + E_s^l eps_l).
- normF(s' p'^T - s p^T) <= norm2(s' - s) norm2(p') + norm2(s) norm2(p' - p) with norm2(p'(j-1)) <= P B_r, so
  the error of V_j is at most P ((E_s ...) P B_r + B_s E_r eps_r): P^2 stands where P^{3/2} is published.
- Lemma 3 has (N-1)K + d units, so its norm is 1 + ((N-1)K + d) C_2.  A column of Lemma 4's W_1 has an entry
  of up to R_3 + 1 in every row; with rows times |c_m| and columns of W_2 over it, the operator 1-norms are at
  most d C_3 (R_3 + 1) and 1, whose sum is 2 sqrt(d C_3 (R_3 + 1)) once both are made equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from sympy import Expr, Integer, Max, Rational, Symbol, oo, sqrt

from icgd.bounds.claims import B_v, Claim, Constants, K, N, Number, d_out, epsilon, eta, letters
from icgd.bounds.functions.random_features import feature_mass, sampled_heads
from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import MOST_LAYERS

_UNITS = (N - 1) * K + d_out
"""Neurons of the simulated network."""


class Local(NamedTuple):
    """Local errors: r and r' as sums of ReLUs, and the loss slope u (the paper's eps_r, eps_{r'}, eps_l)."""

    r: float
    dr: float
    u: float


_NONE = Local(0.0, 0.0, 0.0)
_TOLERANCES = ("epsilon_r", "epsilon_{r'}", "epsilon_l")


@dataclass(frozen=True, eq=False)
class Published:
    """Every constant of the paper's route for one problem.

    repaired: whether they are true bounds, or those that the paper prints.
    expressions: name -> formula in the symbols of `constants`, which hold values and meanings.
    local: eps_r, eps_{r'} and eps_l, by the proof of Theorem 1 unless they were given; the repaired constants
    hold for all local errors up to these.
    """

    problem: Problem
    repaired: bool
    expressions: dict[str, Expr]
    constants: Constants
    local: Local

    def __getitem__(self, name: str) -> Number:
        """The value of a constant, such as "E_r"."""
        return self.constants[Symbol(name, positive=True)][0]

    def symbol(self, name: str) -> Symbol:
        """The symbol of a constant in expressions."""
        return Symbol(name, positive=True)

    def outputs(self, layer: int) -> float:
        """Lemma 2's bound on norm2(p'(layer) - p(layer)) over eps_r."""
        root = math.sqrt(self.problem.dims[layer])
        growth = math.sqrt(self.problem.K) * float(self["L_r"]) * self.problem.B_v
        return root * math.fsum(growth**power for power in range(layer)) * (1 + 2.0**-40)

    @property
    def per_unit(self) -> float:
        """(C_l + C_r + C_{r'}) / 2: the step error over eta per unit of equal local error."""
        return float(sum(self[name] for name in ("C_l", "C_r", "C_{r'}"))) / 2


@lru_cache(maxsize=64)
def published(problem: Problem, *, repaired: bool = False, local: Local | None = None) -> Published:
    """The constants of the paper's lemmas; raises ProblemError where a function has no finite supremum.

    local: the local errors that are made; None takes the tolerances of the proof of Theorem 1.  Repaired
    constants depend on the local errors, through ranges.  Tolerances found with errors 0 are larger than any
    that the constants found with these then allow, so one correction suffices.

    >>> constants = published(Problem())
    >>> constants["R_1"], round(constants["E_r"], 9)
    (1, 14.0)
    """
    if problem.N > MOST_LAYERS:
        raise ProblemError(
            "N", problem.N, f"networks of up to {MOST_LAYERS} layers are supported; take fewer"
        )
    if not problem.activation.is_smooth:
        raise ProblemError("activation", problem.activation.name, "the lemmas need a Lipschitz r'")
    try:
        if local is not None:
            return _Route(problem, repaired, local).made(local)
        found = _Route(problem, repaired, _NONE).made()
        if repaired:
            found = _Route(problem, repaired, Local(*(min(e, _LARGEST) for e in found.local))).made()
        return _finite(found)
    except (ValueError, ArithmeticError) as error:
        raise ProblemError("activation", problem.activation.name, f"{error}; try smaller radii") from None


_LARGEST = 1.0
"""No tolerance is larger: errors that widen ranges by more only add to themselves."""


def _finite(made: Published) -> Published:
    if not math.isfinite(made.per_unit) or 0.0 in made.local:
        raise ValueError("constants leave float64")
    return made


class _Route:
    def __init__(self, problem: Problem, repaired: bool, errors: Local) -> None:
        self.problem, self.repaired, self.errors = problem, repaired, errors
        self.constants: dict[Symbol, tuple[Number, str]] = dict(letters(problem))
        self.expressions: dict[str, Expr] = {}
        self.functions = {problem.activation_at(j).r: None for j in range(1, problem.N + 1)}

    def name(self, symbol: str, value: Expr | float, meaning: str) -> Symbol:
        """A constant, given by a formula in earlier ones or by a number."""
        made = Symbol(symbol, positive=True)
        if isinstance(value, Expr):
            self.expressions[symbol] = value
            value = Claim(symbol, "", "", "", (), "", "<=", value, self.constants).value
        self.constants[made] = value, meaning
        return made

    def sup(self, radius: Number, order: int = 0) -> float:
        """The largest value of |r|, |r'| or |r''| on [-radius, radius]."""
        found = []
        for g in self.functions:
            for _ in range(order):
                g = g.derivative
            found.append(abs(g(0.0)) if g.is_constant else g.sup(-float(radius), float(radius)))
        return max(found)

    def ranges(self) -> tuple[Symbol, Symbol]:
        """B_r and B_{r'}."""
        problem = self.problem
        room = 1 + 2.0**-48 if self.repaired else 1.0
        outputs, slopes, before = [problem.B_x], [problem.B_x], room
        for _ in range(problem.N):
            reach = problem.B_v * before * outputs[-1]
            outputs.append(self.sup(reach) + self.errors.r)
            steep = reach if self.repaired else problem.B_v * slopes[-1]
            slopes.append(self.sup(steep, order=1) + self.errors.dr)
            before = math.sqrt(problem.K) * room if self.repaired else room
        where = "on the arguments of r" if self.repaired else "by its own recursion"
        return (
            self.name("B_r", max(outputs), "the largest |p(j)[k]|, and B_x (Lemma 2)"),
            self.name("B_{r'}", max(slopes), f"the largest |r'|, {where}, and B_x (Lemma 3)"),
        )

    def slopes(self, B_r: Symbol, R_3: Symbol) -> tuple[Symbol, Symbol]:
        """L_l and B_l."""
        loss, B_y = self.problem.loss, self.problem.B_y
        wide = float(self.constants[R_3][0]) * (1 + abs(loss.rho))
        reach = float(self.constants[B_r][0]) + abs(loss.rho) * B_y
        steep = loss.phi.derivative
        lip = abs(steep(0.0)) if steep.is_constant else steep.sup(-wide, wide)
        most = loss.phi.sup(-reach, reach) + abs(loss.sigma) * B_y + self.errors.u
        return (
            self.name("L_l", lip, "Lipschitz constant of u[k] in p (Lemma 4)"),
            self.name("B_l", most, "the largest |u[k]| (Lemma 6)"),
        )

    def made(self, given: Local | None = None) -> Published:
        repaired, name = self.repaired, self.name
        B_r, B_dr = self.ranges()
        P = name("P", Max(sqrt(K), sqrt(d_out)), "max(sqrt(K), sqrt(d)) (Lemma 6)")
        if repaired:
            R_1 = name("R_1", Max(sqrt(K) * B_v * B_r, 1), "interval of r: |z| <= B_v sqrt(K) B_r")
            R_2 = name("R_2", R_1 + 0, "interval of r': that of r")
            R_3 = name("R_3", Max(B_r, self._by("B_y"), 1), "interval of u")
        else:
            R_1 = name("R_1", Max(B_v * B_r, 1), "interval of r (Lemma 2)")
            R_2 = name("R_2", Max(B_v * B_dr, 1), "interval of r' (Lemma 3)")
            R_3 = name("R_3", Max(B_v * B_r, self._by("B_y"), 1), "interval of u (Lemma 4)")
        L_r = name("L_r", self.sup(self.constants[R_1][0], 1), "Lipschitz constant of r on [-R_1, R_1]")
        L_dr = name("L_{r'}", self.sup(self.constants[R_2][0], 2), "that of r' on [-R_2, R_2]")
        L_l, B_l = self.slopes(B_r, R_3)
        layers, last = range(self.problem.N), self.problem.N - 1
        E_r = name(
            "E_r", P * _sum((sqrt(K) * L_r * B_v) ** k for k in layers), "coefficient of eps_r (Lemma 2)"
        )
        name("E_{r'}", L_dr * B_v * E_r, "coefficient of eps_r in Lemma 3")
        name("E_l", L_l * E_r, "coefficient of eps_r in Lemma 4")
        q = B_dr * B_v * P
        B_s = name("B_s", Max(1, q**last) * B_dr * B_l, "the largest |s(j)[k]| (Lemma 6)")
        start, each = B_l * L_dr * B_v * E_r + B_dr * L_l * E_r, L_dr * E_r * P * B_s * B_v**2
        passed = _sum(q**k for k in range(last))
        # In N - j, each of these maxima over j is of a monotone function: it is attained at j = 1 or j = N.
        E_s_r = name("E_s^r", Max(start, each * passed + q**last * start), "coefficient of eps_r (Lemma 6)")
        E_s_dr = name(
            "E_s^{r'}", Max(B_l, P * B_s * B_v * passed + q**last * B_l), "coefficient of eps_{r'} (Lemma 6)"
        )
        E_s_l = name("E_s^l", Max(1, q**last) * B_dr, "coefficient of eps_l (Lemma 6)")
        power = Integer(2) if repaired else Rational(3, 2)
        coefficients = (
            name("C_r", N * P**power * B_r * E_s_r + N * P * B_s * E_r, "coefficient of eps_r (C.7)"),
            name("C_{r'}", N * P**power * B_r * E_s_dr, "coefficient of eps_{r'} (C.7)"),
            name("C_l", N * P**power * B_r * E_s_l, "coefficient of eps_l (C.7)"),
        )
        local = Local(*map(self._tolerance, _TOLERANCES, coefficients, given or (None,) * 3))
        self._sizes(R_1, R_2, R_3)
        return Published(self.problem, repaired, self.expressions, MappingProxyType(self.constants), local)

    def _by(self, letter: str) -> Symbol:
        return self.name(letter, getattr(self.problem, letter), "bound on the 2-norm of a target")

    def _tolerance(self, name: str, C: Symbol, given: float | None) -> float:
        """2 eps / (3 C), rounded down, or the error that is given."""
        made = self.name(name, 2 * epsilon / (3 * C), "tolerance 2 eps/(3 C) of one function (C.7)")
        value, meaning = self.constants[made]
        most = _LARGEST if self.repaired and self.errors != _NONE else math.inf
        chosen = min(math.nextafter(float(value), 0.0), most) if given is None else given
        self.constants[made] = chosen, meaning if given is None else "local error, as given"
        return chosen

    def _sizes(self, R_1: Symbol, R_2: Symbol, R_3: Symbol) -> None:
        """Heads, hidden units and norms of the paper's layers with sampled features."""
        loss, repaired = self.problem.loss, self.repaired
        C, M = [], []
        reach = float(self.constants[R_3][0]) * (1 + abs(loss.rho))
        kinds: tuple[tuple[list[Scalar], float, float], ...] = (
            (list(self.functions), float(self.constants[R_1][0]), 0.0),
            ([g.derivative for g in self.functions], float(self.constants[R_2][0]), 0.0),
            ([loss.phi], reach, 2 * abs(loss.sigma)),
        )
        for k, (functions, radius, more) in enumerate(kinds):
            mass = max(_mass(g, radius) for g in functions) + more
            C.append(
                self.name(f"C_{k + 1}", mass, f"sum of absolute weights in ReLU features (Lemma {k + 2})")
            )
            bent = [g for g in functions if not g.is_piecewise_linear]
            exact = max((len(g.kinks) + 2 for g in functions if g not in bent), default=0)
            error = Symbol(_TOLERANCES[k], positive=True)
            count = Integer(exact)
            if bent:
                count = sampled_heads(C[-1], error) if self.constants[error][0] > 0 else oo
            M.append(self.name(f"M_{k + 1}", count, f"features of one unit (Lemma {k + 2})"))
        self.name("heads", Max(M[0] * Max(K, d_out), M[1] * _UNITS, 2 * _UNITS), "heads of the largest layer")
        self.name("hidden", M[2] * d_out, "hidden units of Lemma 4's layer")
        count = _UNITS if repaired else K * (N - 1)
        self.name("nu_2", 1 + Max(K, d_out) * C[0] if repaired else 1 + K * C[0], "norm of Lemma 2's layers")
        self.name("nu_3", 1 + count * C[1], "norm of Lemma 3's layer")
        balanced = 2 * sqrt(d_out * C[2] * (R_3 + 1))
        self.name("nu_4", balanced if repaired else Max(R_3 + 1, C[2]), "norm of Lemma 4's layer")
        self.name("nu_7", 1 + 2 * eta * N * K, "norm of the update (C.7)")


_mass = lru_cache(maxsize=1024)(feature_mass)


def _sum(terms: Iterator[Expr]) -> Expr:
    return sum(terms, Integer(0))
