"""The claims of a theorem: bounds in sympy, with the value and the meaning of every constant."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import mpmath
import sympy

from icgd.bounds.html_table import value_in_words
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem

Number: TypeAlias = int | float
Constants: TypeAlias = Mapping[sympy.Symbol, tuple[Number, str]]


@dataclass(frozen=True)
class Claim:
    """One measurable assertion: `quantity` `relation` `bound`.

    key: unique name, such as "relu-icgd/heads".
    source: "arXiv:2411.16549, Theorem 1" for a published claim, "icgd" for a claim of this project.
    title, statement: what is asserted, in a few words and in LaTeX.
    hypotheses: what it assumes, one short phrase each.
    quantity: a field of icgd.construct.block.census.Census (sizes of one gradient step), "depth"
        (sub-layers of all L steps) or "step_error" (norm2(err) / eta, in the units of the gradient).
    relation: "<=" for an upper bound, "==" for an exact count.
    bound: sympy expression in the symbols of `constants`, and in no others.
    constants: symbol -> (value, what it is and how the value was derived or certified); entries
        for symbols that the bound does not contain are dropped.
    Raises ValueError if a symbol of the bound has no value.

    >>> K = sympy.Symbol("K")
    >>> constants = {K: (4, "hidden width")}
    >>> claim = Claim("demo/heads", "icgd", "Heads", "M = 2K", (), "heads", "==", 2 * K, constants)
    >>> claim.value, claim.expression
    (8, '2*K')
    """

    key: str
    source: str
    title: str
    statement: str
    hypotheses: tuple[str, ...]
    quantity: str
    relation: Literal["<=", "=="]
    bound: sympy.Expr
    constants: Constants

    def __post_init__(self) -> None:
        if not isinstance(self.bound, sympy.Expr):
            raise ProblemError("bound", self.bound, f"{self.key}: a sympy expression is needed")
        if self.relation not in ("<=", "=="):
            raise ProblemError("relation", self.relation, f"{self.key}: it is <= or ==")
        free = sorted(self.bound.free_symbols, key=str)
        unknown = [str(symbol) for symbol in free if symbol not in self.constants]
        if unknown:
            raise ValueError(f"{self.key}: no value for {', '.join(unknown)}")
        used = {symbol: self.constants[symbol] for symbol in free}
        object.__setattr__(self, "constants", MappingProxyType(used))

    def __repr__(self) -> str:
        return f"<{self.key}: {self.quantity} {self.said} ({self.source})>"

    def _repr_latex_(self) -> str:
        """The bound for notebooks: quantity, relation, formula, value."""
        sign = {"<=": r"\le", "==": "="}[self.relation]
        name = self.quantity.replace("_", r"\ ")
        return rf"$\displaystyle \text{{{name}}} {sign} {self.latex} \approx {self.value:.6g}$"

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds formulas as tuples and constants as a dictionary, and is checked as it is read."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        held |= {"bound": _as_tuples(self.bound), "constants": dict(self.constants)}
        return _claim_again, (type(self), held)

    @cached_property
    def value(self) -> Number:
        """The bound at its constants: an int if it is whole, else a float, rounded up for "<="."""
        with mpmath.workdps(40):
            constants = {
                symbol: value if isinstance(value, int) else mpmath.mpf(value)
                for symbol, (value, _) in self.constants.items()
            }
            precise = _evaluate(self.bound, constants)
            if isinstance(precise, int):
                return precise
            nearest = float(precise)
            if not math.isfinite(nearest):
                return nearest
            if precise == mpmath.floor(precise):
                return int(precise)
            return (
                math.nextafter(nearest, math.inf) if self.relation == "<=" and nearest < precise else nearest
            )

    @property
    def said(self) -> str:
        """What is claimed of the quantity, with the value: "<= 1,219,433,928"."""
        return f"{self.relation} {value_in_words(self.value, up=self.relation == '<=')}"

    @property
    def detail(self) -> str:
        """Its title and its source."""
        return f"{self.title} ({self.source})"

    def as_row(self) -> dict[str, Number | str]:
        """The claim as a row of a table."""
        return {
            "claim": self.key,
            "title": self.title,
            "quantity": self.quantity,
            "relation": self.relation,
            "value": self.value,
            "expression": self.expression,
            "source": self.source,
        }

    @property
    def expression(self) -> str:
        """The bound as plain text, as the command line prints it."""
        return without_braces(self.bound)

    @property
    def latex(self) -> str:
        """The bound as LaTeX."""
        return str(sympy.latex(self.bound))


def without_braces(formula: object) -> str:
    """A formula or a symbol as plain text, without the braces of an index of one word.

    >>> without_braces("K*d_{out} + nu_{u,1}")
    'K*d_out + nu_{u,1}'
    """
    return re.sub(r"_\{([\w']+)\}", r"_\1", str(formula))


def _claim_again(kind: type[Claim], held: Mapping[str, Any]) -> Claim:
    return kind(**{**held, "bound": _from_tuples(held["bound"])})


def _as_tuples(expr: sympy.Basic) -> Any:
    """The expression as (function, arguments), each an expression likewise; symbols and numbers as they are.

    sympy itself pickles an expression such that reading it simplifies once more, which may change it.
    """
    return (expr.func, tuple(map(_as_tuples, expr.args))) if expr.args else expr


def _from_tuples(held: Any) -> Any:
    """The inverse of `_as_tuples`."""
    if not isinstance(held, tuple):
        return held
    function, arguments = held
    return function(*map(_from_tuples, arguments), evaluate=False)


_FUNCTIONS: Mapping[type, Callable[..., Any]] = {
    sympy.Add: lambda *xs: sum(xs),
    sympy.Mul: lambda *xs: math.prod(xs),
    sympy.Pow: lambda x, y: x**y if isinstance(y, int) and y >= 0 else mpmath.power(x, y),
    sympy.Max: max,
    sympy.Min: min,
    sympy.floor: mpmath.floor,
    sympy.ceiling: mpmath.ceil,
    sympy.log: mpmath.log,
    sympy.exp: mpmath.exp,
}


def _evaluate(expr: sympy.Expr, constants: Mapping[sympy.Symbol, Any]) -> Any:
    """The value of an expression: an int where it is whole, else at mpmath's precision.

    sympy's own substitution into Max takes seconds.
    """
    if expr in constants:
        return constants[expr]
    if expr.is_Rational:
        return int(expr) if expr.is_Integer else mpmath.mpf(expr.p) / expr.q
    if expr is sympy.oo:
        return mpmath.inf
    if not expr.args:
        return mpmath.mpf(sympy.N(expr, mpmath.mp.dps))
    return _FUNCTIONS[expr.func](*(_evaluate(argument, constants) for argument in expr.args))


N, K, d, L, n = sympy.symbols("N K d L n", integer=True, positive=True)
d_out = sympy.Symbol("d_{out}", integer=True, positive=True)
D_w = sympy.Symbol("D_w", integer=True, positive=True)
eta, epsilon, B_v = sympy.symbols("eta epsilon B_v", positive=True)


def letters(problem: Problem) -> dict[sympy.Symbol, tuple[Number, str]]:
    """The letters of a problem as the symbols of this module, with their values and meanings.

    >>> letters(Problem(N=2, K=3, d=2))[D_w]
    (12, 'number of weights, the sum of dims[j] dims[j-1]')
    """
    return {
        N: (problem.N, "depth of the simulated network"),
        K: (problem.K, "width of its hidden layers"),
        d: (problem.d, "size of its input"),
        d_out: (problem.d_out, "size of its output"),
        D_w: (problem.D_w, "number of weights, the sum of dims[j] dims[j-1]"),
        n: (problem.n, "in-context examples"),
        L: (problem.L, "gradient steps"),
        eta: (problem.eta, "step size"),
        epsilon: (problem.eps, "tolerance: the error of a step may be eta epsilon"),
        B_v: (problem.B_v, "bound on the 2-norm of a weight row"),
    }
