"""Evidence for findings about error accumulation and convergence in arXiv 2411.16549."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from icgd.bounds.convergence import accumulated, curvature, diameter
from icgd.bounds.problem import Problem
from icgd.verify.hessian import hessian_search
from icgd.verify.ledger.entries import Numbers
from icgd.verify.search.prompts import seeded


def _first_beyond(rate: float, problem: Problem, limit: float) -> int:
    """The first l at which the accumulated bound exceeds the limit."""
    l, distance = 1, accumulated(rate, problem.eta, problem.eps, 1)
    while distance <= limit and l < 100_000:
        l += 1
        distance = accumulated(rate, problem.eta, problem.eps, l)
    return l


def accumulation(depths: Sequence[int] = (1, 2, 3, 4), judged: int = 3, seed: int = 0) -> Numbers:
    """The first l at which the bound on the distance exceeds the diameter of W.

    With the certified Lipschitz constant, with the sharper mu, and with a measured Hessian norm, which is a
    lower bound on every Lipschitz constant.
    """
    found: dict[str, int | float | str | bool] = {}
    for one in depths:
        posed = Problem(N=one)
        found[f"l_N{one}"] = _first_beyond(curvature(posed).lam, posed, diameter(posed))
        found[f"eta_Lambda_N{one}"] = posed.eta * curvature(posed).lam
    posed = Problem(N=judged)
    _, seen = hessian_search(posed, seeded(seed))
    bounds, widest = curvature(posed), diameter(posed)
    by_hand, distance = 0, 0.0  # the recurrence itself, without the closed form
    while distance <= widest:
        distance = (1 + posed.eta * bounds.lam) * distance + posed.eta * posed.eps
        by_hand += 1
    return found | {
        "N": judged,
        "eta": posed.eta,
        "eps": posed.eps,
        "diameter": widest,
        "Lambda": bounds.lam,
        "l_split": _first_beyond(bounds.rate(posed.eta), posed, widest),
        "measured": seen,
        "l_at_best": _first_beyond(seen, posed, widest),
        "shows": seen <= bounds.lam and found[f"l_N{judged}"] == by_hand
        and by_hand <= _first_beyond(seen, posed, widest) < 100,
    }  # fmt: skip


def step_size(depths: Sequence[int] = (1, 2, 3, 4), judged: int = 4, seed: int = 0) -> Numbers:
    """2/Lambda, certified; at one depth also from a measured Hessian norm, a lower bound on Lambda.

    Beyond 2/Lambda one step of descent on a quadratic increases the loss, in rationals.
    """
    limits = {depth: 2 / curvature(Problem(N=depth)).lam for depth in depths}
    _, seen = hessian_search(Problem(N=judged), seeded(seed))
    eta, lam, w = Fraction(5, 2), Fraction(1), Fraction(1)  # L(w) = w^2/2, eta = 2.5 > 2/Lambda = 2
    before = lam * w**2 / 2
    after = lam * (w - eta * lam * w) ** 2 / 2
    default = Problem().eta
    beyond = [depth for depth in depths if default >= limits[depth]]
    return {
        **{f"limit_N{depth}": value for depth, value in limits.items()},
        "eta": default,
        "first_beyond": beyond[0] if beyond else 0,
        "N": judged,
        "at_most": 2 / seen,
        "loss_before": str(before),
        "loss_after": str(after),
        "shows": after > before and limits[judged] <= 2 / seen < default and bool(beyond),
    }
