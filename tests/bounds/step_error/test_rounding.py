"""Rounding bounds against what float32 does, with unit = 2**-24."""

import copy
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import from_z
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.recurrence import Term, step_error_bound
from icgd.bounds.step_error.rounding import UNIT_ROUNDOFF, gamma, relu_sum_rounding, rounding_errors
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.block.table import LookupTable
from icgd.construct.relu_icgd import build
from icgd.verify.search.prompts import random_prompts
from tests.rounding import UNIT, exactly
from tests.rounding import gamma as exact_gamma

SINGLE = 2.0**-24

CASES = [
    ("lean", {"activation": "identity", "N": 1}),
    ("lean", {"activation": "identity", "N": 3, "B_x": 1.5, "loss": "huber"}),
    ("lean", {"activation": "tanh", "N": 2, "eps": 1e-5, "loss": "logistic"}),
    ("lean", {"activation": "tanh", "N": 3, "eps": 1e-4}),
    ("lean", {"activation": "sin", "N": 2, "eps": 1e-4, "output": "linear"}),
    ("paper", {"activation": "identity", "N": 3}),
    ("paper", {"activation": "tanh", "N": 2, "eps": 3e-3}),
]


def test_unit_is_half_the_spacing_at_one():
    assert np.finfo(np.float64).eps / 2 == UNIT_ROUNDOFF and np.finfo(np.float32).eps / 2 == SINGLE


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(0, 10**6))
def test_gamma_dominates_inner_products_in_float32(k, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal(k).astype(np.float32) for _ in range(2))
    total = np.float32(0)
    for a, b in zip(x, y, strict=True):
        total = np.float32(total + np.float32(a * b))
    products = [Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert abs(Fraction(float(total)) - sum(products)) <= Fraction(gamma(k, SINGLE)) * sum(map(abs, products))
    assert gamma(2**24, SINGLE) == math.inf
    assert abs(Fraction(gamma(k)) - exact_gamma(k)) <= 3 * UNIT * exact_gamma(k)  # two roundings


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.floats(0, 3), st.integers(0, 10**6))
def test_sums_of_relus_in_float32(units, offset, seed):
    """In any order, from a slot that holds t + offset; and by table."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.standard_normal(units).astype(np.float32) for _ in range(3))
    relus = ReluSum(a, b, c, float(np.float32(rng.standard_normal())))
    radius = 2.0
    slot = np.float32(offset + rng.uniform(-radius, radius))
    t = Fraction(float(slot)) - Fraction(offset)
    allowed = relu_sum_rounding(relus, radius, offset, units, SINGLE)
    folded = (b - a * np.float32(offset)).astype(np.float32)
    total = np.float32(relus.constant)
    for m in rng.permutation(units):
        total += c[m] * max(np.float32(0), np.float32(a[m] * slot + folded[m]))
    assert abs(Fraction(float(total)) - exactly(relus, t)) <= Fraction(allowed)
    t = torch.tensor([float(t)], dtype=torch.float32)
    by_table = LookupTable(relus).to(torch.float32)(t)
    assert abs(Fraction(float(by_table)) - exactly(relus, Fraction(float(t)))) <= Fraction(allowed)


@pytest.mark.parametrize(("construction", "letters"), CASES)
@pytest.mark.parametrize("literal", [False, True])
def test_a_whole_step_in_float32(construction, letters, literal):
    """The certified error with float32's rounding holds for the step as float32 takes it."""
    problem = Problem.parse({"K": 3, "d": 2, "d_out": 1, "n": 6, "eta": 0.5, "eps": 0.5, **letters})
    made = plan(problem, construction)
    errors = {term: fitted.error for term, fitted in made.fits.items()}
    errors |= {term: product.error for term, product in made.products.items()}
    for term, error in rounding_errors(problem, made.layers, made.fits, made.products, SINGLE).items():
        errors[term] = errors.get(term, 0.0) + error
    bound = step_error_bound(problem, made.layers, errors, from_z=from_z(problem, construction))
    # float32's rounding, and not the fits, makes up this bound: otherwise nothing is tested.
    assert bound > 2 * made.bound or construction == "paper"

    transformer = build(problem, construction)
    # Numbers that float32 holds, a little inside their radii.
    prompt = random_prompts(problem, 200, torch.Generator().manual_seed(0)).to("cpu", torch.float32)
    exact = transformer.step(prompt.to("cpu", torch.float64))
    if literal:
        stream = transformer.stream
        H = DenseTransformer(transformer, torch.float32).block(stream.pack(stream.open(prompt)))
        found = H[:, 0, stream.weights]
    else:
        found = copy.deepcopy(transformer).to(torch.float32).step(prompt)
    difference = torch.linalg.vector_norm(found.double() - exact, dim=1) / problem.eta
    assert float(difference.max()) <= bound
    rounding_alone = rounding_errors(problem, made.layers, made.fits, made.products, SINGLE)
    alone = step_error_bound(problem, made.layers, rounding_alone, from_z=from_z(problem, construction))
    assert 0 < float(difference.max()) <= alone * 1.01


def test_rounding_enters_every_term_and_scales_with_the_unit():
    problem = Problem(N=2, K=3, d=2, eps=0.1)
    made = plan(problem)
    double, single = (
        rounding_errors(problem, made.layers, made.fits, made.products, unit) for unit in (2.0**-53, 2.0**-24)
    )
    assert (
        set(double)
        == set(single)
        >= {Term(k, j) for k in ("z", "g", "r", "product", "update") for j in (1, 2)}
    )
    assert double == rounding_errors(problem, made.layers, made.fits, made.products)
    assert single == rounding_errors(
        replace(problem, precision="float32"), made.layers, made.fits, made.products
    )
    for term in double:
        assert single[term] == pytest.approx(double[term] * 2.0**29, rel=0.05)


def test_more_examples_round_more():
    small, large = (
        rounding_errors(problem, plan(problem).layers, plan(problem).fits, plan(problem).products)
        for problem in (Problem(N=2, n=8, eps=0.1), Problem(N=2, n=8000, eps=0.1))
    )
    assert large[Term("update", 1)] > 50 * small[Term("update", 1)]


@pytest.mark.parametrize("d", [1, 4, 30])
def test_pre_activations_in_float32(d):
    """One term by itself: z(1) and its offset, structured and as the literal mean over n+1 tokens."""
    problem = Problem(N=1, K=1, d=d, d_out=2, n=5, eps=0.5)
    made, transformer = plan(problem), build(problem)
    allowed = rounding_errors(problem, made.layers, made.fits, made.products, SINGLE)[Term("z", 1)]
    read = transformer.layer(0).heads[0]
    offset = float(read.relus.b[0])
    prompt = random_prompts(problem, 300, torch.Generator().manual_seed(0)).to("cpu", torch.float32)
    exact = read.increment(transformer.stream.open(prompt.to("cpu", torch.float64))).numpy() - offset
    state = transformer.stream.open(prompt)
    structured = copy.deepcopy(read).to(torch.float32).increment(state).double().numpy() - offset
    x, v = state.tokens["x"].numpy(), state.shared["V1"].numpy()
    scores = np.zeros(exact.shape, dtype=np.float32)
    for k in range(d):
        scores += x[:, :, None, k] * v[:, None, :, k]
    one = np.maximum(scores + np.float32(offset), np.float32(0))
    total = np.zeros_like(one)
    for _ in range(problem.n + 1):
        total += one
    literal = (total / np.float32(problem.n + 1)).astype(float) - offset
    for found in (structured, literal):
        assert 0 < np.abs(found - exact).max() <= allowed + 2.0**-50
    # The factor for the offset is needed and not far off: the bound is worst case, the sample is not.
    assert allowed < 400 * np.abs(literal - exact).max()
