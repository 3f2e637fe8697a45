"""Corollary 1.1 and Lemma 14 of arXiv 2411.16549 as claims, each with its shortest repair.

Corollary 1.1: (1 + eta L_f)^l stands for the printed (1 + n L_f)^l, L_f is the Lipschitz constant of the
gradient of L_n, and w_GD is projected in every step, as in the appendix.

Lemma 14: eta <= 1/L_f for eta <= L_f, and the mean is over l = 0..L-1, as its L terms are.  Proof: with
w' = Proj(w - eta g + err), norm2(err) <= eta eps, G' = (w - w')/eta and G the same without err, Proj being
non-expansive gives norm2(G - G') <= eps, and its obtuse angle <g, w' - w> <= -eta |G'|^2 + eta eps |G'|.  So
f(w') <= f(w) - eta (1 - eta L_f/2) |G'|^2 + eta eps |G'| <= f(w) - eta/4 |G'|^2 + eta eps^2.  The sum over l
and |G|^2 <= 2 |G'|^2 + 2 eps^2 give the mean of |G|^2 <= 8 drop/(eta L) + 10 eps^2.
"""

from __future__ import annotations

from sympy import Symbol, oo

from icgd.bounds.claims import Claim, L, epsilon, eta, letters
from icgd.bounds.convergence import HYPOTHESES, STEP_HYPOTHESIS, curvature, loss_drop
from icgd.bounds.problem import Problem

DESCENT_LEMMAS = ("corollary-1.1", "lemma-14")
"""The names of the claims, without the theorem's."""


def short_step(problem: Problem) -> float:
    """The step size at which Lemma 14 is claimed: eta, or 1/Lambda where eta is larger.

    >>> short_step(Problem(eta=0.001))
    0.001
    """
    lam = curvature(problem).lam
    return problem.eta if problem.eta * lam <= 1 else (1 - 2.0**-50) / lam


def corollary(lam: float, step: float, eps: float, steps: int) -> float:
    """eps/lam (1 + step lam)^steps, the printed bound on the distance from exact descent with eta for n.

    >>> corollary(2.0, 0.5, 0.1, 3)
    0.4
    """
    try:
        return eps / lam * (1 + step * lam) ** steps if lam > 0 else float("inf")
    except OverflowError:
        return float("inf")


def mean_square(step: float, eps: float, drop: float, steps: int) -> float:
    """8 drop/(step steps) + 10 eps^2, Lemma 14's bound on the mean of the squared gradient mappings."""
    return 8 * drop / (step * steps) + 10 * eps**2


def descent_claims(problem: Problem) -> tuple[Claim, ...]:
    """Both claims, at the largest of all losses' drops; raises ProblemError where there is no constant.

    >>> [claim.key for claim in descent_claims(Problem(N=1))]
    ['convergence/corollary-1.1', 'convergence/lemma-14']
    """
    lam = curvature(problem).lam
    L_f, h = Symbol("L_f", positive=True), Symbol("h", positive=True)
    F, values = loss_drop(problem)
    constants = letters(problem) | values
    constants |= {
        L_f: (lam, "Lipschitz constant of grad L_n on W (convergence/lipschitz)"),
        h: (short_step(problem), "step size: eta, or 1/L_f where eta is larger"),
    }
    rows = (
        (
            "corollary-1.1", "Corollary 1.1", "Error accumulation (Corollary 1.1, repaired)", "distance",
            epsilon / L_f * (1 + eta * L_f) ** L if lam > 0 else oo,
            r"$\|w(l) - w_{GD}(l)\| \le L_f^{-1}(1 + \eta L_f)^l\epsilon$ with $\eta$ for the printed $n$, "
            r"$L_f$ of the gradient, and $w_{GD}$ projected; shown at $l = L$.",
            (*HYPOTHESES, STEP_HYPOTHESIS),
        ),
        (
            "lemma-14", "Lemma 14", "Convergence (Lemma 14, repaired)", "mean_square",
            8 * F / (h * L) + 10 * epsilon**2,
            r"$\frac1L\sum_{l=0}^{L-1} \|G(w(l))\|^2 \le 8F/(hL) + 10\epsilon^2$ for the gradient mapping "
            r"$G$, where $F$ bounds $L_n(w(0)) - L_n(w(L))$; for $h \le 1/L_f$, printed as $\eta \le L_f$.",
            (*HYPOTHESES, STEP_HYPOTHESIS, "h <= 1/L_f"),
        ),
    )  # fmt: skip
    return tuple(
        Claim(
            f"convergence/{key}", f"arXiv:2411.16549, {where}; repaired by icgd",
            title, statement, hypotheses,
            quantity, "<=", bound, constants,
        )
        for key, where, title, quantity, bound, statement, hypotheses in rows
    )  # fmt: skip
