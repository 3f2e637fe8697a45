"""Theorem 1 of arXiv 2411.16549, checked on whole transformers against hand-written mathematics.

For each problem: the literal matrices under an independent reading of the theorem's formulas, the
structured reading, and exact gradient descent from the backpropagation formulas, all three compared.
"""

import itertools
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term, ranges, step_error_bound
from icgd.construct.block.census import census
from icgd.construct.block.dense import DenseTransformer, dense_bytes
from icgd.construct.prompt import Prompt, box
from icgd.construct.relu_icgd import build, check_construction
from icgd.verify.kernels.formula import slope, values
from icgd.verify.search.prompts import random_prompts
from icgd.verify.strategies import problems
from tests.durations import mostly_slow
from tests.rounding import in_float64, of_step

LONG = np.longdouble
_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


# name: (r, r'), by hand, in extended precision where numpy has it.
BY_HAND = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "softplus": (lambda z: np.log1p(np.exp(z)), _sigmoid),
    "gelu": (
        lambda z: z * (1 + _erf(z / math.sqrt(2))) / 2,
        lambda z: (1 + _erf(z / math.sqrt(2))) / 2 + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi),
    ),
    "sin": (np.sin, np.cos),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(LONG)),
    "identity": (lambda z: z, np.ones_like),
    "t/2 - 1/5": (lambda z: z / 2 - LONG(1) / 5, lambda z: np.full_like(z, 0.5)),
    "sin(t)/3 + t**2/9": (lambda z: np.sin(z) / 3 + z**2 / 9, lambda z: np.cos(z) / 3 + 2 * z / 9),
}
SLOPE_BY_HAND = {
    "squared": lambda p, y: 2 * (p - y),
    "logistic": lambda p, y: _sigmoid(p) - y,
    "huber": lambda p, y: np.clip(p - y, -0.5, 0.5),
}


def by_hand(activation):
    """(r, r'): what is not written out above is worked out from the formula, without sympy."""
    if activation in BY_HAND:
        return BY_HAND[activation]
    formula = ACTIVATIONS[activation].formula
    return lambda z: values(formula, t=z), lambda z: slope(formula, "t", t=z)


def slope_by_hand(loss):
    """The slope of the loss in p, likewise."""
    formula = LOSSES[loss].formula
    return SLOPE_BY_HAND.get(loss, lambda p, y: slope(formula, "p", p=p, y=y))


def descent(problem, prompt):
    """(Proj(w - eta grad L_n(w)), grad, all pre-activations), batched, from the formulas."""
    x, y, w = (part.double().numpy().astype(LONG) for part in (prompt.x, prompt.y, prompt.w))
    sizes = [problem.d] + [problem.K] * (problem.N - 1) + [problem.d_out]
    functions = [by_hand(problem.activation.name)] * problem.N
    if problem.output == "linear":
        functions[-1] = BY_HAND["identity"]
    V, sides, used = [], [], 0
    for columns, rows in itertools.pairwise(sizes):
        V.append(w[:, used : used + rows * columns].reshape(-1, rows, columns))
        sides.append(np.full(rows * columns, problem.B_v / math.sqrt(columns) * (1 - 2**-50)))
        used += rows * columns
    p, z = [x], []
    for v, (r, _) in zip(V, functions, strict=True):
        z.append(np.einsum("bkc,bic->bik", v, p[-1]))
        p.append(r(z[-1]))
    s = functions[-1][1](z[-1]) * slope_by_hand(problem.loss.name)(p[-1], y)
    gradient = [None] * problem.N
    for j in range(problem.N - 1, -1, -1):
        gradient[j] = np.einsum("bik,bic->bkc", s, p[j]).reshape(len(x), -1) / (2 * x.shape[1])
        if j:
            s = functions[j - 1][1](z[j - 1]) * np.einsum("bkc,bik->bic", V[j], s)
    gradient = np.concatenate(gradient, axis=1)
    side = np.concatenate(sides)
    flat = np.concatenate([each.reshape(len(x), -1) for each in z], axis=1)
    return np.clip(w - LONG(problem.eta) * gradient, -side, side), gradient, flat


def literal_block(transformer, H):
    """One block by the published formulas on the literal matrices; H is (B, T, D)."""
    H, T = H.numpy(), H.shape[1]
    for layer in transformer.literal():
        added = np.zeros_like(H)
        for head in layer.heads:
            Q, K, V = (part.dense().numpy() for part in (head.Q, head.K, head.V))
            q, k, v = (np.einsum("de,bte->btd", part, H) for part in (Q, K, V))
            if layer.diagonal:
                added += v * np.maximum(np.einsum("btd,btd->bt", q, k), 0)[..., None]
            else:
                added += np.einsum("bij,bjd->bid", np.maximum(np.einsum("bid,bjd->bij", q, k), 0), v) / T
        H = H + added
        W1, W2 = layer.W1.dense().numpy(), layer.W2.dense().numpy()
        H = H + np.einsum("du,btu->btd", W2, np.maximum(np.einsum("ud,btd->btu", W1, H), 0))
    return H


def check_readings(transformer, prompt):
    """(a), (b), (d): three readings agree, all tokens end with one w, the scratch ends at 0."""
    stream = transformer.stream
    state = stream.open(prompt)
    H = stream.pack(state)
    dense = DenseTransformer(transformer).block(H).numpy()
    structured = stream.pack(transformer.run(state)).numpy()
    apart = 2 * of_step(plan(transformer.problem, transformer.name))
    w = dense[..., stream.weights]
    for other in (structured, literal_block(transformer, H)):
        assert np.linalg.norm(other[..., stream.weights] - w, axis=-1).max() <= apart
    assert np.linalg.norm(w - w[:, :1], axis=-1).max() <= apart
    for found in (dense, structured):
        scratch = found[..., stream.weights.stop : stream["one"].start]
        assert not scratch.any(), "the scratch is not exactly 0"
        kept = [*range(stream.weights.start), stream["one"].start, stream["t"].start]
        assert np.array_equal(found[..., kept], H.numpy()[..., kept]), "x, y, 1 or t changed"


def check_step(transformer, prompt):
    """(c), (d): one step is gradient descent within the certified bound, and stays in W."""
    made = plan(transformer.problem, transformer.name)
    problem, certified = made.problem, made.bound
    assert certified <= problem.eps
    after = transformer.step(prompt)
    expected, _, z = descent(problem, prompt)
    error = np.sqrt(((after.numpy() - expected) ** 2).sum(axis=1))
    exact = transformer.name == "exact" and problem.activation.name == "relu"
    clear = ~((z > 0) & (z < MARGIN * (1 + 1e-6))).any(axis=1) if exact else np.full(len(z), True)
    # Descent by hand rounds, too, in its own precision; erf in float64.
    share = 1.0 if problem.activation.name == "gelu" else float(np.finfo(LONG).eps) * 2.0**52
    errors = in_float64(problem, {})
    by_hand = share * step_error_bound(problem, ranges(problem, errors), errors, from_z=False)
    excess = error / problem.eta - certified - by_hand
    assert (excess[clear] <= 0).all(), f"error/eta {(error / problem.eta)[clear].max():.3g} > {certified:.3g}"
    if exact:
        assert (error[clear] <= of_step(made) + problem.eta * by_hand).all()
    sizes = [rows * columns for columns, rows in pairwise(problem.dims)]
    domain = np.repeat([problem.half_width(j) for j in range(1, problem.N + 1)], sizes)
    assert (after.abs().numpy() <= domain).all(), "w left the theorem's domain"  # W leaves room for rounding
    return clear


def check_shape(transformer):
    """(e): the sizes that the theorem, and we, promise."""
    problem, counted = transformer.problem, census(transformer)
    activated = problem.output == "activated"
    if transformer.name == "paper":
        assert counted.layers == 2 * problem.N + 4
        fits = plan(problem, "paper").fits.values()
        assert counted.sublayers <= 2 * problem.N + 4
        if all(fitted.relus.units for fitted in fits):  # at a coarse eps a constant 0 may be close enough
            assert counted.sublayers == 2 * problem.N + 4
        return
    assert counted.layers == 2 * problem.N + activated
    fit = plan(problem, transformer.name).fits.get(Term("u", problem.N))
    bends = fit.relus.units if fit else len(problem.loss.phi.kinks)  # ReLUs of p - rho y, each a head
    slopes = bends * problem.d_out + 1 if problem.loss.rho and activated else 0
    assert counted.heads <= max(problem.units + problem.N, slopes)
    assert counted.layers == len(transformer.layers)


LINES = [name for name, loss in LOSSES.items() if loss.phi.is_piecewise_linear]
# Every activation, loss and output with every construction that takes it, on networks of all shapes.
SHAPES = [(1, 1, 3, 2), (2, 3, 2, 1), (3, 2, 1, 3), (4, 2, 2, 2), (2, 1, 1, 2)]
GRID = [
    pytest.param(
        construction,
        {"activation": activation, "loss": loss, "output": output}
        | dict(zip(("N", "K", "d", "d_out"), SHAPES[(i + k) % len(SHAPES)], strict=True)),
        id=f"{construction}-{activation}-{loss}-{output}",
    )
    for construction in ("lean", "paper", "exact")
    for i, activation in enumerate(BY_HAND)
    for k, (loss, output) in enumerate((x, o) for x in LOSSES for o in ("activated", "linear"))
    if (activation == "relu") == (construction == "exact") and (construction != "exact" or loss in LINES)
    and (i + k) % 2 == (construction == "paper")
]  # fmt: skip


def drawn(problem, batch, seed=0):
    return random_prompts(problem, batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("construction", "letters"), mostly_slow(GRID))
def test_every_combination(construction, letters):
    eps = 0.5 if construction == "paper" else 0.2
    problem = Problem.parse({"n": 5, "eta": 0.3, "eps": eps, "B_y": 0.8, **letters})
    transformer = build(problem, construction)
    check_shape(transformer)
    check_readings(transformer, drawn(problem, 3))
    clear = check_step(transformer, drawn(problem, 400))
    assert clear.sum() >= 100


# Without shrinking: every attempt builds a transformer.
@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_random_problems(data):
    """All of the above on problems that nobody thought of."""
    construction = data.draw(st.sampled_from(["lean", "lean", "paper", "exact"]))
    smooth = [name for name in ACTIVATIONS if name != "relu"]
    problem = data.draw(
        problems(
            max_N=2 if construction == "paper" else 4,
            max_K=3,
            min_eps=0.3,
            max_radius=1.25,
            max_eta=3.0,
            activations=["relu"] if construction == "exact" else smooth,
            losses=LINES if construction == "exact" else list(LOSSES),
        )
    )
    transformer = build(problem, construction)
    check_shape(transformer)
    prompt = drawn(problem, 20, data.draw(st.integers(0, 999)))
    check_step(transformer, prompt)
    assume(dense_bytes(transformer) < 30e6)
    check_readings(transformer, prompt[:2])


@pytest.mark.parametrize("output", ["activated", "linear"])
@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("N", [1, 2, 4])
def test_exact_is_exact_outside_the_margin(N, loss, output):
    problem = Problem.parse(
        {
            "N": N,
            "K": 3,
            "d": 2,
            "d_out": 1,
            "n": 3,
            "eta": 0.7,
            "activation": "relu",
            "loss": loss,
            "output": output,
        }
    )
    prompt = drawn(problem, 3000)
    after = build(problem, "exact").step(prompt).numpy()
    expected, _, z = descent(problem, prompt)
    inside = ((z > 0) & (z < MARGIN)).any(axis=1)
    error = np.abs(after - expected).max(axis=1)
    assert error[~inside].max() <= 1e-12
    if (N, loss, output) == (4, "squared", "linear"):
        assert error[inside].max() > 1e-6  # and the margin is needed: the test can tell the difference


@pytest.mark.parametrize("construction", ["lean", "paper", "exact"])
def test_a_step_that_overshoots_is_projected_onto_the_box(construction):
    letters = {"N": 2, "K": 2, "d": 2, "n": 4, "eta": 50.0, "eps": 0.5}
    if construction == "exact":
        letters["activation"] = "relu"
    problem = Problem.parse(letters)
    transformer, prompt = build(problem, construction), drawn(problem, 200)
    after = transformer.step(prompt)
    sides = box(problem, after)
    assert ((after.abs() - sides).abs() <= 1e-13).any(dim=1).sum() > 100
    assert (after.abs() <= sides + 1e-13).all()
    prompt.with_weights(after).check(problem)


@pytest.mark.parametrize("eta", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("construction", ["lean", "exact"])
def test_iterates_stay_in_W_for_every_step_size(eta, construction):
    name = "relu" if construction == "exact" else "tanh"
    problem = Problem.parse(
        {"N": 2, "K": 2, "d": 2, "n": 4, "eta": eta, "eps": 0.5, "activation": name, "L": 4}
    )
    prompt = drawn(problem, 50)
    for w in build(problem, construction).simulate(prompt):
        prompt.with_weights(w).check(problem)


def test_heads_of_lean_do_not_depend_on_eps_and_those_of_paper_do():
    coarse, fine = Problem(N=2, K=2, d=2, eps=0.3), Problem(N=2, K=2, d=2, eps=0.003)
    lean = [census(build(problem)) for problem in (coarse, fine)]
    assert lean[0].heads == lean[1].heads and lean[0].total_heads == lean[1].total_heads
    assert lean[1].mlp_width > 2.5 * lean[0].mlp_width
    paper = [census(build(problem, "paper")).heads for problem in (coarse, fine)]
    assert paper[1] > 3 * paper[0]


def test_units_grow_like_the_inverse_root_of_eps():
    problem = Problem(N=2, K=2, d=2)
    widths = [census(build(replace(problem, eps=eps))).mlp_width for eps in (1e-2, 1e-4)]
    assert 7 < widths[1] / widths[0] < 13


def test_a_whole_descent_stays_close():
    """L steps from w = 0 and from a random start: every local error is within eta eps at its own iterate."""
    problem = Problem(N=2, K=3, d=2, d_out=1, n=6, L=8, eta=0.5, eps=0.05)
    transformer, prompt = build(problem), drawn(problem, 20)
    for start in (prompt, prompt.with_weights(torch.zeros_like(prompt.w))):
        iterates = transformer.simulate(start)
        for before, after in itertools.pairwise(iterates):
            expected, _, _ = descent(problem, start.with_weights(before))
            error = np.sqrt(((after.numpy() - expected) ** 2).sum(axis=1))
            assert (error <= problem.eta * problem.eps).all()


def test_hand_written_descent_agrees_with_finite_differences():
    """The referee is refereed: grad L_n from differences of the loss itself."""
    problem = Problem(N=3, K=2, d=2, d_out=2, n=3)
    prompt = drawn(problem, 1)
    _, gradient, _ = descent(problem, prompt)

    def value(w):
        p, used = prompt.x[0].numpy(), 0
        for columns, rows in pairwise(problem.dims):
            p = np.tanh(p @ w[used : used + rows * columns].reshape(rows, columns).T)
            used += rows * columns
        return ((p - prompt.y[0].numpy()) ** 2).sum() / (2 * problem.n)

    w = prompt.w[0].numpy()
    steps = 1e-6 * np.eye(len(w))
    differences = [(value(w + step) - value(w - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(differences, gradient[0].astype(float), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("letters", "construction", "field", "words"),
    [
        ({"activation": "relu"}, "lean", "activation", "--construction exact"),
        ({"activation": "Abs(t)"}, "paper", "activation", "kink"),
        ({"activation": "1/t"}, "lean", "activation", "no finite enclosure"),
        ({"activation": "tanh"}, "exact", "construction", "relu"),
        ({"activation": "relu", "loss": "logistic"}, "exact", "loss", "huber"),
    ],
)
def test_constructions_that_do_not_apply_say_so(letters, construction, field, words):
    problem = Problem.parse(letters)
    for attempt in (check_construction, build):
        with pytest.raises(ProblemError, match=words) as caught:
            attempt(problem, construction)
        assert caught.value.field == field


def test_other_activations_are_welcome():
    parse_activation("t/2 - 1/5")
    check_construction(Problem.parse({"activation": "sin(t)/3 + t**2/9"}), "lean")


def test_a_single_example():
    problem = Problem(N=2, K=2, d=2, n=1, eps=0.2)
    transformer = build(problem)
    check_step(transformer, drawn(problem, 50))
    check_readings(transformer, drawn(problem, 2))


def test_zero_prompts():
    problem = Problem(N=2, K=2, d=2, n=2, eps=0.2)
    zeros = Prompt(
        *(torch.zeros(1, *shape, dtype=torch.float64) for shape in ((2, 2), (2, 2), (2,), (problem.D_w,)))
    )
    transformer = build(problem)
    check_step(transformer, zeros)
    check_readings(transformer, zeros)
