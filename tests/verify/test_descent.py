"""Descent by autograd against the theorem's own formulas in numpy."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.loss import LOSSES, parse_loss
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import UNIT_ROUNDOFF, face_slack
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term
from icgd.construct.prompt import Prompt, box
from icgd.construct.relu_icgd import build
from icgd.verify.descent import (
    descend,
    empirical_loss,
    gradient,
    network,
    project,
    step_error,
)
from icgd.verify.kernels.formula import slope, values
from icgd.verify.search.prompts import random_prompts, start
from icgd.verify.strategies import problems, prompts
from tests.rounding import gamma, of_gradient, of_inputs, of_loss

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _density(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


# name: (r, r'), by hand and not from the sympy expressions.
BY_HAND = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "softplus": (lambda z: np.log1p(np.exp(z)), _sigmoid),
    "gelu": (
        lambda z: z * (1 + _erf(z / math.sqrt(2))) / 2,
        lambda z: (1 + _erf(z / math.sqrt(2))) / 2 + z * _density(z),
    ),
    "sin": (np.sin, np.cos),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "identity": (lambda z: z, np.ones_like),
}
# name: (one coordinate of l, its slope in p)
LOSS_BY_HAND = {
    "squared": (lambda p, y: (p - y) ** 2, lambda p, y: 2 * (p - y)),
    "logistic": (lambda p, y: np.log1p(np.exp(p)) - y * p, lambda p, y: _sigmoid(p) - y),
    "huber": (
        lambda p, y: np.where(abs(p - y) <= 0.5, (p - y) ** 2 / 2, 0.5 * abs(p - y) - 0.125),
        lambda p, y: np.clip(p - y, -0.5, 0.5),
    ),
}


def by_hand(activation):
    """(r, r'): what is not written out above is worked out from the formula, without sympy."""
    if activation in BY_HAND:
        return BY_HAND[activation]
    formula = ACTIVATIONS[activation].formula
    return lambda z: values(formula, t=z), lambda z: slope(formula, "t", t=z)


def loss_by_hand(loss):
    """(l, its slope in p), likewise."""
    if loss in LOSS_BY_HAND:
        return LOSS_BY_HAND[loss]
    formula = LOSSES[loss].formula
    return lambda p, y: values(formula, p=p, y=y), lambda p, y: slope(formula, "p", p=p, y=y)


def by_formula(problem, x, y, w):
    """(L_n, grad L_n, smallest |z|) of one prompt by the recursion for s_i(j), row by row."""
    dims = [problem.d] + [problem.K] * (problem.N - 1) + [problem.d_out]
    functions = [by_hand(problem.activation.name)] * problem.N
    if problem.output == "linear":
        functions[-1] = BY_HAND["identity"]
    matrices, used = [], 0
    for columns, rows in pairwise(dims):
        matrices.append(w[used : used + rows * columns].reshape(rows, columns))
        used += rows * columns
    loss, steepness = loss_by_hand(problem.loss.name)
    value, nearest, gradients = 0.0, math.inf, [np.zeros_like(v) for v in matrices]
    for x_i, y_i in zip(x, y, strict=True):
        outputs, inputs = [x_i], []
        for v, (r, _) in zip(matrices, functions, strict=True):
            inputs.append(v @ outputs[-1])
            outputs.append(r(inputs[-1]))
            nearest = min(nearest, abs(inputs[-1]).min())
        value += loss(outputs[-1], y_i).sum()
        s = functions[-1][1](inputs[-1]) * steepness(outputs[-1], y_i)
        for j in reversed(range(problem.N)):
            for k in range(dims[j + 1]):
                gradients[j][k] += s[k] * outputs[j]
            if j > 0:
                s = functions[j - 1][1](inputs[j - 1]) * (matrices[j].T @ s)
    scale = 1 / (2 * len(x))
    return scale * value, scale * np.concatenate([g.ravel() for g in gradients]), nearest


def on_kink(problem, nearest):
    """Whether rounding decides relu': near z = 0 two orders of summation may differ in sign."""
    return problem.activation.name == "relu" and nearest <= of_inputs(problem)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_loss_and_gradient_are_the_theorems(data):
    problem = data.draw(problems())
    prompt = data.draw(prompts(problem, batch=2))
    losses, gradients = empirical_loss(problem, prompt), gradient(problem, prompt)
    for b in range(2):
        x, y, w = prompt.x[b].numpy(), prompt.y[b].numpy(), prompt.w[b].numpy()
        loss, slope, nearest = by_formula(problem, x, y, w)
        assume(not on_kink(problem, nearest))
        assert abs(losses[b].item() - loss) <= of_loss(problem)
        assert np.linalg.norm(gradients[b].numpy() - slope) <= of_gradient(problem)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_loss_by_formula_and_by_difference(activation, loss, seed=5):
    problem = Problem(
        N=3, K=3, d=2, d_out=1, n=4, B_v=2.0, activation=ACTIVATIONS[activation], loss=LOSSES[loss]
    )
    generator = torch.Generator().manual_seed(seed)
    prompt = random_prompts(problem, 4, generator)
    if activation == "relu":  # stay off the kink: no exact corners, no zeros
        prompt = prompt.with_weights(start(problem, "random", 4, generator))
    slopes = gradient(problem, prompt)
    for b in range(4):
        _, expected, _ = by_formula(problem, prompt.x[b].numpy(), prompt.y[b].numpy(), prompt.w[b].numpy())
        np.testing.assert_allclose(slopes[b].numpy(), expected, rtol=0, atol=1e-12)
    step = 1e-5
    for coordinate in range(problem.D_w):
        shift = torch.zeros(problem.D_w, dtype=torch.float64)
        shift[coordinate] = step
        up, down = (empirical_loss(problem, prompt.with_weights(prompt.w + s * shift)) for s in (1, -1))
        torch.testing.assert_close((up - down) / (2 * step), slopes[:, coordinate], rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [*((name, "logistic") for name in ACTIVATIONS), *(("tanh", name) for name in LOSSES)],
)
def test_huge_arguments_stay_finite(activation, loss):
    problem = Problem(
        N=2, K=2, d=1, n=2, B_x=1e4, B_y=1e4, B_v=10.0, loss=LOSSES[loss], activation=ACTIVATIONS[activation]
    )
    prompt = random_prompts(problem, 16, torch.Generator().manual_seed(0))
    assert gradient(problem, prompt).isfinite().all() and empirical_loss(problem, prompt).isfinite().all()


def test_network_and_loss_on_a_case_done_by_hand():
    problem = Problem(N=1, d=2, d_out=1, n=2, activation=ACTIVATIONS["identity"])
    prompt = Prompt(
        x=torch.tensor([[[1.0, 0.0], [0.0, 0.5]]], dtype=torch.float64),
        y=torch.tensor([[[1.0], [0.0]]], dtype=torch.float64),
        query=torch.zeros(1, 2, dtype=torch.float64),
        w=torch.tensor([[0.5, -0.4]], dtype=torch.float64),
    )
    assert network(problem, prompt.w, prompt.x).flatten().tolist() == pytest.approx([0.5, -0.2])
    assert empirical_loss(problem, prompt).item() == pytest.approx((0.25 + 0.04) / 4)
    assert gradient(problem, prompt)[0].tolist() == pytest.approx([2 * -0.5 / 4, 2 * -0.2 * 0.5 / 4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_kept_and_no_grad_does_not_matter(dtype):
    problem = Problem(activation=ACTIVATIONS["gelu"], loss=LOSSES["huber"])
    prompt = random_prompts(problem, 3, torch.Generator().manual_seed(1), dtype=dtype)
    with torch.no_grad():
        path = descend(problem, prompt, 2)
    assert path.dtype == dtype and not path.requires_grad
    assert step_error(problem, prompt, path[1]).dtype == dtype
    reference = descend(problem, prompt.to("cpu", torch.float64), 2)
    torch.testing.assert_close(path.double(), reference, rtol=0, atol=20 * torch.finfo(dtype).eps)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_projection_is_clipping_to_the_cube_in_every_row_ball(data):
    problem = data.draw(problems())
    seed = data.draw(st.integers(0, 999))
    w = 3 * torch.randn(2, problem.D_w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    got, used = project(problem, w).numpy(), 0
    for j, (columns, rows) in enumerate(pairwise(problem.dims), start=1):
        side = problem.B_v / math.sqrt(columns)
        part = slice(used, used + rows * columns)
        spare = side * 2.0**-50 + 2 * face_slack(problem, j)  # W is drawn in by what rounding may add
        np.testing.assert_allclose(got[:, part], np.clip(w[:, part].numpy(), -side, side), rtol=0, atol=spare)
        assert (np.linalg.norm(got[:, part].reshape(2, rows, columns), axis=-1) <= problem.B_v).all()
        used += rows * columns
    assert used == problem.D_w


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_descent_is_projected_steps_of_the_formula(data):
    problem = replace(data.draw(problems()), eta=data.draw(st.sampled_from([0.1, 10.0])))
    prompt = data.draw(prompts(problem, batch=1))
    path = descend(problem, prompt, problem.L)
    assert path.shape == (problem.L + 1, 1, problem.D_w) and path[0].equal(prompt.w)
    face = box(problem, prompt.w)[None]
    for before, after in pairwise(path):
        _, slope, nearest = by_formula(problem, prompt.x[0].numpy(), prompt.y[0].numpy(), before[0].numpy())
        assume(not on_kink(problem, nearest))
        stepped = np.clip(before[0].numpy() - problem.eta * slope, -face[0].numpy(), face[0].numpy())
        reached = np.linalg.norm(before[0].numpy()) + problem.eta * np.linalg.norm(slope)
        room = (
            problem.eta * of_gradient(problem) + 2 * float(gamma(2)) * reached
        )  # a product, and a difference
        assert np.linalg.norm(after[0].numpy() - stepped) <= room
    for l in range(problem.L):
        assert step_error(problem, prompt.with_weights(path[l]), path[l + 1]).item() == 0


def test_descent_from_zero_moves_only_where_the_theorem_lets_it():
    prompt = random_prompts(Problem(N=2), 4, torch.Generator().manual_seed(0))
    zero = prompt.with_weights(torch.zeros_like(prompt.w))
    assert descend(Problem(N=2), zero, 3).abs().max() == 0  # r(0) = 0: every gradient is 0
    assert descend(Problem(N=2, activation=ACTIVATIONS["sigmoid"]), zero, 3)[-1].abs().max() > 0


# The step error: the distance from exact projected descent, and the form in which the paper writes it.


@given(st.integers(0, 99), st.sampled_from([0.1, 3.0]), st.sampled_from([1e-3, 0.1, 1.0]))
@settings(max_examples=20)
def test_step_error_is_the_distance_from_projected_descent(seed, eta, shove):
    generator = torch.Generator().manual_seed(seed)
    problem = Problem(N=2, K=2, d=2, n=3, eta=eta, B_v=0.5)
    prompt = random_prompts(problem, 5, generator)
    err = shove * torch.randn(5, problem.D_w, generator=generator, dtype=torch.float64)
    target = prompt.w - eta * gradient(problem, prompt)
    for reached in (target + err, project(problem, target + err)):
        nearest = np.clip(target.numpy(), -box(problem, target).numpy(), box(problem, target).numpy())
        apart = np.linalg.norm(reached.numpy() - nearest, axis=1)
        got = step_error(problem, prompt, reached).numpy()
        assert np.allclose(got, apart, rtol=4 * problem.D_w * UNIT_ROUNDOFF, atol=0)
    # Proj moves no two points further apart: so the paper's err, inside Proj, is no smaller.
    assert (got <= torch.linalg.vector_norm(err, dim=-1).numpy() * (1 + 1e-12)).all()


def test_a_step_beyond_w_or_without_a_value_is_no_step():
    problem = Problem(N=2, K=2, d=2, n=3)
    prompt = random_prompts(problem, 3, torch.Generator().manual_seed(2))
    reached = project(problem, prompt.w - problem.eta * gradient(problem, prompt))
    assert step_error(problem, prompt, reached).max() == 0
    reached[0, 1], reached[2, 0] = -1.01 * problem.half_width(1), math.nan
    found = step_error(problem, prompt, reached)
    assert found[0] > 0.01 * problem.half_width(1) and found[1] == 0 and found[2].isnan()


def inside_proj(problem, prompt, reached, room):
    """norm2 of the smallest err with Proj(w - eta grad L_n(w) + err) within `room` of what is reached."""
    target = prompt.w - problem.eta * gradient(problem, prompt)
    face, error = box(problem, target), reached - target
    for sign in (1, -1):
        at_face = sign * reached >= face - room
        rest = (face - sign * target).clamp(min=0)  # any err that leads to the face or beyond
        error = torch.where(at_face & (rest < error.abs()), rest, error)
    error = torch.where(reached.abs() > face + room, torch.inf, error)
    return torch.linalg.vector_norm(error, dim=-1)


def test_the_papers_form_needs_room_for_the_rounding_of_proj():
    """w' = Proj(w - eta grad L + err) + rho, where rho is the rounding of the clip."""
    problem = Problem(N=2, K=3, d=2, eta=3.0)
    made = plan(problem)
    prompt = random_prompts(problem, 4000, torch.Generator().manual_seed(0))
    reached = build(problem).step(prompt)
    room = []
    for j, layer in enumerate(made.layers, start=1):
        moved = problem.eta * (layer.s * layer.p_in + made.errors[Term("update", j)])
        entries = problem.dims[j] * problem.dims[j - 1]
        room += [2 * UNIT_ROUNDOFF * (problem.half_width(j) + moved)] * entries
    room = torch.tensor(room, dtype=torch.float64)
    allowed = problem.eta * made.bound
    assert step_error(problem, prompt, reached).max() <= allowed
    assert inside_proj(problem, prompt, reached, room).max() <= allowed
    without = inside_proj(problem, prompt, reached, torch.zeros_like(room))
    assert (without > allowed).sum() > 20  # rounding leaves w' beside a face, where no small err explains it


def test_the_loss_is_read_from_its_expression():
    # Both branches of the Piecewise, on either side and at the seam.
    problem = Problem(
        N=1, d=1, n=1, activation=ACTIVATIONS["identity"], loss=parse_loss("huber"), B_x=2, B_y=2
    )
    values = torch.tensor([[-1.5], [-0.5], [-0.2], [0.0], [0.5], [1.5]], dtype=torch.float64)
    ones = torch.ones(6, 1, 1, dtype=torch.float64)
    prompt = Prompt(ones, values[:, None], ones[:, 0], torch.zeros(6, 1, dtype=torch.float64))
    expected = [0.625, 0.125, 0.02, 0.0, 0.125, 0.625]
    assert (2 * empirical_loss(problem, prompt)).tolist() == pytest.approx(expected)
    assert (2 * gradient(problem, prompt)).flatten().tolist() == pytest.approx(
        [0.5, 0.5, 0.2, 0.0, -0.5, -0.5]
    )
