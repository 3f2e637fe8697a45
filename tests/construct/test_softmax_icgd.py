"""The softmax transformer against the paper's formulas in numpy and its own matrices; four layers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds import softmax_icgd as module
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import claims, halved, plan_softmax
from icgd.bounds.step_error.domain import face
from icgd.bounds.step_error.recurrence import step_error_bound
from icgd.construct.block.census import layer_counts
from icgd.construct.block.grid_interpolation import FourLayerTransformer
from icgd.construct.prompt import Prompt
from icgd.construct.softmax_icgd import DenseSoftmaxTransformer, MeanHead, build
from icgd.verify.kernels.formula import slope
from icgd.verify.relu_icgd import resolution
from icgd.verify.search.prompts import random_prompts, seeded
from tests.rounding import gamma

SLOPES = {
    "squared": lambda p, y: 2 * (p - y),
    "huber": lambda p, y: np.clip(p - y, -0.5, 0.5),
    "logistic": lambda p, y: 1 / (1 + np.exp(-p)) - y,
}


def slope_by_hand(loss):
    """The slope of the loss in p: what is not written out above is worked out from the formula."""
    return SLOPES.get(loss.name, lambda p, y: slope(loss.formula, "p", p=p, y=y))


small = st.builds(
    Problem,
    N=st.integers(1, 3),
    K=st.integers(1, 3),
    d=st.integers(1, 3),
    d_out=st.integers(1, 2),
    n=st.integers(1, 5),
    eps=st.sampled_from([0.05, 0.5]),
    eta=st.sampled_from([0.01, 0.3]),
    loss=st.sampled_from(list(LOSSES.values())),
    output=st.sampled_from(["activated", "linear"]),
)


def descended(problem, prompt, row):
    """One step of w - eta grad (1/n) sum l, from the paper's text, for a tanh network; then Proj."""
    dims, w = problem.dims, prompt.w[row].numpy()
    shapes = list(itertools.pairwise(dims))
    ends = np.cumsum([a * b for a, b in shapes])[:-1]
    V = [part.reshape(b, a) for part, (a, b) in zip(np.split(w, ends), shapes, strict=True)]
    total = [np.zeros_like(v) for v in V]
    for x, y in zip(prompt.x[row].numpy(), prompt.y[row].numpy(), strict=True):
        p, dr = [x], []
        for j, v in enumerate(V, start=1):
            z = v @ p[-1]
            linear = j == problem.N and problem.output == "linear"
            p.append(z if linear else np.tanh(z))
            dr.append(np.ones_like(z) if linear else 1 - np.tanh(z) ** 2)
        s = dr[-1] * slope_by_hand(problem.loss)(p[-1], y)
        for j in range(problem.N - 1, -1, -1):
            total[j] += np.outer(s, p[j]) / problem.n
            if j:
                s = dr[j - 1] * (V[j].T @ s)
    target = [v - problem.eta * g for v, g in zip(V, total, strict=True)]
    sides = [face(halved(problem), j) for j in range(1, problem.N + 1)]
    return np.concatenate([np.clip(v, -h, h).ravel() for v, h in zip(target, sides, strict=True)])


@settings(max_examples=6, deadline=None)
@given(small, st.integers(0, 2**32))
def test_a_step_is_a_gradient_step_of_the_mean_loss(problem, seed):
    transformer = build(problem)
    prompt = random_prompts(transformer.problem, 6, seeded(seed))
    after = transformer.step(prompt).numpy()
    bound = 2 * plan_softmax(halved(problem)).bound * problem.eta
    here = problem.eta * resolution(problem)  # descent rounds, too
    for row in range(6):  # Proj onto a box does not expand
        assert np.linalg.norm(after[row] - descended(problem, prompt, row)) <= bound + here


@settings(max_examples=4, deadline=None)
@given(small, st.integers(0, 2**32))
def test_the_matrices_compute_the_same(problem, seed):
    transformer = build(problem)
    prompt = random_prompts(transformer.problem, 3, seeded(seed))
    stream = transformer.stream
    H = DenseSoftmaxTransformer(transformer)(stream.pack(stream.open(prompt)))
    expected = stream.pack(stream.open(prompt.with_weights(transformer.step(prompt))))
    off = H[..., stream.weights] - expected[..., stream.weights]
    made = plan_softmax(halved(problem))
    fits, inner, outer = (
        {term: part for term, part in parts.items() if (term.kind == "product") == of}
        for parts, of in ((made.fits, False), (made.products, True), (made.products, False))
    )
    rounding = module._rounding(made.problem, made.layers, fits, inner, outer)
    alone = step_error_bound(made.problem, made.layers, rounding, from_z=made.setting.from_z)
    assert float(torch.linalg.vector_norm(off, dim=-1).max()) <= 2 * problem.eta * alone
    H[..., stream.weights] = expected[..., stream.weights]
    assert torch.equal(H, expected)
    counted = layer_counts(transformer)
    for claim in claims(problem):
        if claim.quantity != "step_error":
            found = counted[claim.quantity]
            assert found == claim.value if claim.relation == "==" else found <= claim.value


@given(st.integers(1, 200), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_softmax_of_equal_keys_is_the_mean(T, seed):
    values = torch.randn(2, T, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    room = 2 * float(gamma(2 * T + 10)) * 0.3 * values.abs().mean(1)  # what the checker counts on
    assert ((MeanHead(-0.3)(values) + 0.3 * values.mean(1)).abs() <= room).all()


def test_chunks_do_not_matter():
    transformer = build(Problem(N=2, K=2, n=2, eps=0.5))
    prompt = random_prompts(transformer.problem, 5, seeded(0))
    one = torch.cat([transformer.step(prompt[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(transformer.step(prompt), one, rtol=0, atol=1e-15)
    assert transformer.simulate(prompt, 3).shape == (4, 5, transformer.problem.D_w)


def kuhn(problem, cells, w, x, y):
    """The interpolation by sorting: the coordinate furthest in its cell goes first."""
    radii = np.array([problem.half_width(1), problem.B_x, problem.B_y])

    def f(node):
        w, x, y = radii * (2 * node / cells - 1)
        return (np.tanh(w * x) - y) * (1 - np.tanh(w * x) ** 2) * x  # half of twice

    at = (np.array([w, x, y]) / radii + 1) * cells / 2
    corner = np.minimum(np.floor(at), cells - 1)
    rest = at - corner
    order = np.argsort(-rest)
    value, vertex = f(corner), corner.copy()
    for axis in order:
        before = f(vertex)
        vertex[axis] += 1
        value += rest[axis] * (f(vertex) - before)
    return value


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32))
def test_four_layers_interpolate(cells, n, seed):
    problem = Problem(N=1, d=1, n=n)
    random = np.random.default_rng(seed)
    x, y, w = (
        random.uniform(-1, 1, (4, n, 1)),
        random.uniform(-1, 1, (4, n, 1)),
        random.uniform(-0.5, 0.5, (4, 1)),
    )
    query = random.uniform(-1, 1, (4, 1))
    prompt = Prompt(*(torch.from_numpy(part) for part in (x, y, query, w)))
    four = FourLayerTransformer(problem, cells)
    assert len(four.layers) == 4 and four.mlp_width >= 2 * (cells + 1) ** 3
    for row, after in enumerate(four.step(prompt)[:, 0].tolist()):
        mean = np.mean([kuhn(problem, cells, w[row, 0], x[row, i, 0], y[row, i, 0]) for i in range(n)])
        # A hat adds numbers of at most two sides of the grid in 64 operations; a slope is (tanh - y) tanh' x.
        hats = (cells + 1) ** 3 * 2 * cells * float(gamma(64))
        room = 2 * problem.eta * (hats + float(gamma(16 + n))) * 2 + float(gamma(8)) * abs(w[row, 0])
        assert abs(after - (w[row, 0] - problem.eta * mean)) <= room


def test_four_layers_are_for_three_variables():
    with pytest.raises(ProblemError, match="N = 2"):
        FourLayerTransformer(Problem(N=2), 2)
    with pytest.raises(ProblemError, match="cells"):
        FourLayerTransformer(Problem(N=1, d=1), 99)
