"""Evidence for findings about Corollary 1.1 and Lemma 14 of arXiv 2411.16549, on quadratics in rationals.

One weight, r(t) = t, N = 1, n = 1: L_n(w) = (x w - y)^2 / 2, which Theorem 1's setting allows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from icgd.verify.ledger.entries import Numbers


def _clip(w: Fraction, side: Fraction) -> Fraction:
    return max(-side, min(side, w))


def _path(
    x: Fraction,
    y: Fraction,
    eta: Fraction,
    side: Fraction,
    errors: Sequence[Fraction],
    projected: bool = True,
) -> list[Fraction]:
    """The iterates from w(0) = 0 with these errors in the steps, over W = [-side, side]."""
    found = [Fraction(0)]
    for error in errors:
        w = found[-1] - eta * x * (x * found[-1] - y) + error
        found.append(_clip(w, side) if projected else w)
    return found


def examples_for_step(
    eta: str = "3", eps: str = "1/100", n: int = 10**6, usual: str = "1/10", steps: int = 5
) -> Numbers:
    """Corollary 1.1 with n, the number of examples, where the step size belongs: one step breaks it at n = 1.

    x = 1, y = 0, so exact descent stays at 0 and L_f = 1; one error of eta eps moves w by eta eps.
    """
    step, tolerance = Fraction(eta), Fraction(eps)
    error = step * tolerance
    moved = abs(_path(Fraction(1), Fraction(0), step, Fraction(1), [error])[-1])
    claimed, repaired = (1 + 1) * tolerance, (1 + step) * tolerance
    ratio = Fraction((1 + n) ** steps) / (1 + Fraction(usual)) ** steps
    return {
        "eta": eta,
        "eps": eps,
        "moved": str(moved),
        "claimed": str(claimed),
        "repaired": str(repaired),
        "n": n,
        "usual": usual,
        "steps": steps,
        "times": float(ratio),
        "shows": moved > claimed and moved <= repaired,
    }


def constant_of_the_loss(side: str = "1/10", eta: str = "3", eps: str = "1/1000", steps: int = 4) -> Numbers:
    """Corollary 1.1 with L_f read as the Lipschitz constant of L_n itself: four steps break it.

    x = 1, y = 0 on W = [-1/10, 1/10]: L_n has the constant 1/10, its gradient 1.  The errors alternate.
    """
    reach, step, tolerance = Fraction(side), Fraction(eta), Fraction(eps)
    errors = [(-1) ** l * step * tolerance for l in range(steps)]
    moved = abs(_path(Fraction(1), Fraction(0), step, reach, errors)[-1])
    of_loss, of_gradient = reach, Fraction(1)
    claimed = tolerance / of_loss * (1 + step * of_loss) ** steps
    repaired = tolerance / of_gradient * (1 + step * of_gradient) ** steps
    return {
        "steps": steps,
        "moved": str(moved),
        "claimed": float(claimed),
        "repaired": float(repaired),
        "shows": claimed < moved <= repaired and moved < reach,
    }


def unprojected(side: str = "1/10", eta: str = "1/2", eps: str = "1/100") -> Numbers:
    """The main text's w_GD has no projection: after one step it is outside W, and the bound fails.

    x = y = 1: the least loss is at w = 1, W = [-1/10, 1/10], and no step makes any error.
    """
    reach, step, tolerance = Fraction(side), Fraction(eta), Fraction(eps)
    free = _path(Fraction(1), Fraction(1), step, reach, [Fraction(0)], projected=False)[-1]
    kept = _path(Fraction(1), Fraction(1), step, reach, [Fraction(0)])[-1]
    claimed = (1 + step) * tolerance
    return {
        "free": str(free),
        "kept": str(kept),
        "apart": str(abs(free - kept)),
        "claimed": str(claimed),
        "shows": abs(free - kept) > claimed and kept <= reach,
    }


def step_hypothesis(a: str = "2", eps: str = "1/10000", steps: int = 40) -> Numbers:
    """Lemma 14 with eta <= L_f: f(w) = a w^2 / 2 on [-1, 1] and eta = a break both of its bounds.

    w(0) = 0 minimises f, so the right side is 10 eps^2; one error in the first step is amplified by
    |1 - a^2| in each, until the iterates jump between the ends of W.
    """
    lam, tolerance, side = Fraction(a), Fraction(eps), Fraction(1)
    eta = lam
    errors = [eta * tolerance, *[Fraction(0)] * (steps - 1)]
    path = [Fraction(0)]
    for error in errors:
        path.append(_clip(path[-1] - eta * lam * path[-1] + error, side))
    mapped = [((w - _clip(w - eta * lam * w, side)) / eta) ** 2 for w in path]
    allowed = 10 * tolerance**2
    least = min(mapped[1:steps])
    mean = sum(mapped[1:steps]) / steps
    return {
        "a": a,
        "steps": steps,
        "least": float(least / tolerance**2),
        "mean": float(mean),
        "ends": str(max(path)),
        "allowed": "10 ε²",
        "shows": least > allowed and mean > allowed and abs(1 - lam**2) > 1,
    }


def inexact_descent(runs: int = 300, steps: int = 12, seed: int = 0) -> Numbers:
    """Lemma 14 with eta <= 1/L_f, on random quadratics of one weight, in rationals: it holds in every run.

    The proof: f(w+) <= f(w) - (eta/4) G~^2 + eta eps^2 with G~ = (w - w+)/eta, and |G - G~| <= eps.
    """
    drawn = random.Random(seed)
    worst = Fraction(0)
    for _ in range(runs):
        a, b = Fraction(drawn.randint(1, 40), 10), Fraction(drawn.randint(-20, 20), 10)
        side, eps = Fraction(drawn.randint(1, 20), 10), Fraction(drawn.randint(1, 20), 20)
        eta = Fraction(drawn.randint(1, 10), 10) / a
        path = [Fraction(0)]
        total = Fraction(0)
        for _ in range(steps):
            w = path[-1]
            gradient = a * w - b  # f(w) = a w^2 / 2 - b w
            mapped = (w - _clip(w - eta * gradient, side)) / eta
            total += mapped**2
            error = eta * eps * Fraction(drawn.choice((-1, 1)))
            path.append(_clip(w - eta * gradient + error, side))
        best = _clip(b / a, side)
        drop = -(a * best**2 / 2 - b * best)
        allowed = 8 * drop / (eta * steps) + 10 * eps**2
        worst = max(worst, total / steps / allowed)
    return {"runs": runs, "steps": steps, "worst": float(worst), "shows": worst <= 1}
