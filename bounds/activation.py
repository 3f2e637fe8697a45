"""Activations of the simulated network: a table of formulas, and any other formula that a user types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy

from icgd.bounds.functions.formula import scalar
from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.letters import check_texts
from icgd.bounds.open_table import OpenTable


@dataclass(frozen=True)
class Activation:
    """The activation r of every layer of the simulated network.

    name: what the user types, which may be the formula itself.  formula: r as a formula in t.

    >>> Activation("cube", "t**3").derivative(2.0)
    12.0
    """

    name: str
    formula: str

    def __post_init__(self) -> None:
        check_texts(self, "name", "formula")

    @cached_property
    def r(self) -> Scalar:
        """The function itself; its derivatives are `r.derivative`, `r.derivative.derivative`, ..."""
        return scalar(self.formula)

    @property
    def derivative(self) -> Scalar:
        """r'."""
        return self.r.derivative

    @property
    def is_smooth(self) -> bool:
        """Whether the formula is free of kinks."""
        return not (self.r.kinks or self.r.expr.has(sympy.Max, sympy.Min, sympy.Abs))

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle r(t) = {sympy.latex(self.r.expr)}$"

    def violated_hypothesis(self, radius: float) -> str | None:
        """Why r breaks the hypotheses of arXiv 2411.16549, Theorem 1, on [-radius, radius], or None.

        The theorem asks that r and r' be Lipschitz and four times continuously differentiable.
        Smoothness is certified: every derivative up to the fifth (r' in C^4) has a finite ball enclosure.
        """
        if not self.is_smooth:
            at = ", ".join(f"{k:g}" for k in self.r.kinks) or "a kink"
            return f"{self.name} is not C^4 and its derivative is not Lipschitz (kink at {at})"
        derivative = self.r
        for order in range(6):
            try:
                derivative.range(-radius, radius, tolerance=1e-3)
            except (ValueError, ArithmeticError):
                which = f"derivative {order} of {self.name}" if order else self.name
                return f"{which} is not bounded on [{-radius:g}, {radius:g}]"
            derivative = derivative.derivative
        return None


def _is_formula(text: str) -> bool:
    try:
        scalar(text)
    except ValueError:
        return False
    return True


def _refuse(activation: Activation) -> None:
    """Raises ValueError for a name that is a formula, or a formula that bounds cannot be computed for."""
    name, formula = activation.name, activation.formula
    if _is_formula(name):
        raise ValueError(f"{name} is a formula already; an activation of that name would shadow it")
    try:
        activation.r.check()
    except ValueError as error:
        raise ValueError(f"the activation {name} = {formula} cannot be bounded: {error}") from None


ACTIVATIONS = OpenTable(
    "an activation",
    [
        Activation("tanh", "tanh(t)"),
        Activation(
            "sigmoid", "(1+tanh(t/2))/2"
        ),  # 1/(1+exp(-t)), written so that it neither overflows nor loses precision on balls
        Activation("softplus", "log(1+exp(t))"),
        Activation("gelu", "t*(1+erf(t/sqrt(2)))/2"),
        Activation("sin", "sin(t)"),
        Activation("relu", "Max(0, t)"),
        Activation("identity", "t"),
        Activation("swish", "t/(1+exp(-t))"),  # arXiv 1710.05941, beta = 1
        Activation("mish", "t*tanh(log(1+exp(t)))"),  # arXiv 1908.08681
        Activation("shifted-softplus", "log(1+exp(t)) - log(2)"),  # arXiv 1706.08566: like ELU, but smooth
    ],
    _refuse,
)
"""The activations known by name; `ACTIVATIONS.register` adds one."""


def parse_activation(text: str) -> Activation:
    """The activation called `text`, or the one given by a formula in t such as "t/(1+t**2)".

    Raises ValueError with the reason.

    >>> parse_activation("sin(t) + t/2").r(0.0)
    0.0
    """
    if text in ACTIVATIONS:
        return ACTIVATIONS[text]
    activation = Activation(text, text)
    try:
        activation.r  # noqa: B018
    except ValueError as error:
        raise ValueError(f"neither one of {ACTIVATIONS.names} nor a formula in t ({error})") from None
    return activation
