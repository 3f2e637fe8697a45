"""Theorem 1's sizes against the matrices of construct/ and against formulas written by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sympy
import torch

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.claims import D_w, K, N, d, d_out, epsilon
from icgd.bounds.functions.random_features import sample_features
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import built, claims, laws, local_tolerance, symbolic_step_error, violated
from icgd.bounds.step_error.budget import approximated
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term, ranges, step_error_bound
from icgd.construct.block.assembly import _Builder
from icgd.construct.block.census import census
from icgd.construct.prompt import Prompt
from icgd.construct.relu_icgd import build


def by_quantity(claims):
    return {claim.quantity: claim for claim in claims}


def random_problem(seed, **fixed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip(("N", "K", "d", "d_out", "n", "L"), rng.integers(1, 4, 6).tolist(), strict=True))
    radii = dict(zip(("B_x", "B_y", "B_v", "eta"), rng.uniform(0.3, 1.2, 4).tolist(), strict=True))
    return Problem(**(sizes | radii | {"eps": 0.3} | fixed))


SHAPES = (("lean", "tanh"), ("paper", "softplus"), ("exact", "relu"), ("lean", "identity"))
SHAPED = [
    (construction, activation, loss, output)
    for loss in LOSSES
    for output in ("activated", "linear")
    for construction, activation in SHAPES
    if not (construction == "exact" and not LOSSES[loss].phi.is_piecewise_linear)
]
# Every shape at depth 1, and at one greater depth.
DEEP = [(*shape, depth) for i, shape in enumerate(SHAPED) for depth in (1, 2 + i % 2)]


@pytest.mark.parametrize("construction, activation, loss, output, depth", DEEP)
def test_what_is_built_has_the_sizes_foretold(construction, activation, loss, output, depth):
    seed = DEEP.index((construction, activation, loss, output, depth))
    fixed = {"activation": ACTIVATIONS[activation], "loss": LOSSES[loss], "output": output}
    problem = random_problem(seed, N=depth, eps=0.5, **fixed)
    counted = census(build(problem, construction)).as_dict()
    for claim in built(problem, construction):
        if claim.quantity == "step_error":
            assert claim.value <= problem.eps
        elif claim.relation == "==":
            assert isinstance(claim.value, int) and counted[claim.quantity] == claim.value, claim.key
        else:
            assert counted[claim.quantity] <= claim.value * (1 + 1e-9), claim.key
            assert claim.value <= 4 * counted[claim.quantity], claim.key


def test_the_theorem_holds_for_what_is_built_in_its_shape():
    for seed in range(3):
        problem = random_problem(seed, eps=0.3)
        counted = census(build(problem, "paper"))
        claimed = by_quantity(claims(problem))
        assert counted.layers == claimed["layers"].value == 2 * problem.N + 4
        assert counted.layers * problem.L == claimed["depth"].value
        assert counted.heads <= claimed["heads"].value
        assert counted.width <= claimed["width"].value
        assert plan(problem, "paper").bound <= claimed["step_error"].value == problem.eps


WAYS = (("lean", "activated"), ("lean", "linear"), ("paper", "activated"))


@pytest.mark.slow
def test_width_is_within_its_explicit_constant_for_all_sizes():
    """lean and paper, whatever the loss: D - D_w - c N K^2 with c = d + 6 d_out + 5."""
    for loss in LOSSES.values():
        for construction, output in WAYS:
            problem = Problem(N=2, K=1, d=1, eps=2.0, loss=loss, output=output)
            width = by_quantity(built(problem, construction))["width"].bound
            for n_layers in (1, 2, 3, 9):
                for k in (1, 2, 7):
                    for sizes in ((1, 1), (5, 1), (1, 5)):
                        at = {N: n_layers, K: k, d: sizes[0], d_out: sizes[1], D_w: 0}
                        assert width.subs(at) <= (sizes[0] + 6 * sizes[1] + 5) * n_layers * k**2


@pytest.mark.parametrize("seed", range(4))
def test_the_local_tolerance_is_the_largest_one(seed):
    problem = random_problem(seed, eps=[0.5, 0.1, 1e-2, 1e-4][seed])
    local = local_tolerance(problem)

    def error(e):
        errors = dict.fromkeys(approximated(problem, "paper"), e)
        return step_error_bound(problem, ranges(problem, errors), errors, from_z=False)

    assert error(local.e) <= problem.eps < error(local.e * 1.001)
    assert problem.eps / local.C <= local.e <= problem.eps / local.C * (1 + 1e-9)


def sampled_transformer(problem, seed):
    """The paper's shape, every fit replaced by as many random features as the theorem's route asks for."""
    local, claimed = local_tolerance(problem), by_quantity(claims(problem))["heads"]
    constants = {str(symbol): value for symbol, (value, _) in claimed.constants.items()}
    made, rng = plan(problem, "paper"), np.random.default_rng(seed)
    fits = {}
    for term, fit in made.fits.items():
        A = constants[("A_{r" if term.kind == "r" else "A_{r'") + ("N}" if term.layer == problem.N else "}")]
        count = math.floor(2 * math.log(2) * (A * local.C / problem.eps) ** 2) + 1
        z = local.layers[term.layer - 1].z
        fits[term] = replace(fit, relus=sample_features(fit.g, z, count, rng))
    return _Builder(problem, replace(made, layers=local.layers, fits=fits)).build()


def descend_by_hand(x, y, V, eta):
    """One step on r(V2 r(V1 x)) = y by the chain rule in numpy, tanh and squared loss."""
    gradients = [np.zeros_like(v) for v in V]
    for xi, yi in zip(x, y, strict=True):
        p = [xi]
        for v in V:
            p.append(np.tanh(v @ p[-1]))
        s = 2 * (p[-1] - yi)
        for j in range(len(V) - 1, -1, -1):
            s = s * (1 - p[j + 1] ** 2)
            gradients[j] += np.outer(s, p[j]) / (2 * len(x))
            s = V[j].T @ s
    return [v - eta * g for v, g in zip(V, gradients, strict=True)]


@pytest.mark.parametrize("N, K", [(1, 1), (2, 1)])
def test_a_transformer_of_sampled_features_keeps_the_claims(N, K):
    problem = Problem(N=N, K=K, d=1, n=3, eps=[0.5, 2.0][N - 1], B_y=0.5)
    transformer, claimed = sampled_transformer(problem, seed=3), by_quantity(claims(problem))
    counted = census(transformer)
    assert 0.5 * claimed["heads"].value <= counted.heads <= claimed["heads"].value
    assert counted.least_norm <= claimed["least_norm"].value * (1 + 1e-9)
    assert counted.least_norm_1 <= claimed["least_norm_1"].value * (1 + 1e-9)
    assert counted.width <= claimed["width"].value
    rng = np.random.default_rng(0)
    h = [problem.half_width(j) for j in range(1, N + 1)]
    for _ in range(20):
        x, y = rng.uniform(-1, 1, (3, 1)), rng.uniform(-0.5, 0.5, (3, 1))
        V = [rng.uniform(-w, w, (1, 1)) for w in h]
        expected = np.clip(np.concatenate(descend_by_hand(x, y, V, problem.eta)).ravel(), -np.array(h), h)
        w = torch.tensor(np.concatenate(V).reshape(1, -1))
        query = torch.zeros(1, 1, dtype=torch.float64)
        prompt = Prompt(torch.tensor(x)[None], torch.tensor(y)[None], query, w)
        reached = transformer.step(prompt)[0].numpy()
        assert np.linalg.norm(reached - expected) <= problem.eta * claimed["step_error"].value


def test_norm_by_hand_for_one_unit():
    """N = d = 1 and an update so large that its layer is the largest: the formula written out again."""
    problem = Problem(N=1, K=1, d=1, n=1, eta=100.0, eps=0.5)
    claimed = by_quantity(claims(problem))
    (o,) = (value for symbol, (value, _) in claimed["least_norm"].constants.items() if str(symbol) == "B_t")
    # Two heads of value 100: a key of the masked s, with entries 1, 2o and o, and a key of t.
    for name, key in (("least_norm", math.sqrt(1 + 5 * o**2)), ("least_norm_1", 2 * o)):
        strength = 100 * key + 100 * o
        assert claimed[name].value == pytest.approx(1.5 * (2 * strength) ** (1 / 3), rel=1e-12)
    # |s| <= sup|r'| |u|, with |u| <= 2 (tanh(1) + B_y), and a little more for the local errors.
    exact = 2 * (math.tanh(1) + 1)
    assert exact < o < exact * 1.5


def test_symbolic_step_error_by_hand_for_one_layer():
    problem = Problem(N=1, d=1, eps=1e-4)
    found = symbolic_step_error(problem, "paper")
    e_r, e_dr = sorted(found.free_symbols, key=str, reverse=True)
    # s = r'(z) u, so ds <= 2 e_r + |u| e_dr with |u| <= 2 (tanh 1 + 1); the gradient is s x / 2, x exact.
    u = 2 * (math.tanh(1) + 1)
    assert float(found.subs({e_r: 1, e_dr: 0})) == pytest.approx(1.0, rel=1e-3)
    assert float(found.subs({e_r: 0, e_dr: 1})) == pytest.approx(u / 2, rel=1e-3)


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_symbolic_step_error_agrees_with_the_certified_one(construction):
    problem = random_problem(5, N=3, loss=LOSSES["logistic"], eps=0.05)
    made, found = plan(problem, construction), symbolic_step_error(problem, construction)
    largest = {}
    for term, error in made.errors.items():
        largest[f"e_{term.kind}"] = max(error, largest.get(f"e_{term.kind}", 0.0))
    values = {symbol: largest[str(symbol)] for symbol in found.free_symbols}
    assert {"e_r", "e_dr", "e_u"} <= {str(symbol) for symbol in found.free_symbols}
    assert float(found.subs(values)) >= made.bound * 0.999  # equal errors are the largest ones
    assert Term("z", 1) in made.errors  # rounding is in the certified bound alone


def test_laws_foretell_smaller_tolerances():
    at, finer = Problem(N=2, K=2, eps=2e-2), Problem(N=2, K=2, eps=2e-2 / 9)
    law = {name: float(expr.subs(epsilon, finer.eps)) for name, expr in laws(at).items()}
    assert plan(finer, "lean").units == pytest.approx(law["lean"], rel=0.05)
    assert by_quantity(claims(finer))["heads"].value == pytest.approx(law["theorem"], rel=0.1)
    assert sympy.limit(laws(at)["theorem"] * epsilon**2, epsilon, 0) > 0


def test_relu_is_outside_the_theorem_and_its_claims_are_infinite():
    problem = Problem(activation=ACTIVATIONS["relu"])
    assert "not C^4" in violated(problem)
    claimed = by_quantity(claims(problem))
    assert {claimed[name].value for name in ("heads", "least_norm", "least_norm_1")} == {math.inf}
    assert claimed["layers"].value == 10
    assert all(violated(Problem(activation=ACTIVATIONS[name])) is None for name in ("tanh", "gelu", "sin"))


def test_ranges_beyond_float64_are_refused_with_a_reason():
    with pytest.raises(ProblemError, match="exceed float64"):
        claims(Problem(activation=parse_activation("exp(t)")))


def test_nothing_is_hidden():
    problem = Problem(N=2, K=2, eps=0.3)
    for claim in (*claims(problem), *built(problem)):
        assert "O(" not in claim.expression
        assert all(meaning for _, meaning in claim.constants.values())
        assert math.isfinite(claim.value) and claim.statement.count("$") % 2 == 0
