"""How far L approximate gradient steps deviate from exact ones, and when they still reduce the loss.

All follows from bounds on the Hessian of L_n over W: on its operator norm, Lambda, and on those of its two
parts, the Gauss-Newton part (positive semidefinite for a convex loss) and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import sympy
from sympy import Expr, Integer, Max, Min, Symbol, sqrt

from icgd.bounds.claims import Claim, L, Number, epsilon, eta, letters
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import WIDENING, LayerRanges, ranges

SOURCE = "arXiv:2411.16549"
HYPOTHESES = (
    "every activation in use is twice differentiable",
    "W is the box of the problem: convex, so that Proj is non-expansive",
)
STEP_HYPOTHESIS = "every step is w(l) = Proj(w(l-1) - eta grad L_n + err) with norm2(err) <= eta epsilon"

_EXPANDED = 4  # layers up to which Lambda is written out in suprema; above it, in norms of Hessian blocks


class Suprema(NamedTuple):
    """What bounds the second derivatives of layer j, as numbers or as symbols.

    p: 2-norm of p(j-1).  slope, bend: sup |r'|, sup |r''|.  spread: operator norm of V_j.  g, s: sup of a
    coordinate of g(j), 2-norm of s(j).  tilt: bound on the operator norm of diag(g(j)) V_j.
    """

    p: Any
    slope: Any
    bend: Any
    spread: Any
    g: Any
    s: Any
    tilt: Any


_MEANINGS = {
    "p": ("P", "2-norm of p(j-1)"),
    "slope": ("rho", "sup |r'(z)|"),
    "bend": ("beta", "sup |r''(z)|"),
    "spread": ("nu", "bound on the operator norm of V_j"),
    "g": ("g", "sup |g(j)[k]|, what r'(z) multiplies"),
    "s": ("s", "2-norm of s(j)"),
    "tilt": ("tau", "bound on the operator norm of diag(g(j)) V_j"),
}


def hessian_blocks(layers: Sequence[Suprema], ell: Any) -> list[list[Any]]:
    """Bounds m[j][k] on the operator norm of the Hessian's block (V_j, V_k), linear in (ell, the rest).

    ell: sup of the loss's second derivative.  A change of V_k of Frobenius norm 1 is followed forwards (dp)
    and backwards (dg, ds): each line is the product rule and a triangle inequality.  L_n is a mean of l/2
    over examples, hence the 1/2 and no n.

    >>> hessian_blocks([Suprema(p=3, slope=1, bend=0, spread=1, g=0, s=0, tilt=0)], 2)
    [[9.0]]
    """
    depth = len(layers)
    half = sympy.Rational(1, 2) if isinstance(ell, Expr) else 0.5
    unit = [[Integer(j == k) if isinstance(ell, Expr) else float(j == k) for k in range(depth)]
            for j in range(depth)]  # fmt: skip
    dp = [[0 * value for value in unit[0]]]
    for j, b in enumerate(layers):
        dp.append([b.slope * (b.spread * dp[-1][k] + b.p * unit[j][k]) for k in range(depth)])
    dg = [ell * change for change in dp[-1]]
    blocks: list[list[Any]] = []
    for j in range(depth - 1, -1, -1):
        b, before = layers[j], dp[j]
        ds = [b.slope * dg[k] + b.bend * (b.tilt * before[k] + b.g * b.p * unit[j][k]) for k in range(depth)]
        dg = [b.spread * ds[k] + b.s * unit[j][k] for k in range(depth)]
        blocks.append([(b.p * ds[k] + b.s * before[k]) * half for k in range(depth)])
    return blocks[::-1]


def _suprema(problem: Problem, layer: LayerRanges) -> Suprema:
    tilt = min(layer.spread * layer.g, problem.B_v * layer.g_norm) * WIDENING
    return Suprema(layer.p_in, layer.slope, layer.curvature, layer.spread, layer.g, layer.s_norm, tilt)


_MOST_LAYERS = 100
"""The Hessian of a deeper network has too many blocks."""


def refuse_pieces(problem: Problem) -> None:
    """Raises ProblemError where r is put together from pieces in some layer."""
    if not all(problem.activation_at(layer).is_smooth for layer in _layers(problem)):
        why = (
            "it is put together from pieces, and the Hessian is bounded for one smooth formula, such as tanh"
        )
        raise ProblemError("activation", problem.activation.name, why)


@lru_cache(maxsize=256)
def suprema(problem: Problem) -> tuple[tuple[Suprema, ...], float]:
    """The suprema of every layer over W and all prompts, and sup |l''| in p; certified by ball arithmetic.

    Raises ProblemError where no finite Lipschitz constant exists or none is found.
    """
    if problem.N > _MOST_LAYERS:
        raise ProblemError(
            "N", problem.N, f"networks of up to {_MOST_LAYERS} layers are supported; take fewer"
        )
    refuse_pieces(problem)
    try:
        found = ranges(problem, {})
        reach = (found[-1].r + abs(problem.loss.rho) * problem.B_y) * WIDENING
        ell = problem.loss.phi.derivative.sup(-reach, reach) * WIDENING
    except ProblemError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise ProblemError("activation", problem.activation.name, f"{error}; try smaller radii") from None
    return tuple(_suprema(problem, layer) for layer in found), ell


def symmetric(blocks: Sequence[Sequence[float]]) -> list[list[float]]:
    """The smaller of m[j][k] and m[k][j]: the Hessian is symmetric, so both bound the same norm."""
    size = range(len(blocks))
    return [[min(blocks[j][k], blocks[k][j]) for k in size] for j in size]


def perron(blocks: Sequence[Sequence[float]]) -> list[float]:
    """Positive weights x, near the Perron vector: max_j (m x)_j / x_j is at least the operator norm of m."""
    vector = np.abs(np.linalg.eigh(np.array(blocks))[1][:, -1])
    if not vector.max() > 0:
        return [1.0] * len(blocks)
    return [float(f"{x:.6g}") for x in np.maximum(vector / vector.max(), 1e-6)]


def operator_norm(blocks: Sequence[Sequence[float]]) -> float:
    """A bound on the operator norm of a symmetric matrix with blocks of these norms (Collatz-Wielandt)."""
    m = symmetric(blocks)
    if not all(math.isfinite(value) for row in m for value in row):
        return math.inf
    x = perron(m)
    rows = (math.fsum(a * b for a, b in zip(row, x, strict=True)) / weight
            for row, weight in zip(m, x, strict=True))  # fmt: skip
    return max(rows) * WIDENING


@dataclass(frozen=True)
class Curvature:
    """Bounds on the Hessian of L_n over W, for all prompts within the radii.

    lam: on its operator norm.  gauss_newton: on that of J^T l'' J, positive semidefinite for a convex loss.
    rest: on that of the remainder, so that no eigenvalue is below -rest.
    """

    lam: float
    gauss_newton: float
    rest: float

    def rate(self, step: float) -> float:
        """mu >= 0 such that one exact step of this size stretches distances in W at most 1 + step mu times.

        All eigenvalues of a mean Hessian lie in [-rest, gauss_newton + rest], so I - step H has norm at most
        max(1 + step rest, step (gauss_newton + rest) - 1); never above 1 + step lam.
        """
        return max(0.0, min(self.lam, max(self.rest, self.gauss_newton + self.rest - 2 / step)))


@lru_cache(maxsize=256)
def curvature(problem: Problem) -> Curvature:
    """The bounds of one problem; raises ProblemError where there is no finite constant.

    >>> from icgd.bounds.activation import ACTIVATIONS
    >>> round(curvature(Problem(N=1, activation=ACTIVATIONS["identity"])).lam, 6)
    1.0
    """
    layers, ell = suprema(problem)
    lam = operator_norm(hessian_blocks(layers, ell))
    if not math.isfinite(lam):
        raise ProblemError("B_v", problem.B_v, "the Lipschitz constant exceeds the range of floats")
    if not is_convex(problem):
        return Curvature(lam, 0.0, lam)
    flat = [layer._replace(g=0.0, s=0.0, tilt=0.0) for layer in layers]
    parts = operator_norm(hessian_blocks(flat, ell)), operator_norm(hessian_blocks(layers, 0.0))
    return Curvature(lam, *parts)


def is_convex(problem: Problem) -> bool:
    """Whether the loss is shown to be convex in p on the range of p: its slope phi does not decrease."""
    phi = problem.loss.phi
    reach = (ranges(problem, {})[-1].r + abs(problem.loss.rho) * problem.B_y) * WIDENING
    if not phi.kinks:
        return phi.derivative.range(-reach, reach)[0] >= 0
    ends = sorted({-reach, reach, *phi.kinks})
    middles = [(a + b) / 2 for a, b in pairwise(ends)]
    return phi.is_piecewise_linear and all(phi.derivative(middle) >= 0 for middle in middles)


def lipschitz(problem: Problem) -> tuple[Expr, dict[Symbol, tuple[Number, str]]]:
    """Lambda in named suprema (up to four layers; in block norms beyond), with their certified values."""
    layers, ell = suprema(problem)
    numbers = hessian_blocks(layers, ell)
    x = perron(symmetric(numbers))
    constants: dict[Symbol, tuple[Number, str]] = {}

    def name(text: str, value: float, meaning: str) -> Symbol:
        made = Symbol(text, positive=True)
        constants[made] = value, meaning
        return made

    if problem.N <= _EXPANDED:
        named = [
            Suprema(
                *(
                    name(f"{_MEANINGS[field][0]}_{j}", value, f"{_MEANINGS[field][1]}, j = {j}")
                    for field, value in zip(Suprema._fields, layer, strict=True)
                )
            )
            for j, layer in enumerate(layers, start=1)
        ]
        blocks = hessian_blocks(named, name("ell", ell, "sup of the loss's second derivative in p"))
    else:
        blocks = [[name(f"m_{j}_{k}", numbers[j][k], f"norm of Hessian block ({j + 1}, {k + 1})")
                   for k in range(problem.N)] for j in range(problem.N)]  # fmt: skip
    size = range(problem.N)
    if problem.N == 1:
        return blocks[0][0], constants
    weights = [name(f"x_{j + 1}", x[j], "weight near the Perron vector of the block norms") for j in size]

    def smaller(j: int, k: int) -> Any:
        return blocks[j][k] if numbers[j][k] <= numbers[k][j] else blocks[k][j]

    rows = [sum((smaller(j, k) * weights[k] for k in size), Integer(0)) / weights[j] for j in size]
    return Max(*rows, evaluate=False), constants


def accumulated(rate: float, step: float, eps: float, steps: int) -> float:
    """eps/rate ((1 + step rate)^steps - 1): the distance from exact descent after `steps` steps.

    step*eps*steps where rate = 0.  rate: Lambda, or any mu as `Curvature.rate` gives it.

    >>> accumulated(0.0, 0.5, 0.25, 4)
    0.5
    """
    growth = steps * math.log1p(step * rate)
    if steps * step * rate < 1e-12:
        return step * eps * steps * (math.exp(growth) if steps * step * rate else 1.0)
    return math.inf if growth > 700 else eps / rate * math.expm1(growth) * (1 + 1e-14)


def contracting_step(problem: Problem) -> float:
    """The step size at which decrease is claimed: eta if eta Lambda < 2, else 1/Lambda."""
    lam = curvature(problem).lam
    return problem.eta if problem.eta * lam < 2 else 1 / lam


def least_move(lam: float, step: float, eps: float) -> float:
    """norm2(w(l) - w(l-1))/step above which L_n has decreased: eps/(1 - step lam/2)."""
    return eps / (1 - step * lam / 2)


def least_gradient(lam: float, step: float, eps: float, drop: Any, steps: int) -> Any:
    """The least projected gradient among `steps` steps that lower L_n by `drop` (a number or an array)."""
    c = 1 - step * lam / 2
    root = np.sqrt(np.maximum(eps**2 + 4 * c * drop / (step * steps), 0.0))
    return eps + (eps + root) / (2 * c)


@lru_cache(maxsize=256)
def diameter(problem: Problem) -> float:
    """The 2-norm between opposite corners of W."""
    sides = (problem.half_width(j) ** 2 * problem.dims[j] * problem.dims[j - 1] for j in _layers(problem))
    return 2 * math.sqrt(math.fsum(sides)) * WIDENING


def _layers(problem: Problem) -> range:
    return range(1, problem.N + 1)


@lru_cache(maxsize=256)
def steepest(problem: Problem) -> float:
    """A bound on norm2(grad L_n) over W."""
    return math.hypot(*(layer.s_norm * layer.p_in / 2 for layer in ranges(problem, {}))) * WIDENING


def path_length(problem: Problem, steps: int) -> float:
    """A bound on the distance from exact descent that needs no Lipschitz constant: both paths are short.

    Projected steps from w move by eta norm2(grad L_n) at most, and the first one starts at the same w(0).
    """
    return problem.eta * (steps * problem.eps + 2 * (steps - 1) * steepest(problem)) * WIDENING


def distance(problem: Problem, rate: float, steps: int) -> float:
    """The least of all bounds here on the distance from exact descent after `steps` >= 1 steps."""
    grown = accumulated(rate, problem.eta, problem.eps, steps)
    return min(grown, path_length(problem, steps), diameter(problem))


def trivial_gradient(problem: Problem, step: float) -> float:
    """What no projected gradient on W exceeds, at this step size: a bound above it says nothing."""
    return min(steepest(problem), diameter(problem) / step)


_Gamma, _Delta = sympy.symbols("Gamma Delta", positive=True)
_h = Symbol("h", positive=True)


def _extent(problem: Problem) -> dict[Symbol, tuple[Number, str]]:
    return {
        _Gamma: (steepest(problem), "bound on the 2-norm of grad L_n over W"),
        _Delta: (diameter(problem), "diameter of W"),
    }


def loss_drop(problem: Problem) -> tuple[Expr, dict[Symbol, tuple[Number, str]]]:
    """A bound on L_n(w(0)) - L_n(w(L)): the least of four, and the values of its symbols.

    Slope times diameter of W; slope times the length of the path; the slope of the loss times the range of
    p(N), halved as L_n is; and for a convex loss whose slope vanishes at p = rho y, its quadratic bound.
    """
    _, ell = suprema(problem)
    last, loss = ranges(problem, {})[-1], problem.loss
    P, U, E = sympy.symbols("P U ell", positive=True)
    values = _extent(problem) | {
        P: (last.p_out, "2-norm of p(N)"),
        U: (last.g_norm, "2-norm of the loss's slope in p(N)"),
        E: (ell, "sup of the loss's second derivative in p"),
    }
    bounds = [_Gamma * _Delta, _Gamma * _h * L * (_Gamma + epsilon), U * P]
    if is_convex(problem) and not loss.sigma and loss.phi(0.0) == 0:
        rho, B_y = sympy.Rational(loss.rho), Symbol("B_y", positive=True)
        values[B_y] = problem.B_y, "bound on the 2-norm of targets"
        bounds.append(E / 4 * (P + abs(rho) * B_y) ** 2)
    return Min(*bounds, evaluate=False), values


def claims(problem: Problem) -> tuple[Claim, ...]:
    """The constant and its consequences for one problem; raises ProblemError where there is no constant.

    >>> from icgd.bounds.activation import ACTIVATIONS
    >>> flat = Problem(N=1, activation=ACTIVATIONS["identity"], eps=0.5, eta=0.5, L=4)
    >>> [claim.key for claim in claims(flat)][:2]
    ['convergence/lipschitz', 'convergence/accumulation']
    """
    problem = Problem.taken(problem)
    expression, constants = lipschitz(problem)
    found, step = curvature(problem), contracting_step(problem)
    Lam, mu = Symbol("Lambda", positive=True), Symbol("mu", positive=True)
    h, (F, values) = _h, loss_drop(problem)
    named = (
        letters(problem)
        | values
        | {
            Lam: (found.lam, "Lipschitz constant of grad L_n on W (convergence/lipschitz)"),
            mu: (
                found.rate(problem.eta),
                "max(R, G + R - 2/eta), no more than Lambda: Hessian split, R >= -lambda",
            ),
            h: (step, "step size: eta, or 1/Lambda where eta >= 2/Lambda"),
        }
    )

    def deviation(rate: Symbol) -> Expr:
        grown = epsilon / rate * ((1 + eta * rate) ** L - 1) if named[rate][0] > 0 else eta * epsilon * L
        return Min(grown, eta * (L * epsilon + 2 * (L - 1) * _Gamma), _Delta, evaluate=False)

    c = 1 - h * Lam / 2
    rows = (
        ("lipschitz", "icgd", "Lipschitz constant of the gradient", "lipschitz", expression,
         r"$\|\nabla L_n(w) - \nabla L_n(w')\| \le \Lambda \|w - w'\|$ on $W$.", HYPOTHESES),
        ("accumulation", "icgd", "Error accumulation", "distance", deviation(Lam),
         r"$\|w(l) - w_{GD}(l)\| \le \frac{\epsilon}{\Lambda}((1+\eta\Lambda)^l - 1)$, or less: the paths "
         r"together are no longer than $\eta(l\epsilon + 2(l-1)\Gamma)$, and $W$ has diameter $\Delta$. "
         r"Shown at $l = L$.",
         (*HYPOTHESES, STEP_HYPOTHESIS)),
        ("accumulation-split", "icgd", "Error accumulation, Hessian split", "distance", deviation(mu),
         r"The same with $\mu = \max(R, G + R - 2/\eta)$ for $\Lambda$, where $-R \preceq H \preceq G + R$; "
         r"$\eta\epsilon l$ in the convex case with $\eta \le 2/\Lambda$.",
         (*HYPOTHESES, STEP_HYPOTHESIS, "the loss is convex in p")),
        ("decrease", "icgd", "Decrease of the loss", "least_move",
         Min(epsilon / c, _Gamma + epsilon, evaluate=False),
         r"$L_n$ decreases in every step with $\|w(l) - w(l-1)\|/h > \epsilon/(1 - h\Lambda/2)$; no step "
         r"is longer than $h(\Gamma + \epsilon)$.",
         (*HYPOTHESES, STEP_HYPOTHESIS, "h < 2/Lambda")),
        ("stationary", "icgd", "Stationarity", "projected_gradient",
         Min(epsilon + (epsilon + sqrt(epsilon**2 + 4 * c * F / (h * L))) / (2 * c), _Gamma, _Delta / h,
             evaluate=False),
         r"Among $w(0..L-1)$ one has a projected gradient of norm at most "
         r"$\epsilon + (\epsilon + \sqrt{\epsilon^2 + 4c F/(hL)})/(2c)$, $c = 1 - h\Lambda/2$, where $F$ "
         r"bounds $L_n(w(0)) - L_n(w(L))$; no projected gradient exceeds $\Gamma$ or $\Delta/h$.",
         (*HYPOTHESES, STEP_HYPOTHESIS, "h < 2/Lambda")),
    )  # fmt: skip
    return tuple(
        Claim(
            f"convergence/{key}", source, title, statement, hypotheses, quantity, "<=", bound,
            constants if key == "lipschitz" else named,
        )
        for key, source, title, quantity, bound, statement, hypotheses in rows
    )  # fmt: skip
