"""What is claimed of several steps, with bounds on the Hessian from cells that cover all of W."""

from __future__ import annotations

from sympy import Expr, Max, Min, Symbol

from icgd.bounds.claims import Claim, L, Number, epsilon, eta, letters
from icgd.bounds.convergence import HYPOTHESES, diameter, distance, steepest
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.spectrum import hessian_spectrum

SEVERAL_STEPS = ("spectrum", "several-steps")
"""The names of the claims, without the theorem's."""

_NEAR = "every step ends within eta epsilon of the exact one from the same weights (a certificate shows it)"


def allowed_after(problem: Problem, steps: int) -> float:
    """The bound of `several-steps` after `steps` >= 1 steps; raises ProblemError where cells give none."""
    return distance(problem, hessian_spectrum(problem).rate(problem.eta), steps)


def several_steps_claims(problem: Problem) -> tuple[Claim, ...]:
    """Both claims; none where the network is too deep for cells.

    >>> [claim.key for claim in several_steps_claims(Problem(N=1))]
    ['convergence/spectrum', 'convergence/several-steps']
    """
    try:
        found = hessian_spectrum(problem)
    except ProblemError:
        return ()
    above, below = Symbol("lambda_+", nonnegative=True), Symbol("lambda_-", nonnegative=True)
    nu, Gamma, Delta = (
        Symbol("nu", nonnegative=True),
        Symbol("Gamma", positive=True),
        Symbol("Delta", positive=True),
    )
    rate = found.rate(problem.eta)
    constants: dict[Symbol, tuple[Number, str]] = letters(problem) | {
        above: (found.above.bound, "no eigenvalue of the Hessian of L_n is larger, on cells that cover W"),
        below: (
            found.below.bound,
            "no eigenvalue of the Hessian of L_n is below its negative, on such cells",
        ),
        nu: (rate, "max(lambda_-, lambda_+ - 2/eta)"),
        Gamma: (steepest(problem), "bound on the 2-norm of grad L_n over W"),
        Delta: (diameter(problem), "diameter of W"),
    }
    grown: Expr = epsilon / nu * ((1 + eta * nu) ** L - 1) if rate > 0 else eta * epsilon * L
    paths = eta * (L * epsilon + 2 * (L - 1) * Gamma)
    rows = (
        ("spectrum", "Eigenvalues of the Hessian", "lipschitz", Max(above, below, evaluate=False),
         r"$-\lambda_- I \preceq \nabla^2 L_n(w) \preceq \lambda_+ I$ for every prompt in the radii and "
         r"every $w \in W$; the larger of the two is shown.", HYPOTHESES),
        ("several-steps", "Distance after several steps", "distance",
         Min(grown, paths, Delta, evaluate=False),
         r"$\|w(l) - w_{GD}(l)\| \le \frac{\epsilon}{\nu}((1+\eta\nu)^l - 1)$ with "
         r"$\nu = \max(\lambda_-, \lambda_+ - 2/\eta)$, or less, as in accumulation, for the transformer "
         r"that is built, in every token, rounding included. Shown at $l = L$.",
         (*HYPOTHESES, _NEAR)),
    )  # fmt: skip
    return tuple(
        Claim(f"convergence/{key}", "icgd", title, statement, hypotheses, quantity, "<=", bound, constants)
        for key, title, quantity, bound, statement, hypotheses in rows
    )
