"""The plan keeps eps, its products keep their errors, and the explicit Lipschitz constants hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import (
    claims,
    estimated_softmax_units,
    factors,
    four_layers,
    halved,
    plan_softmax,
    summed,
)
from icgd.bounds.step_error.recurrence import Term

small = st.builds(
    Problem,
    N=st.integers(1, 3),
    K=st.integers(1, 3),
    d=st.integers(1, 2),
    n=st.integers(1, 4),
    eps=st.sampled_from([0.02, 0.2, 1.0]),
    eta=st.sampled_from([0.01, 0.5]),
    activation=st.sampled_from([ACTIVATIONS[name] for name in ("tanh", "sigmoid", "identity")]),
    loss=st.sampled_from(list(LOSSES.values())),
    output=st.sampled_from(["activated", "linear"]),
)


@settings(max_examples=5, deadline=None)
@given(small, st.integers(0, 2**32))
def test_a_plan_keeps_eps_and_every_product_its_error(problem, seed):
    made = plan_softmax(halved(problem))
    assert 0 < made.bound <= problem.eps / 2
    random = np.random.default_rng(seed)
    for term, left, right, _ in factors(made.problem, made.layers):
        product = made.products[term]
        x, y = random.uniform(-left, left, 500), random.uniform(-right, right, 500)
        squares = product.square.relus
        found = (squares(product.a * x + product.b * y) - squares(product.a * x - product.b * y)) / 4
        worst = np.abs(found - x * y).max()
        assert summed(made.problem, term) * worst <= made.errors[term]


def test_errors_of_products_add_up_as_often_as_they_are_summed():
    problem = Problem(N=2, K=3, d=4, d_out=5)
    assert [summed(problem, Term("z", j)) for j in (1, 2)] == [4, 3]
    assert summed(problem, Term("g", 1)) == 5
    assert summed(problem, Term("update", 2)) == math.sqrt(15) / 2


def test_finer_eps_costs_its_square_root():
    widths = {}
    for eps in (1e-1, 1e-3):
        (claim,) = (c for c in claims(Problem(N=2, K=2, d=1, eps=eps)) if c.quantity == "mlp_width")
        widths[eps] = claim.value
    assert 8 < widths[1e-3] / widths[1e-1] < 12


def test_a_kinked_activation_is_refused():
    with pytest.raises(ProblemError, match="activation"):
        plan_softmax(Problem(activation=ACTIVATIONS["relu"]))


def token_gradient(problem, v):
    """One token's gradient, in the 1/(2n) convention, straight from the loss by autograd."""
    w, x, y = v.split([problem.D_w, problem.d, problem.d_out])
    w = w.detach().requires_grad_() if not w.requires_grad else w
    p, at = x, 0
    for rows, columns in zip(problem.dims[1:], problem.dims[:-1], strict=True):
        p = torch.tanh(w[at : at + rows * columns].view(rows, columns) @ p)
        at += rows * columns
    (slope,) = torch.autograd.grad(((p - y) ** 2).sum() / 2, w, create_graph=True)
    return slope


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2**32))
def test_lipschitz_constants_hold(N, K, d, seed):
    problem = Problem(N=N, K=K, d=d)
    found, generator = four_layers(problem), torch.Generator().manual_seed(seed)
    assert found.variables == problem.D_w + d + problem.d_out == len(found.lipschitz)
    for _ in range(20):
        v = torch.rand(found.variables, generator=generator, dtype=torch.float64) * 2 - 1
        v = (v * torch.tensor(found.radii, dtype=torch.float64)).requires_grad_()
        # inside the balls, not only in the box
        scale = torch.ones_like(v)
        scale[problem.D_w :] = 1 / math.sqrt(max(problem.d, problem.d_out))
        jacobian = torch.autograd.functional.jacobian(
            lambda u: token_gradient(problem, u), (v * scale).detach()
        )
        columns = torch.linalg.vector_norm(jacobian, dim=0)
        # WIDENING is in the constants, and far more than what these sums of as large products round by.
        assert (columns <= torch.tensor(found.lipschitz, dtype=torch.float64)).all()


def test_the_grid_is_exponential_in_the_variables():
    problem = Problem(N=1, d=1, eps=1e-3)
    halving = four_layers(replace(problem, eps=5e-4)).log10_nodes - four_layers(problem).log10_nodes
    assert halving == pytest.approx(math.log10(four_layers(problem).per_halving), rel=1e-2)
    assert four_layers(Problem()).log10_nodes > 100


def test_an_activation_that_passes_on_nothing_is_refused_by_the_plan_and_by_its_estimate():
    constant = Problem(activation=parse_activation("1"))
    for asked in (plan_softmax, estimated_softmax_units):
        with pytest.raises(ProblemError, match="activation = 1: some layer passes on nothing"):
            asked(halved(constant))
