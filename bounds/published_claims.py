"""The lemmas of arXiv 2411.16549 as claims about its own construction: repaired where the print is no bound.

The repairs and their reasons: `icgd.bounds.published`.  Each statement says what differs from the print.
"""

from __future__ import annotations

from sympy import Expr, Integer, Symbol

from icgd.bounds.claims import Claim, epsilon
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.relu_icgd import HYPOTHESES, violated

PAPER = "arXiv:2411.16549"
LEMMAS = ("lemma-2", "lemma-3", "lemma-4", "lemma-5", "lemma-6", "tolerances", "theorem-4")
"""The names of the claims, without the theorem's."""


def lemma_claims(problem: Problem) -> tuple[Claim, ...]:
    """Lemmas 2 to 6, the tolerances of Theorem 1's proof and Theorem 4; empty where they do not apply.

    They do not where r breaks a hypothesis, on our ranges or on the wider ones of the lemmas.
    quantity: what the bound is on, at local errors up to eps_r, eps_{r'} and eps_l of the proof.

    >>> [claim.quantity for claim in lemma_claims(Problem())][:2]
    ['p_error', 'dr_error']
    """
    if violated(problem):
        return ()
    try:
        made = published(problem, repaired=True)
    except ProblemError:
        return ()
    e_r, e_dr, e_l = (made.symbol(name) for name in ("epsilon_r", "epsilon_{r'}", "epsilon_l"))
    P, C_l, C_r, C_dr = (made.symbol(name) for name in ("P", "C_l", "C_r", "C_{r'}"))

    def written(name: str) -> Expr | Symbol:
        """The formula of a constant, or its symbol where the formula has too many terms."""
        return made.expressions[name] if problem.N <= 4 else made.symbol(name)

    of_s = (made.symbol("E_s^r") * e_r, made.symbol("E_s^{r'}") * e_dr, made.symbol("E_s^l") * e_l)
    rows: tuple[tuple[str, str, str, str, Expr, str], ...] = (
        (
            "lemma-2", "Lemma 2", "Outputs of the layers (Lemma 2, repaired)", "p_error",
            written("E_r") * e_r,
            r"$\|\bar p(j) - p(j)\|_2 \le E_r\epsilon_r$, $E_r = P\sum_{l<N} (\sqrt{K} L_r B_v)^l$; $R_1$ is "
            r"$\max(\sqrt{K} B_v B_r, 1)$, as $|v^T p|$ can exceed the printed $\max(B_v B_r, 1)$.",
        ),
        (
            "lemma-3", "Lemma 3", "Slopes of the activation (Lemma 3, repaired)", "dr_error",
            e_dr + written("E_{r'}") * e_r,
            r"$|\bar r'(z) - r'(z)| \le \epsilon_{r'} + L_{r'} B_v E_r \epsilon_r$; the interval of $r'$ is "
            r"that of $r$, and the layer serves $(N-1)K + d$ units.",
        ),
        (
            "lemma-4", "Lemma 4", "Slope of the loss (Lemma 4, repaired)", "u_error",
            e_l + written("E_l") * e_r,
            r"$|g[k] - u[k]| \le \epsilon_l + L_l E_r \epsilon_r$ with $R_3 = \max(B_r, B_y, 1)$, as "
            r"$|p(N)[k]| \le B_r$ also where $B_v < 1$.",
        ),
        (
            "lemma-5", "Lemma 5", "Products by EWML (Lemma 5, repaired)", "product_error", Integer(0),
            r"EWML layers compute $\bar s(j)[k] = \bar r'(z)[k] (V_{j+1}^T \bar s(j+1))[k]$ without error; "
            r"the norm of 1 is that of (3.19), not (B.1).",
        ),
        (
            "lemma-6", "Lemma 6", "Back-propagated terms (Lemma 6, repaired)", "s_error",
            P * sum(of_s, Integer(0)),
            r"$\|\bar s(j) - s(j)\|_2 \le P (E_s^r\epsilon_r + E_s^{r'}\epsilon_{r'} + E_s^l\epsilon_l)$ and "
            r"$\|\bar s(j)\|_2 \le P B_s$: in 2-norms and with a factor $P$, as $V^T s$ combines columns.",
        ),
        (
            "tolerances", "proof of Theorem 1 (C.7)", "Tolerances (proof of Theorem 1, repaired)",
            "step_error",
            (C_l * e_l + C_r * e_r + C_dr * e_dr) / 2,
            r"$\|\mathrm{err}\|_2/\eta \le (C_l\epsilon_l + C_r\epsilon_r + C_{r'}\epsilon_{r'})/2$, "
            r"which is $\epsilon$ at $\epsilon_x = 2\epsilon/(3C_x)$, with $P^2$ for $P^{3/2}$ in $C_x$.",
        ),
        (
            "theorem-4", "Theorem 4", "Other output sizes (Theorem 4, repaired)", "step_error", epsilon,
            r"Theorem 1 holds for $d_x \ne d_y$, too, with $d_y$ for $d$ in its constants and the "
            r"same repairs.",
        ),
    )  # fmt: skip
    return tuple(
        Claim(
            f"relu-icgd/{name}", f"{PAPER}, {where}; repaired by icgd",
            title, statement, HYPOTHESES, quantity,
            "<=", bound, made.constants,
        )
        for name, where, title, quantity, bound, statement in rows
    )  # fmt: skip
