"""Bounds on the Hessian of L_n, against torch's own Hessians of networks that are written out again."""

from dataclasses import replace

import pytest
import torch
from torch.func import hessian, vmap

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.convergence import curvature
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.claims import allowed_after, several_steps_claims
from icgd.bounds.several_steps.spectrum import hessian_spectrum
from icgd.verify.descent import empirical_loss
from icgd.verify.search.prompts import random_prompts, seeded
from tests.durations import mostly_slow

R = {"tanh": torch.tanh, "sin": torch.sin, "sigmoid": torch.sigmoid, "identity": lambda z: z}
LOSS = {
    "squared": lambda p, y: (p - y) ** 2,
    "logistic": lambda p, y: torch.nn.functional.softplus(p) - p * y,
    "log-cosh": lambda p, y: torch.log(torch.cosh(p - y)),
}
PROBLEMS = [
    Problem(N=2, K=3, n=1),
    Problem(N=3, K=2, d=1, n=1, output="linear"),
    Problem(N=2, K=2, n=1, activation=ACTIVATIONS["sin"], B_v=2.0, B_x=1.5),
    Problem.parse({"N": 2, "K": 2, "n": 1, "activation": "sigmoid", "loss": "logistic", "B_y": 3.0}),
    Problem.parse({"N": 2, "K": 2, "n": 1, "loss": "log-cosh", "B_y": 2.0}),
]


def hessians(problem, x, y, w):
    """Hessians of (1/2) l of one example each, entry by entry."""

    def loss(w, x, y):
        p, start = x, 0
        for j, (rows, columns) in enumerate(zip(problem.dims[1:], problem.dims[:-1], strict=True), start=1):
            p = w[start : start + rows * columns].reshape(rows, columns) @ p
            start += rows * columns
            p = p if j == problem.N and problem.output == "linear" else R[problem.activation.name](p)
        return LOSS[problem.loss.name](p, y).sum() / 2

    return vmap(hessian(loss))(w, x, y)


def attacked(problem, sign, steps=25):
    """The largest of sign times an eigenvalue that an ascent from corners of W finds, kept in the domain."""
    prompt = random_prompts(problem, 64, seeded(0))
    parts = [prompt.x[:, 0], prompt.y[:, 0], prompt.w]
    halves = torch.cat(
        [torch.full((a * b,), problem.half_width(j)) for j, (a, b) in
         enumerate(zip(problem.dims[1:], problem.dims[:-1], strict=True), start=1)]
    ).double()  # fmt: skip
    best = 0.0
    for k in range(steps):
        parts = [part.detach().requires_grad_() for part in parts]
        values = torch.linalg.eigvalsh(sign * hessians(problem, *parts))[:, -1]
        best = max(best, float(values.detach().max()))
        slopes = torch.autograd.grad(values.sum(), parts)
        sizes = (problem.B_x, problem.B_y, problem.B_v)
        x, y, w = (
            part + 0.2 * 0.93**k * size * slope.sign()
            for part, slope, size in zip(parts, slopes, sizes, strict=True)
        )
        x, y = (
            v * (size / v.norm(dim=-1, keepdim=True)).clamp(max=1)
            for v, size in ((x, sizes[0]), (y, sizes[1]))
        )
        parts = [x, y, torch.minimum(torch.maximum(w, -halves), halves)]
    return best


@pytest.mark.parametrize(
    "problem", mostly_slow(PROBLEMS, 5), ids=lambda one: f"{one.activation.name}-{one.loss.name}-{one.N}"
)
def test_no_eigenvalue_is_outside_and_the_bounds_are_not_far(problem):
    found = hessian_spectrum(problem)
    above, below = attacked(problem, 1), attacked(problem, -1)
    assert above <= found.above.bound <= 3 * above
    assert below <= found.below.bound <= 5 * below
    assert found.lam <= curvature(problem).lam * 1.05


def test_one_layer_is_bounded_to_a_thousandth():
    """There the Hessian is (l o r)'' x x^T / 2 in each unit."""
    problem = Problem(N=1, n=1)
    found = hessian_spectrum(problem)
    assert found.above.bound == pytest.approx(attacked(problem, 1), rel=2e-3)
    assert found.below.bound == pytest.approx(attacked(problem, -1), rel=3e-2)
    convex = hessian_spectrum(Problem(N=1, activation=ACTIVATIONS["identity"], B_x=2.0))
    assert convex.below.bound == 0 and convex.above.bound == pytest.approx(4, rel=2e-3)
    assert convex.rate(0.1) == 0 and convex.rate(1.0) == pytest.approx(2, rel=1e-2)


def test_a_mean_over_examples_has_no_larger_eigenvalue():
    problem = Problem(N=2, K=2, n=3)
    prompt, found = random_prompts(problem, 1, seeded(3)), hessian_spectrum(problem)

    def loss(w):
        return empirical_loss(problem, prompt.with_weights(w[None]))[0]

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, prompt.w[0]))
    assert -found.below.bound <= float(values.min()) and float(values.max()) <= found.above.bound


def test_claims_are_at_most_what_blocks_give_and_absent_where_cells_give_nothing():
    problem = Problem()
    claims = {claim.key: claim.value for claim in several_steps_claims(problem)}
    assert claims["convergence/several-steps"] == pytest.approx(allowed_after(problem, problem.L), rel=1e-12)
    assert claims["convergence/several-steps"] < 0.1 * 2.747  # what the split of the Hessian gives
    assert claims["convergence/spectrum"] < 0.35 * curvature(problem).lam
    assert several_steps_claims(replace(problem, N=13)) == ()
    with pytest.raises(ProblemError, match="activation = relu: it is put together from pieces"):
        hessian_spectrum(Problem(activation=ACTIVATIONS["relu"]))
