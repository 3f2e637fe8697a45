"""The sizes of a construction (heads, hidden units, least norms), layer by layer, computed without tensors.

construct/block/assembly.py declares the same layers as modules, and construct/block/census.py counts their
matrices.  The two share only the plan and its sums of ReLUs, so each is a check of the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from sympy import Expr, Integer, Symbol

from icgd.bounds.claims import K, N, Number, d_out, letters
from icgd.bounds.functions.relu_sum import ReluSum, gate, linear, relu, signed
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.plan import Plan
from icgd.bounds.step_error.recurrence import Term
from icgd.bounds.step_error.rounding import offset_above


class Norms(NamedTuple):
    """A bound in the 1-norm of matrices (the largest column sum) and one in their 2-norm."""

    one: float
    two: float

    def __add__(self, other: Norms) -> Norms:  # type: ignore[override]  # not of tuples
        return Norms(self.one + other.one, self.two + other.two)


class Units(NamedTuple):
    """`size` equal copies (in symbols, `width`) of a sum of `count` ReLUs of bias + a linear form.

    form: 2-norm of the coefficients of that form.  most: the largest of them.  scale: factor on the sum.
    """

    width: Expr
    size: int
    relus: ReluSum
    count: Expr
    form: float = 1.0
    bias: float = 0.0
    scale: float = 1.0
    most: float = 1.0


class Heads(NamedTuple):
    """A group of heads: how many, and the sum of |Q| |K| |V| over them."""

    count: Expr
    strength: Norms


class LayerCosts(NamedTuple):
    """The heads and the hidden units of one layer; either may be empty."""

    heads: Sequence[Heads] = ()
    hidden: Sequence[Units] = ()

    @property
    def head_count(self) -> Expr:
        """Heads of the layer."""
        return sum((part.count for part in self.heads), Integer(0))

    @property
    def units(self) -> Expr:
        """Hidden units, the one for all constants of the layer included."""
        constant = any(part.scale * part.relus.constant for part in self.hidden)
        return sum((part.width * part.count for part in self.hidden), Integer(constant))

    @property
    def sublayers(self) -> int:
        """How many of its two sub-layers, attention and MLP, are not empty."""
        return bool(self.heads) + any(part.relus.units or part.relus.constant for part in self.hidden)

    @property
    def least_norm(self) -> Norms:
        """Bounds on max(|Q|, |K|) + sum |V| + |W1| + |W2| after balancing, in both norms.

        Heads with sum |Q| |K| |V| = S can be rescaled to the norm (3/2) (2S)^(1/3), as
        construct/block/balance.py proves; for MLPs see `least_mlp_norm`.
        """
        strength = sum((part.strength for part in self.heads), Norms(0.0, 0.0))
        one, two = (1.5 * float(np.cbrt(2 * each)) for each in strength)
        return Norms(one, two) + least_mlp_norm(self.hidden)


def least_mlp_norm(parts: Iterable[Units]) -> Norms:
    """Bounds on |W1| + |W2| after balancing: each unit in the 1-norm, the MLP as a whole in the 2-norm.

    1-norm: 2 sqrt(A), A the largest column sum of |W1| whose rows are multiplied by the column sums of |W2|.
    2-norm: 2 sqrt(|W1| |W2|), by Frobenius norms.
    """
    first = second = slot = one = unit = 0.0
    for part in parts:
        relus, size, weights = part.relus, part.size, abs(part.scale) * np.abs(part.relus.c)
        shifts, constant = np.abs(relus.a * part.bias + relus.b), abs(part.scale * relus.constant)
        slot += part.most * float((weights * np.abs(relus.a)).sum())
        one += size * (float((weights * shifts).sum()) + constant)
        first += size * float(((relus.a * part.form) ** 2 + shifts**2).sum())
        second += size * (float((weights**2).sum()) + constant**2)
        unit = unit or float(constant != 0)  # the unit that holds the constants
    return Norms(2 * math.sqrt(max(slot, one)), 2 * ((first + unit) * second) ** 0.25)


def read_heads(width: Expr, size: int, relus: ReluSum, count: Expr) -> list[Heads]:
    """Heads that apply ReLUs to <query, key>; all constants share one more head."""
    heads = []
    if relus.units:
        strength = size * float((np.abs(relus.c) * np.maximum(np.abs(relus.a), np.abs(relus.b))).sum())
        heads.append(Heads(width * count, Norms(strength, strength)))
    if relus.constant:
        constant = abs(relus.constant)
        heads.append(Heads(Integer(1), Norms(constant * size, constant * math.sqrt(size))))
    return heads


def slope_units(problem: Problem) -> Units:
    """u as a piecewise linear function of p - rho y: linear (squared loss) or a clip (Huber)."""
    relus = slope_relus(problem, {})
    return _of_slope(problem, relus, Integer(relus.units))


def _of_slope(problem: Problem, relus: ReluSum, count: Expr, bias: float = 0.0) -> Units:
    """ReLUs of p - rho y, one sum for each output."""
    rho = abs(problem.loss.rho)
    return Units(d_out, problem.d_out, relus, count, form=math.hypot(1, rho), bias=bias, most=max(1.0, rho))


class StepCosts:
    """The costs of every layer of one step except the last (update and projection), from a plan.

    layers: in order.  scratch: the number of scratch coordinates of the stream, in symbols.
    constants: the symbols used, with values and meanings; callers add more with `name`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.problem, self.exact = plan, plan.problem, plan.construction == "exact"
        self.constants: dict[Symbol, tuple[Number, str]] = dict(letters(plan.problem))
        loss = self.problem.loss
        self.linear_output = self.problem.output == "linear"
        self.bends = loss.rho != 0 and not loss.phi.derivative.is_constant
        self.scratch: Expr = Integer(0)
        self.layers = self._paper() if plan.construction == "paper" else self._lean()

    def name(self, symbol: str, value: Number, meaning: str) -> Symbol:
        """A new symbol with its value and its meaning."""
        made = Symbol(symbol, nonnegative=True, integer=isinstance(value, int) or None)
        self.constants[made] = value, meaning
        return made

    def _width(self, j: int) -> tuple[Expr, int]:
        return (d_out if j == self.problem.N else K), self.problem.dims[j]

    def _function(self, kind: Literal["r", "dr", "u"], j: int) -> tuple[ReluSum, Expr]:
        """r, r' or u of layer j as ReLUs, and their number: a planned fit, or exact where it is linear."""
        term, fits = Term(kind, j), self.plan.fits
        if kind == "u":
            relus = slope_relus(self.problem, fits)
        else:
            relus = activation_relus(self.problem, fits, term, self.plan.layers[j - 1].z)
        if term not in fits:
            return relus, Integer(relus.units)
        what = {"r": "r", "dr": "r'", "u": "the loss slope"}[kind]
        meaning = f"ReLUs of the planned fit of {what} in layer {j}, within {fits[term].tolerance:.3g}"
        return relus, self.name(f"m_{kind}{j}", relus.units, meaning)

    def _slope(self, bias: float = 0.0) -> list[Units]:
        """The MLP that computes u: a function of p - rho y, or a fit and a linear term in y."""
        problem = self.problem
        if problem.loss.rho != 0:
            return [self._ridge(bias)]
        fit, count = self._function("u", problem.N)
        targets = Units(d_out, problem.d_out, signed(-problem.loss.sigma), Integer(2))
        return [Units(d_out, problem.d_out, fit, count, 1.0, bias), targets]

    # `lean` and `exact`.

    def _lean(self) -> list[LayerCosts]:
        last, loss = self.problem.N, self.problem.loss
        layers = [self._forward(j) for j in range(1, last + 1)]
        # z and s in every layer, p and g in the hidden ones, then p(N) and u where they have slots.
        self.scratch += 2 * ((N - 1) * K + d_out) + 2 * (N - 1) * K
        slopes = sum(self._multiplies(j) for j in range(1, last))
        self.scratch += ((N - 1) if slopes == last - 1 else slopes) * K
        if not self.linear_output:
            self.scratch += d_out * int(self._multiplies(last))
            own_slot = loss.rho == 0 or self.bends
            self.scratch += d_out * (int(loss.rho != 0) + int(own_slot))
            slope = abs(float(loss.phi.derivative(0.0)))
            form = (1.0,) if own_slot else (slope, slope * loss.rho)
            layers.append(
                LayerCosts(self._slope_heads() if self.bends else [], self._multiply(last, form, 0.0))
            )
        for j in range(last - 1, 0, -1):
            offset = offset_above(self.plan.layers[j - 1].g)
            layers.append(LayerCosts(self._bilinear(j, offset), self._multiply(j, (1.0,), -offset)))
        return layers

    def _multiplies(self, j: int) -> bool:
        """Whether s(j) needs r'(z) in a slot: not if a constant times g is accurate enough."""
        if self.exact:
            return True
        square = self.plan.products[Term("product", j)].square
        return square is not None and square.relus.units > 0

    def _bilinear(self, j: int, offset: float) -> list[Heads]:
        return read_heads(*self._width(j), relu(offset), Integer(1))

    def _forward(self, j: int) -> LayerCosts:
        """z(j) by attention, then p(j), r'(z(j)) and the part of u that depends on z(N) by the MLP."""
        output, offset = j == self.problem.N, offset_above(self.plan.layers[j - 1].z)
        from_p = self.problem.loss.rho != 0 and not self.linear_output
        hidden = self._slope(-offset) if output and not from_p else []
        gated = self.exact and self.problem.activation_at(j).name == "relu"
        if not output or from_p:
            relus, count = (relu(), Integer(1)) if gated else self._function("r", j)
            hidden.append(Units(*self._width(j), relus, count, 1.0, -offset))
        if not (output and self.linear_output):
            relus, count = (gate(MARGIN), Integer(2)) if self.exact else self._function("dr", j)
            if self._multiplies(j):
                hidden.append(Units(*self._width(j), relus, count, 1.0, -offset))
        return LayerCosts(self._bilinear(j, offset), hidden)

    def _ridge(self, bias: float = 0.0) -> Units:
        """u as a function of p - rho y: a planned fit, or exact where it is linear."""
        relus, count = self._function("u", self.problem.N)
        return _of_slope(self.problem, relus, count, bias)

    def _slope_heads(self) -> list[Heads]:
        """A nonlinear loss slope, by attention: the query holds the form, the key is 1."""
        part = self._ridge()
        heads, relus = read_heads(part.width, part.size, part.relus, part.count), part.relus
        if relus.units:
            one = np.maximum(np.abs(relus.a) * part.most, np.abs(relus.b))
            two = np.hypot(relus.a * part.form, relus.b)
            strength = Norms(*(part.size * float((np.abs(relus.c) * each).sum()) for each in (one, two)))
            heads[0] = heads[0]._replace(strength=strength)
        return heads

    def _multiply(self, j: int, coefficients: Sequence[float], bias: float) -> list[Units]:
        """s(j) = r'(z(j)) g(j), g a form with these coefficients: two gated units, or line and squares."""
        form, most = math.hypot(*coefficients), max(map(abs, coefficients))
        (width, size), reach = self._width(j), offset_above(self.plan.layers[j - 1].g)
        if self.exact and self.problem.activation_at(j).name == "relu":
            gated = Units(width, size, relu(), Integer(1), math.hypot(reach, form), most=max(reach, most))
            return [gated._replace(bias=sign * bias - reach) for sign in (1, -1)]
        product = self.plan.products[Term("product", j)]
        parts = []
        if product.centre:
            parts.append(Units(width, size, linear(product.centre, reach), Integer(1), form, bias, most=most))
        if product.square is not None and self._multiplies(j):
            squares = product.square.relus
            bare = ReluSum(squares.a, squares.b, squares.c)  # the constants of the two squares cancel
            count = self.name(f"m_x{j}", squares.units, f"ReLUs of the square in the products of layer {j}")
            mixed = Units(
                width,
                size,
                bare,
                count,
                form=math.hypot(product.a, product.b * form),
                most=max(abs(product.a), abs(product.b) * most),
            )
            for sign in (1, -1):
                shift = sign * product.b * bias - product.a * product.centre
                parts.append(mixed._replace(bias=shift, scale=sign / 4))
        return parts

    # `paper`.

    def _paper(self) -> list[LayerCosts]:
        depth = range(1, self.problem.N + 1)
        self.scratch += 3 * ((N - 1) * K + d_out) + d_out  # p, r' and s in every layer, and u
        layers = [LayerCosts(read_heads(*self._width(j), *self._function("r", j))) for j in depth]
        slopes = [part for j in depth for part in read_heads(*self._width(j), *self._function("dr", j))]
        widths = [self._width(j) for j in reversed(depth)]
        gates = [LayerCosts([Heads(2 * width, Norms(2.0 * size, 2.0 * size))]) for width, size in widths]
        return [*layers, LayerCosts(slopes), LayerCosts(hidden=self._slope()), *gates]
