"""Assembly, from a plan, of the block with which a ReLU transformer takes one gradient step.

`lean`: our construction, 2N+1 ordinary layers per step (2N with a linear output layer).
`paper`: the shape of arXiv 2411.16549, Theorem 1, 2N+4 sub-layers per step.
`exact`: `lean` for a ReLU network, without any approximation; see `MARGIN`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from icgd.bounds.functions.relu_sum import ReluSum, gate, linear, relu, signed
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.plan import Plan
from icgd.bounds.step_error.product import Product
from icgd.bounds.step_error.recurrence import LayerRanges, Term
from icgd.bounds.step_error.rounding import offset_above
from icgd.construct.block.heads import Aggregate, AttentionPart, Clip, Gate, Read
from icgd.construct.block.hidden import Ridge, finish, squares
from icgd.construct.block.stream import Stream
from icgd.construct.block.transformer import Layer, Transformer


def assemble(made: Plan, n: int | None = None) -> Transformer:
    """The transformer that a plan describes, for its own number of examples or for another one.

    Only the factor (n+1)/(2n) of the update heads depends on n.
    """
    problem = made.problem if n is None else replace(made.problem, n=n)
    return _Builder(problem, made).build()


@dataclass
class _Builder:
    problem: Problem
    plan: Plan
    attention: list[list[AttentionPart]] = field(default_factory=list)
    hidden: list[list[Ridge]] = field(default_factory=list)
    scratch: dict[str, int] = field(default_factory=dict)

    def build(self) -> Transformer:
        layers = self._paper() if self.plan.construction == "paper" else self._lean()
        stream = Stream(self.problem, tuple(self.scratch.items()))
        return Transformer(self.plan.construction, self.problem, stream, layers)

    # Parts that both constructions share.

    def _ranges(self, j: int) -> LayerRanges:
        return self.plan.layers[j - 1]

    def _slot(self, name: str, j: int) -> str:
        """The name of scratch slot `name` of network layer j; p(0) is x."""
        if name == "p" and j == 0:
            return "x"
        self.scratch[f"{name}{j}"] = self.problem.dims[j]
        return f"{name}{j}"

    def _function(self, kind: Literal["r", "dr"], j: int) -> ReluSum:
        """r or r' of layer j as ReLUs."""
        return activation_relus(self.problem, self.plan.fits, Term(kind, j), self._ranges(j).z)

    def _update(self) -> list[AttentionPart]:
        n = self.problem.n
        scale = -self.problem.eta * (n + 1) / (2 * n)
        return [
            Aggregate(
                self._slot("s", j), self._slot("p", j - 1), f"V{j}", scale, offset_above(self._ranges(j).s)
            )
            for j in range(1, self.problem.N + 1)
        ]

    # Our construction.

    def _lean(self) -> list[Layer]:
        problem, N = self.problem, self.problem.N
        exact = self.plan.construction == "exact"
        linear_output = problem.output == "linear"
        layers: list[Layer] = []
        for j in range(1, N + 1):
            z, offset = self._slot("z", j), offset_above(self._ranges(j).z)
            read = Read(self._slot("p", j - 1), f"V{j}", relu(offset), z)
            hidden = self._slope_at(offset) if j == N else []
            if j < N or self._needs_output():
                hidden.append(Ridge({z: 1.0}, self._r(j, exact), self._slot("p", j), bias=-offset))
            if not (j == N and linear_output):
                slope = gate(MARGIN) if exact else self._function("dr", j)
                if self._multiplies(j):
                    hidden.append(Ridge({z: 1.0}, slope, self._slot("dr", j), bias=-offset))
            layers.append(Layer([read], hidden))
        form = self._slope_form()
        if not linear_output:
            clip: list[AttentionPart] = []
            if self._clips():
                clip, form = (
                    [
                        Clip(
                            {self._slot("p", N): 1.0, "y": -problem.loss.rho}, self._phi(), self._slot("u", N)
                        )
                    ],
                    {self._slot("u", N): 1.0},
                )
            layers.append(Layer(clip, self._multiply(N, form, 0.0)))
        for j in range(N - 1, 0, -1):
            g, offset = self._slot("g", j), offset_above(self._ranges(j).g)
            read = Read(self._slot("s", j + 1), f"V{j + 1}", relu(offset), g, columns=True)
            layers.append(Layer([read], self._multiply(j, {g: 1.0}, -offset)))
        update = self._update()
        return [*layers, Layer(update, finish(self.problem, self.scratch))]

    def _r(self, j: int, exact: bool) -> ReluSum:
        itself = exact and self.problem.activation_at(j).name == "relu"
        return relu() if itself else self._function("r", j)

    def _multiplies(self, j: int) -> bool:
        """Whether s(j) is computed from a slot that holds r'(z): not if a constant times g is enough."""
        if self.plan.construction == "exact" and self.problem.activation_at(j).name == "relu":
            return True
        square = self.plan.products[Term("product", j)].square if self.plan.products else None
        return square is not None and square.relus.units > 0

    def _clips(self) -> bool:
        """Whether the loss slope is nonlinear, so that it needs units of its own on p - rho y."""
        return self.problem.loss.rho != 0 and not self.problem.loss.phi.derivative.is_constant

    def _needs_output(self) -> bool:
        """Whether p(N) itself is needed: not if the loss slope is a function of z(N)."""
        return self.problem.loss.rho != 0 and self.problem.output != "linear"

    def _phi(self) -> ReluSum:
        """The part of the loss slope that may be nonlinear."""
        return slope_relus(self.problem, self.plan.fits)

    def _slope_at(self, offset: float) -> list[Ridge]:
        """The units that compute u from z(N) in layer N; none unless the output is linear or rho = 0."""
        problem, N, z = self.problem, self.problem.N, self._slot("z", self.problem.N)
        loss, name = problem.loss, "s" if problem.output == "linear" else "u"
        if self._needs_output():
            return []
        if loss.rho == 0:
            target = self._slot(name, N)
            return [
                Ridge({z: 1.0}, self._phi(), target, bias=-offset),
                Ridge({"y": 1.0}, signed(-loss.sigma), target),
            ]
        return [Ridge({z: 1.0, "y": -loss.rho}, self._phi(), self._slot(name, N), bias=-offset)]

    def _slope_form(self) -> dict[str, float]:
        """u as a linear form of slots: of p(N) and y for the squared loss, else its own slot."""
        loss, N = self.problem.loss, self.problem.N
        if loss.rho == 0 or self._clips() or self.problem.output == "linear":
            return {f"u{N}": 1.0}
        slope = float(loss.phi.derivative(0.0))
        return {self._slot("p", N): slope, "y": -slope * loss.rho}

    def _multiply(self, j: int, form: dict[str, float], bias: float) -> list[Ridge]:
        """s(j) = r'(z(j)) * (the linear form g, with its offset removed by `bias`)."""
        target, reach = self._slot("s", j), offset_above(self._ranges(j).g)
        if self.plan.construction == "exact" and self.problem.activation_at(j).name == "relu":
            opened, closed = {self._slot("dr", j): reach, **form}, {self._slot("dr", j): reach}
            closed |= {name: -c for name, c in form.items()}
            return [
                Ridge(opened, relu(), target, bias=bias - reach),
                Ridge(closed, relu(), target, bias=-bias - reach, scale=-1.0),
            ]
        product: Product = self.plan.products[Term("product", j)]
        ridges = []
        if product.centre:
            ridges.append(Ridge(form, linear(product.centre, reach), target, bias=bias))
        if self._multiplies(j):
            ridges += squares(product, self._slot("dr", j), form, target, bias)
        return ridges or [Ridge(form, ReluSum([], [], []), target)]

    # The theorem's shape.

    def _paper(self) -> list[Layer]:
        N = self.problem.N
        layers = [
            Layer([Read(self._slot("p", j - 1), f"V{j}", self._function("r", j), self._slot("p", j))])
            for j in range(1, N + 1)
        ]
        layers.append(
            Layer(
                [
                    Read(self._slot("p", j - 1), f"V{j}", self._function("dr", j), self._slot("dr", j))
                    for j in range(1, N + 1)
                ]
            )
        )
        layers.append(Layer([], self._slope_from_output()))
        for j in range(N, 0, -1):
            query, matrix = (self._slot("u", N), None) if j == N else (self._slot("s", j + 1), f"V{j + 1}")
            layers.append(
                Layer([Gate(query, matrix, self._slot("dr", j), self._slot("s", j))], diagonal=True)
            )
        update = self._update()
        return [*layers, Layer(update), Layer([], finish(self.problem, self.scratch))]

    def _slope_from_output(self) -> list[Ridge]:
        loss, N = self.problem.loss, self.problem.N
        p, u = self._slot("p", N), self._slot("u", N)
        if loss.rho == 0:
            return [Ridge({p: 1.0}, self._phi(), u), Ridge({"y": 1.0}, signed(-loss.sigma), u)]
        return [Ridge({p: 1.0, "y": -loss.rho}, self._phi(), u)]
