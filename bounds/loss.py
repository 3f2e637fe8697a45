"""Losses of the simulated network: a table of formulas, each with its slope in the form that layers read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import sympy

from icgd.bounds.functions.formula import branch, kinks, parse
from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.functions.stable_forms import stable_form
from icgd.bounds.letters import ProblemError, check_texts, real
from icgd.bounds.open_table import OpenTable

_LARGEST = sys.float_info.max

p, y = sympy.symbols("p y", real=True)


@dataclass(frozen=True)
class RidgeSlope:
    """A slope phi(p - rho y) - sigma y: one function of one linear form, minus a linear term.

    rho or sigma is 0, because a layer reads y only once.  phi is smooth or a clip, Max(low, Min(high, t)).
    """

    phi: Scalar
    rho: float
    sigma: float


@dataclass(frozen=True)
class Loss:
    """A loss sum_k l(p[k], y[k]) over the outputs of the network; its slope u = dl/dp has ridge form.

    name: what the user types, which may be the formula itself.  formula: l, in p and y.
    data_range: the range to which targets of real data are scaled, or None to centre them; theorems and
    searches cover all y with norm2(y) <= B_y.

    >>> half = Loss("half", "(p - y)**2/2")
    >>> half.phi(3.0), half.rho, half.sigma
    (3.0, 1.0, 0.0)
    """

    name: str
    formula: str
    data_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_texts(self, "name", "formula")
        if self.data_range is not None:
            allowed = "two finite numbers are needed, such as (0.0, 1.0)"
            if not isinstance(self.data_range, tuple) or len(self.data_range) != 2:
                raise ProblemError("data_range", self.data_range, allowed)
            ends = (real("data_range", end, -_LARGEST, _LARGEST, allowed) for end in self.data_range)
            object.__setattr__(self, "data_range", tuple(ends))

    @cached_property
    def expr(self) -> sympy.Expr:
        """l in the symbols `p` and `y` of this module; raises ValueError if it is not a formula."""
        return parse(self.formula, p, y)

    @cached_property
    def ridge(self) -> RidgeSlope:
        """The slope in ridge form; raises ValueError if it has none."""
        return ridge(self.expr)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle l(p, y) = {sympy.latex(self.expr)}$"

    @property
    def phi(self) -> Scalar:
        """The slope at y = 0, a function of one variable."""
        return self.ridge.phi

    @property
    def rho(self) -> float:
        """The factor of y that is subtracted from p before phi."""
        return self.ridge.rho

    @property
    def sigma(self) -> float:
        """The factor of y that is subtracted after phi."""
        return self.ridge.sigma


def ridge(expr: sympy.Expr) -> RidgeSlope:
    """The slope of a loss in p as phi(p - rho y) - sigma y; raises ValueError where it has no such form."""
    rho, sigma = _reads_of_y(expr)
    moved = sympy.diff(expr.subs(p, t + rho * y), t) + sigma * y
    if y in moved.free_symbols and y in sympy.simplify(moved).free_symbols:
        raise ValueError(
            "its slope in p is not seen to be phi(p - rho y) - sigma y, the form that layers compute"
        )
    if rho and sigma:
        raise ValueError(f"its slope has both rho = {rho} and sigma = {sigma}, but layers read y only once")
    if any(sympy.Rational(float(number)) != number for number in (rho, sigma)):
        raise ValueError(f"rho = {rho} and sigma = {sigma} of its slope must be numbers of float64")
    alone = expr.subs(y, 0).subs(p, t)
    bent = alone.has(sympy.Max, sympy.Min, sympy.Abs)
    phi = _kinked_slope(alone) if bent else Scalar(sympy.diff(stable_form(alone), t))
    if phi.is_constant or not (rho or sigma):
        raise ValueError(f"its slope does not depend on {'p' if phi.is_constant else 'y'}")
    if phi.kinks and not rho:
        raise ValueError("its slope has kinks in p alone, and layers can compute kinks only in p - rho y")
    return RidgeSlope(phi, float(rho), float(sigma))


_PLACES = [sympy.Rational(k, 7) for k in (-33, -12, -3, 1, 5, 19, 40)]
"""Values of p at which slopes are sampled, chosen so that no plausible formula has a kink there."""


def _reads_of_y(expr: sympy.Expr) -> tuple[sympy.Rational, sympy.Rational]:
    """rho and sigma of a slope u in ridge form, from du/dy = -rho du/dp - sigma at two values of p."""
    slope = sympy.diff(stable_form(expr), p)
    bends, tilts = (
        [sympy.N(sympy.diff(slope, by).subs({p: place, y: 0}), 40) for place in _PLACES] for by in (p, y)
    )
    if not all(number.is_Float or number.is_Rational for number in (*bends, *tilts)):
        raise ValueError("its slope in p is not differentiable")
    (most, at), (least, under) = max(zip(bends, tilts, strict=True)), min(zip(bends, tilts, strict=True))
    if most - least > sympy.Float("1e-20", 40) * (1 + abs(most)):
        rho = -(at - under) / (most - least)
    else:  # quadratic in p, or linear
        rho = -at / most if most else sympy.Integer(0)
    rho, sigma = (sympy.nsimplify(x, rational=True, tolerance=1e-20) for x in (rho, -at - rho * most))
    return rho, sigma


def _kinked_slope(alone: sympy.Expr) -> Scalar:
    """The slope of an expression in t with Max, Min or Abs; ValueError unless it is smooth or a clip."""
    ends = [sympy.Rational(kink) for kink in kinks(alone)]
    middles = [(a + b) / 2 for a, b in pairwise([ends[0] - 2, *ends, ends[-1] + 2])] if ends else [0]
    slopes = [sympy.simplify(sympy.diff(stable_form(branch(alone, middle)), t)) for middle in middles]
    bends = [end for end, (one, other) in zip(ends, pairwise(slopes), strict=True) if one != other]
    if not bends:
        return Scalar(slopes[0])
    low, high = slopes[0], slopes[-1]
    if bends != [low, high] or slopes[1:-1].count(t) != len(slopes) - 2:
        where = ", ".join(map(str, bends))
        raise ValueError(
            f"its slope has kinks at {where} and is no clip Max(low, Min(high, t)), so no layer computes it"
        )
    return Scalar(sympy.Max(low, sympy.Min(high, t)), (float(low), float(high)))


def _refuse(loss: Loss) -> None:
    """Raises ValueError for a name that is a formula, or a loss that no layer can descend on."""
    try:
        parse(loss.name, p, y)
    except ValueError:
        pass
    else:
        raise ValueError(f"{loss.name} is a formula already; a loss of that name would shadow it")
    try:
        loss.phi.check()
    except ValueError as error:
        raise ValueError(f"no layer can descend on the loss {loss.name} = {loss.formula}: {error}") from None


LOSSES = OpenTable(
    "a loss",
    [
        Loss("squared", "(p - y)**2"),
        Loss("logistic", "log(1 + exp(p)) - y*p", data_range=(0.0, 1.0)),
        Loss("huber", "Min(Abs(p - y), 1/2) * (Abs(p - y) - Min(Abs(p - y), 1/2)/2)"),
        Loss("log-cosh", "log(cosh(p - y))"),
    ],
    _refuse,
)
"""The losses known by name; `LOSSES.register` adds one."""


def parse_loss(text: str) -> Loss:
    """The loss called `text`, or the one given by a formula in p and y; raises ValueError with the reason."""
    if text in LOSSES:
        return LOSSES[text]
    loss = Loss(text, text)
    try:
        loss.expr, loss.ridge  # noqa: B018
    except ValueError as error:
        raise ValueError(f"neither one of {LOSSES.names} nor a loss in p and y ({error})") from None
    return loss
