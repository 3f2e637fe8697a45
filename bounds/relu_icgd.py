"""Theorem 1 of arXiv 2411.16549: its claims with explicit constants, and the sizes of our constructions.

`claims`: the theorem's own construction (equal local errors, randomly sampled features).
`built`: the constructions of construct/block/assembly.py, counted here from the plan alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import sympy
from sympy import Expr, Integer, Max, Symbol, sqrt

from icgd.bounds.claims import Claim, D_w, K, L, N, Number, d, d_out, epsilon, letters
from icgd.bounds.functions.random_features import feature_mass, sampled_heads
from icgd.bounds.functions.scalar import Scalar
from icgd.bounds.letters import ProblemError
from icgd.bounds.listing import Listing
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction, approximated, from_z
from icgd.bounds.step_error.layer_costs import Norms, StepCosts, least_mlp_norm, slope_units
from icgd.bounds.step_error.least_norms import (
    NEURONS,
    LeastNorms,
    balanced_heads,
    projection_norms,
    update_norms,
)
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import LayerRanges, propagate, ranges, step_error_bound
from icgd.bounds.step_error.rounding import offset_above

SOURCE = "arXiv:2411.16549, Theorem 1"
EXPLICIT = ("heads", "width", "least-norm-1", "least-norm")
"""Sizes that the theorem states up to constants, which `claims` makes explicit, by their names in keys."""
HYPOTHESES = (
    "r, r' and u are Lipschitz and C^4 (a piecewise linear u is represented exactly, and need not be)",
    "norm2(x_i) <= B_x and norm2(y_i) <= B_y",
    "norm2(v_jk) <= B_v for every layer j, the output layer included",
    "Proj is an MLP: here the projection onto the box W inside that domain",
    "an EWML layer lets each token attend to itself only",
)


def violated(problem: Problem) -> str | None:
    """Which hypothesis of Theorem 1 the activation breaks on the range it is used on, or None.

    >>> violated(Problem()) is None
    True
    """
    if not problem.activation.is_smooth:
        return problem.activation.violated_hypothesis(1.0)
    try:
        radius = max(layer.z for layer in ranges(problem, {}))
    except ValueError as error:
        return error.allowed if isinstance(error, ProblemError) else str(error)
    return problem.activation.violated_hypothesis(radius)


class LocalTolerance(NamedTuple):
    """The common error e that every approximated function may make.

    e: in the units of the functions.  C: step error per unit of local error; eps / C <= e.
    layers: ranges that hold while every local error is at most e.
    """

    e: float
    C: float
    layers: tuple[LayerRanges, ...]


@lru_cache(maxsize=64)
def local_tolerance(problem: Problem) -> LocalTolerance:
    """The largest equal local error (to 1e-4) at which the plain recurrence stays within eps.

    Exact arithmetic and the theorem's own layers: u is computed from the approximate p(N); products are
    exact.
    Ranges depend on e and the step error on the ranges, so e is found by false position; C is their ratio.
    Raises ProblemError where a range or the step error leaves float64.

    >>> local = local_tolerance(Problem())
    >>> local.e * local.C <= 0.05 * (1 + 1e-9)
    True
    """
    terms = approximated(problem, "paper")

    def at(e: float) -> tuple[float, tuple[LayerRanges, ...]]:
        errors = dict.fromkeys(terms, e)
        try:
            layers = ranges(problem, errors)
            return step_error_bound(problem, layers, errors, from_z=False), layers
        except ValueError:  # a range has overflowed
            return math.inf, ()

    if not terms:
        return LocalTolerance(problem.eps, 1.0, ranges(problem, {}))
    tiny = 1e-9 * problem.eps
    slight = at(tiny)[0]
    if not math.isfinite(slight):
        raise ProblemError("B_v", problem.B_v, "the ranges it allows exceed float64; lower it, B_x or N")
    high = problem.eps * tiny / slight  # too large, or exact: the step error over e increases with e
    while not math.isfinite(over := at(high)[0]):
        high /= 16
    low = high * min(1.0, problem.eps / over) * (1 - 1e-8)
    under, layers = at(low)
    for _ in range(30):
        if under >= problem.eps * (1 - 1e-4):
            break
        middle = low * (high / low) ** (math.log(problem.eps / under) / math.log(over / under))
        value, found = at(middle)
        if value > problem.eps:
            high, over = middle, value
        else:
            low, under, layers = middle, value, found
    assert under <= problem.eps
    return LocalTolerance(low, problem.eps / low * (1 + 2.0**-50), layers)


_mass = lru_cache(maxsize=4096)(feature_mass)


class _Group(NamedTuple):
    """Network layers first..last, all of one width: the hidden ones, or the output layer."""

    width: Expr
    number: Expr
    first: int
    last: int
    mark: str


class _Route:
    """The sizes of the theorem's own layers, with sampled features, in symbols and their values."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.local = problem, local_tolerance(problem)
        self.constants: dict[Symbol, tuple[Number, str]] = dict(letters(problem))
        self.groups = [_Group(d_out, Integer(1), problem.N, problem.N, "N")]
        if problem.N > 1:
            self.groups.append(_Group(K, N - 1, 1, problem.N - 1, ""))
        meaning = (
            "step error per unit of local error: the plain recurrence at equal errors of r, r' and u, "
            "with the ranges they lead to; the local tolerance is epsilon/C"
        )
        self.C = self.name("C", self.local.C, meaning)

    def name(self, symbol: str, value: Number, meaning: str) -> Symbol:
        made = Symbol(symbol, positive=True)
        self.constants[made] = value, meaning
        return made

    def _function(self, kind: str, layer: int) -> Scalar:
        r = self.problem.activation_at(layer).r
        return r if kind == "r" else r.derivative

    def _mass(self, kind: str, group: _Group) -> Symbol:
        """A bound on the mass of r or r' in ReLU features, in the layers of a group."""
        layers = range(group.first, group.last + 1)
        value = max(_mass(self._function(kind, j), self.local.layers[j - 1].z) for j in layers)
        what, where = "r" if kind == "r" else "r'", f"{group.first}..{group.last}"
        meaning = (
            f"mass of {what} in ReLU features (its sum of absolute weights) on the range of z in layers "
            f"{where} (ball arithmetic)"
        )
        return self.name(f"A_{{{what}{group.mark}}}", value, meaning)

    def _heads(self, kind: str, group: _Group) -> Expr:
        """Heads that one layer of the group needs for r or r'."""
        g = self._function(kind, group.last)
        if g.is_piecewise_linear:
            return Integer(1) if g.is_constant else group.width + 1
        return group.width * sampled_heads(self._mass(kind, group), epsilon / self.C)

    def heads(self) -> Expr:
        """Heads of the largest attention layer: for p(j), all r', the gates or the update."""
        values = [self._heads("r", group) for group in self.groups]
        slopes = sum(group.number * self._heads("dr", group) for group in self.groups)
        gates = [2 * group.width for group in self.groups]
        return Max(*values, slopes, *gates, NEURONS + N, evaluate=False)

    def least_norms(self) -> LeastNorms:
        """The largest layer norm after balancing, with features (A/M) relu(w . [t; R]) / R, norm1(w) = 1."""
        local, groups = self.local, self.groups
        R = self.name("R", min(layer.z for layer in local.layers), "least range of z over the layers")
        offset = max(offset_above(layer.s) for layer in local.layers)
        B_t = self.name("B_t", offset, "masking offset of the update, above every |s_i(j)[k]| (recurrence)")
        strengths = [group.width * self._mass("r", group) for group in groups]
        strengths.append(sum(group.number * group.width * self._mass("dr", group) for group in groups))
        reach = Max(1, 1 / R, evaluate=False)
        attention = [balanced_heads(reach * one) for one in strengths]
        attention += [balanced_heads(2 * group.width) for group in groups]
        u = self._slope_norms()
        meaning = "least norm of the MLP that applies u, in closed form"
        slopes = (
            self.name("nu_{u,1}", u.one, f"{meaning}, 1-norm"),
            self.name("nu_{u,2}", u.two, f"{meaning}, 2-norm"),
        )
        update, projection = update_norms(B_t), projection_norms(self.problem)
        return LeastNorms(
            *(
                Max(*attention, slopes[i], update[i], projection[i], evaluate=False)
                for i in range(len(LeastNorms._fields))
            )
        )

    def _slope_norms(self) -> Norms:
        """|W1| + |W2| of the balanced MLP for u, where M sampled rows share their mass equally."""
        loss, outputs = self.problem.loss, self.problem.d_out
        R = self.local.layers[-1].r + abs(loss.rho) * self.problem.B_y
        if loss.phi.is_piecewise_linear:
            return least_mlp_norm([slope_units(self.problem)])
        mass, sigma = _mass(loss.phi, R), abs(loss.sigma)
        through = max(outputs * mass, mass * max(1.0, abs(loss.rho)) / R + 2 * sigma)
        first = math.sqrt(outputs * (3 + (1 + loss.rho**2) / R**2))
        return Norms(2 * math.sqrt(through), 2 * math.sqrt(first * math.hypot(mass, math.sqrt(2) * sigma)))


def claims(problem: Problem) -> Listing[Claim]:
    """Theorem 1 for one problem: layers, depth, heads, width, norm and step error, with explicit constants.

    Sizes are those of the theorem's own layers with sampled features; heads and norms are infinite where
    the activation breaks the hypotheses (`violated`), as no finite sample then reaches eps.

    >>> [(claim.quantity, claim.value) for claim in claims(Problem())][:2]
    [('layers', 10), ('depth', 50)]
    """
    problem = Problem.taken(problem)
    route = None if violated(problem) else _Route(problem)
    heads = route.heads() if route else sympy.oo
    norms = route.least_norms() if route else LeastNorms(sympy.oo, sympy.oo)
    constants = route.constants if route else letters(problem)
    rows = (
        ("layers", "Layers per step", r"One step of gradient descent takes $2N+4$ layers.", 2 * N + 4),
        ("depth", "Layers of all steps", r"$L$ steps take $(2N+4)L$ layers.", (2 * N + 4) * L),
        (
            "heads",
            "Attention heads",
            r"$\tilde O(\epsilon^{-2})$ heads: with local tolerance $\epsilon/C$ each unit takes "
            r"$\lfloor 2\ln 2\,(AC/\epsilon)^2\rfloor+1$ sampled features, without any logarithm.",
            heads,
        ),
        (
            "width",
            "Embedding width",
            r"$D \le D_w + O(NK^2)$ with the constant $d + 6d_{out} + 5$; $K$ in place of $K^2$ would do.",
            D_w + (d + 6 * d_out + 5) * N * K**2,
        ),
        (
            "least_norm_1",
            "Parameter norm, balanced, 1-norms",
            r"The layer norm is at most $O(\eta)+C_w+1$: balanced, the theorem's own layers have this norm, "
            r"where $A$ are the masses of $r$ and $r'$ in ReLU features.",
            norms.one,
        ),
        (
            "least_norm",
            "Parameter norm, balanced, 2-norms",
            r"The same with the 2-norms of matrices in place of their 1-norms (Bai et al. 2023).",
            norms.two,
        ),
        ("step_error", "Error of a step", r"$\|\mathrm{err}\|_2 \le \eta\epsilon$ in every step.", epsilon),
    )
    return Listing(
        Claim(
            f"relu-icgd/{name}",
            f"{SOURCE}; constants: icgd" if name in EXPLICIT else SOURCE,
            f"{title} (made explicit)" if name in EXPLICIT else title,
            statement,
            HYPOTHESES,
            quantity,
            "<=",
            bound,
            constants,
        )
        for quantity, title, statement, bound in rows
        for name in (quantity.replace("_", "-"),)
    )


def built(problem: Problem, construction: Construction = "lean") -> tuple[Claim, ...]:
    """The sizes of one step of a construction, which must be met exactly, and its bounds.

    The counts of ReLUs come from the plan.  Norms are those of balanced layers; where they are 2-norms,
    Frobenius norms bound |W1| and |W2|.
    Raises ProblemError where the plan fails.

    >>> {claim.quantity: claim.value for claim in built(Problem(N=2, K=3), "lean")}["layers"]
    5
    """
    costs = StepCosts(plan(problem, construction))
    paper, last = construction == "paper", Integer(problem.output != "linear")
    layers = 2 * N + 4 if paper else 2 * N + last
    halves = 1 if paper else 2
    used = sum(layer.sublayers for layer in costs.layers) + 2
    empty = halves * int(layers.subs(N, problem.N)) - used
    o = costs.name("o", empty, "sub-layers with nothing to do")
    offset = max(offset_above(layer.s) for layer in costs.plan.layers)
    B_t = costs.name("B_t", offset, "masking offset of the update, above every |s_i(j)[k]|")
    largest = [layer.least_norm for layer in costs.layers]
    meaning = "largest norm of the balanced layers before the update"
    nu_1 = costs.name("nu_1", max(norms.one for norms in largest), f"{meaning}, 1-norm")
    nu_2 = costs.name(
        "nu_2", max(norms.two for norms in largest), f"{meaning}, 2-norm, |W| <= its Frobenius norm"
    )
    error = costs.name(
        "epsilon_*", costs.plan.bound, "bound over all cells at the local errors, rounding included"
    )
    update, projection = update_norms(B_t), projection_norms(problem)
    last_layers = [
        (one, other) if paper else (one + other,) for one, other in zip(update, projection, strict=True)
    ]
    heads = {layer.head_count for layer in costs.layers if layer.heads}
    units = {layer.units for layer in costs.layers if layer.hidden}
    scratch = sympy.expand(costs.scratch)
    rows: tuple[tuple[str, str, Literal["<=", "=="], Expr], ...] = (
        ("layers", "Layers per step", "==", layers),
        ("sublayers", "Sub-layers per step", "==", halves * layers - o),
        ("heads", "Attention heads", "==", Max(*heads, NEURONS + N, evaluate=False)),
        ("mlp_width", "Hidden units of an MLP", "==", Max(*units, 2 * D_w + 2 * scratch, evaluate=False)),
        ("width", "Embedding width", "==", d + d_out + D_w + scratch + 2),
        (
            "least_norm_1",
            "Parameter norm, balanced, 1-norms",
            "<=",
            Max(nu_1, *last_layers[0], evaluate=False),
        ),
        (
            "least_norm",
            "Parameter norm, balanced, 2-norms",
            "<=",
            Max(nu_2, *last_layers[1], evaluate=False),
        ),
        ("step_error", "Error of a step", "<=", error),
    )
    margin = ("r = relu, and no pre-activation lies in the margin (0, 2^-10)",)
    hypotheses = HYPOTHESES[1:3] + (margin if construction == "exact" else ())
    sign = {"<=": r"\le", "==": "="}
    return tuple(
        Claim(
            key=f"relu-icgd/{construction}/{quantity.replace('_', '-')}",
            source="icgd",
            title=title,
            statement=rf"{title}, construction {construction}: ${sign[relation]} {sympy.latex(bound)}$.",
            hypotheses=hypotheses,
            quantity=quantity,
            relation=relation,
            bound=bound,
            constants=costs.constants,
        )
        for quantity, title, relation, bound in rows
    )


def symbolic_step_error(problem: Problem, construction: Construction = "lean") -> Expr:
    """The bound on norm2(err)/eta in the symbols e_r, e_dr, e_product, e_u: local errors, equal over layers.

    Exact arithmetic; holds while no local error exceeds its tolerance in the plan, whose ranges it uses.

    >>> sorted(map(str, symbolic_step_error(Problem(N=1), "paper").free_symbols))
    ['e_dr', 'e_r']
    """
    made = plan(problem, construction)
    terms = [*made.fits, *made.products]
    errors = {term: Symbol(f"e_{term.kind}", positive=True) for term in terms if made.errors[term] > 0}
    steps = propagate(problem, made.layers, errors, from_z=from_z(problem, construction))
    return sqrt(sum(sympy.expand(block) ** 2 for block in steps.gradient))


def laws(problem: Problem) -> dict[str, Expr]:
    """How sizes grow as epsilon -> 0, to leading order: units of `lean`, heads of the theorem's route.

    lean: c epsilon^(-1/2), as all local errors shrink in proportion; theorem: c epsilon^(-2), without a
    logarithm.  Both c are computed at the problem's own eps.

    >>> {name: law.as_coeff_exponent(epsilon)[1] for name, law in laws(Problem()).items()}
    {'lean': -1/2, 'theorem': -2}
    """
    route, made = _Route(problem), plan(problem, "lean")
    claim = Claim("", "", "", "", (), "heads", "<=", route.heads(), route.constants)
    lean, theorem = made.units * math.sqrt(problem.eps), claim.value * problem.eps**2
    return {"lean": lean / sqrt(epsilon), "theorem": theorem / epsilon**2}
