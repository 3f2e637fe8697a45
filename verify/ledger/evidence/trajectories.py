"""Evidence for findings about Corollary 1.1 and Lemma 14 of arXiv 2411.16549, on polynomials in rationals."""

from __future__ import annotations

import random
from fractions import Fraction

from icgd.verify.ledger.entries import Numbers


def _clip(w: Fraction, side: Fraction) -> Fraction:
    return max(-side, min(side, w))


def examples_for_step(
    eta: str = "3", eps: str = "1/100", n: int = 10**6, usual: str = "1/10", steps: int = 5
) -> Numbers:
    """Corollary 1.1 with n, the number of examples, where the step size belongs: one step breaks it at n = 1.

    N = 2, K = d = 1, r(t) = t, x = 1, y = 0: L_n = (v u)^2 / 2 on [-1, 1]^2, whose Hessian has norm 3 at most
    (at (1, 1)).  Exact descent stays at 0; one error of eta eps moves a weight by eta eps.
    """
    step, tolerance = Fraction(eta), Fraction(eps)
    u, v = Fraction(0), Fraction(0)
    moved = abs(_clip(u - step * u * v * v + step * tolerance, Fraction(1)))
    corner = [[Fraction(1), Fraction(2)], [Fraction(2), Fraction(1)]]  # the Hessian at u = v = 1
    L_f = corner[0][0] + corner[0][1]  # of the eigenvector (1, 1); the largest row sum over the square, too
    claimed = (1 + 1 * L_f) / L_f * tolerance
    repaired = (1 + step * L_f) / L_f * tolerance
    ratio = Fraction((1 + n) ** steps) / (1 + Fraction(usual)) ** steps
    return {
        "eta": eta,
        "eps": eps,
        "moved": str(moved),
        "claimed": str(claimed),
        "repaired": str(repaired),
        "L_f": int(L_f),
        "n": n,
        "usual": usual,
        "steps": steps,
        "times": float(ratio),
        "shows": moved > claimed and moved <= repaired,
    }


def constant_of_the_loss(side: str = "1/10", eta: str = "3", eps: str = "1/1000", steps: int = 4) -> Numbers:
    """Corollary 1.1 with L_f read as the Lipschitz constant of L_n itself: four steps break it.

    N = 2, K = d = 1, r(t) = t + 1, x = y = 1, n = 1: L_n = (v (u + 1))^2 / 2 on W = [-s, s]^2, where exact
    descent stays at 0.  Errors alternate in v.  L_n has a Lipschitz constant between s (1 + s)^2 and
    s (1 + s) (1 + s + s^2 / 2), by sqrt(a^2 + b^2) <= a + b^2 / (2 a); its gradient's is at least (1 + s)^2.
    """
    s, step, tolerance = Fraction(side), Fraction(eta), Fraction(eps)
    u = v = Fraction(0)
    for l in range(steps):
        error = (-1) ** l * step * tolerance
        slope_u, slope_v = v**2 * (u + 1), v * (u + 1) ** 2
        u, v = _clip(u - step * slope_u, s), _clip(v - step * slope_v + error, s)
    moved = abs(v)
    ends = (s * (1 + s) ** 2, s * (1 + s) * (1 + s + s**2 / 2))

    def allowed(rate: Fraction, growth: Fraction) -> Fraction:
        return tolerance / rate * (1 + growth * rate) ** steps

    # Both bounds are convex in the rate, so their largest value is at an end.
    printed, claimed = (max(allowed(rate, growth) for rate in ends) for growth in (Fraction(1), step))
    repaired = allowed((1 + s) ** 2, step)
    return {
        "steps": steps,
        "eps": eps,
        "moved": float(moved),
        "printed": float(printed),
        "claimed": float(claimed),
        "repaired": float(repaired),
        "shows": max(claimed, printed) < moved <= repaired and moved < s,
    }


def unprojected(side: str = "1/10", eta: str = "1/2", eps: str = "1/100") -> Numbers:
    """The main text's w_GD has no projection: after one step it is outside W, and the bound fails.

    N = 2, K = d = 1, r(t) = t + 1, x = 1, y = 3, n = 1, W = [-1/10, 1/10]^2, no step makes any error.  The
    bound (1/L_f + n) eps is largest for the least L_f, which is at least p(1)^2 >= (1 - 1/10)^2 on W.
    """
    reach, step, tolerance = Fraction(side), Fraction(eta), Fraction(eps)
    u, v = Fraction(0), Fraction(0)
    p1 = u + 1
    p2 = v * p1 + 1
    free = v - step * (p2 - 3) * p1
    kept = _clip(free, reach)
    claimed = (1 / (1 - reach) ** 2 + 1) * tolerance
    return {
        "free": str(free),
        "kept": str(kept),
        "apart": str(abs(free - kept)),
        "claimed": float(claimed),
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
        "eps": eps,
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
