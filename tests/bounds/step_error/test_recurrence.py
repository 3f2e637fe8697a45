"""The error recurrence: linear, equal in numbers and symbols, and never exceeded.

The soundness test injects local errors of every allowed size and the worst signs it can find into a
forward and backward pass written out here, and compares the resulting gradient with the exact one.
"""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import Term, propagate, ranges, step_error_bound
from icgd.construct.prompt import split_weights
from icgd.verify.search.prompts import random_prompts
from icgd.verify.strategies import problems
from tests.rounding import gamma, in_float64

KINDS = ("r", "dr", "product", "z", "g", "update")
TORCH = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "gelu": torch.nn.functional.gelu,
    "sin": torch.sin,
    "identity": lambda z: 1.0 * z,
}
SMOOTH = tuple(TORCH)


def terms(problem):
    return [Term(kind, j) for kind in KINDS for j in range(1, problem.N + 1)] + [Term("u", problem.N)]


SLOPES = {
    "squared": lambda p, y: 2 * (p - y),
    "logistic": lambda p, y: torch.sigmoid(p) - y,
    "huber": lambda p, y: torch.clamp(p - y, -0.5, 0.5),
    "log-cosh": lambda p, y: torch.tanh(p - y),
}


def slope(problem, p, y):
    return SLOPES[problem.loss.name](p, y)


def derivative(function, z):
    """r'(z), differentiable again."""
    if not z.requires_grad:
        z = z.detach().requires_grad_()
    (d,) = torch.autograd.grad(function(z).sum(), z, create_graph=True)
    return d


def passes(problem, prompt, errors, signs, from_z):
    """Gradient blocks and all quantities, every one perturbed by signs[term] * errors[term].

    signs[term] has entries in [-1, 1], or, for `update`, 2-norm at most 1; no signs at all: exact.
    """

    def off(kind, j):
        term = Term(kind, j)
        return errors[term] * signs[term] if signs else 0.0

    seen = {name: [] for name in ("z", "p", "dr", "g", "s")}
    V, p = split_weights(problem, prompt.w), prompt.x
    p_in = []
    for j, v in enumerate(V, start=1):
        function = TORCH[problem.activation_at(j).name]
        p_in.append(p)
        z = p @ v.transpose(-1, -2) + off("z", j)
        p = function(z) + off("r", j)
        seen["z"].append(z)
        seen["p"].append(p)
        seen["dr"].append(derivative(function, z) + off("dr", j))
    output = TORCH[problem.activation_at(problem.N).name](z) if from_z else p
    g = slope(problem, output, prompt.y) + off("u", problem.N)
    blocks = []
    for j in range(problem.N, 0, -1):
        g = g + off("g", j)
        s = seen["dr"][j - 1] * g + off("product", j)
        seen["g"].insert(0, g)
        seen["s"].insert(0, s)
        mean = s.transpose(-1, -2) @ p_in[j - 1] / (2 * problem.n)
        blocks.insert(0, mean.flatten(1) + off("update", j))
        g = s @ V[j - 1]
    return blocks, seen


def shapes(problem, batch):
    for term in terms(problem):
        size = problem.dims[term.layer]
        if term.kind == "update":
            yield term, (batch, size * problem.dims[term.layer - 1])
        else:
            yield term, (batch, problem.n, size)


def worst_signs(problem, prompt, errors, from_z, rounds=6):
    """Signs that make the gradient error large: sign ascent from a random start."""
    exact = torch.cat(passes(problem, prompt, errors, None, from_z)[0], dim=1).detach()
    generator = torch.Generator().manual_seed(0)
    signs = {
        term: torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1
        for term, shape in shapes(problem, prompt.batch)
    }
    best = torch.zeros(prompt.batch, dtype=torch.float64)
    for _ in range(rounds):
        for term, value in signs.items():
            if term.kind == "update":
                value = value / torch.linalg.vector_norm(value, dim=1, keepdim=True).clamp(min=1e-300)
            signs[term] = value.detach().requires_grad_()
        blocks, seen = passes(problem, prompt, errors, signs, from_z)
        found = torch.linalg.vector_norm(torch.cat(blocks, dim=1) - exact, dim=1)
        best = torch.maximum(best, found.detach())
        gradients = torch.autograd.grad(found.sum(), list(signs.values()), allow_unused=True)
        yield best, {name: [v.detach() for v in values] for name, values in seen.items()}
        signs = {
            term: old.detach() if new is None else new if term.kind == "update" else torch.sign(new)
            for (term, old), new in zip(signs.items(), gradients, strict=True)
        }


@settings(deadline=None, max_examples=40)
@given(
    problems(max_N=4, max_n=3, max_radius=1.5, activations=SMOOTH),
    st.floats(-4, -0.5).map(lambda exponent: 10**exponent),
    st.integers(0, 2**20),
    st.booleans(),
)
def test_no_choice_of_local_errors_beats_the_recurrence(problem, size, seed, uneven):
    rng = np.random.default_rng(seed)
    errors = {term: size * (rng.uniform() ** 3 if uneven else 1.0) for term in terms(problem)}
    from_z = problem.loss.rho == 0
    rounded = in_float64(problem, errors)
    layers = ranges(problem, rounded)
    bound = step_error_bound(problem, layers, rounded, from_z=from_z)
    prompt = random_prompts(problem, 40, torch.Generator().manual_seed(seed))
    for best, seen in worst_signs(problem, prompt, errors, from_z):
        assert float(best.max()) <= bound
        # The ranges hold for the perturbed quantities too.
        for j, layer in enumerate(layers):
            checks = [
                (seen["z"][j].abs().max(), layer.z),
                (seen["p"][j].abs().max(), layer.r),
                (torch.linalg.vector_norm(seen["p"][j], dim=-1).max(), layer.p_out),
                (seen["dr"][j].max(), layer.dr_high),
                (-seen["dr"][j].min(), -layer.dr_low),
                (seen["g"][j].abs().max(), layer.g),
                (torch.linalg.vector_norm(seen["g"][j], dim=-1).max(), layer.g_norm),
                (seen["s"][j].abs().max(), layer.s),
                (torch.linalg.vector_norm(seen["s"][j], dim=-1).max(), layer.s_norm),
            ]
            for k, (sampled, allowed) in enumerate(checks):
                assert float(sampled) <= allowed, (j, k)


@pytest.mark.parametrize("term", [Term(kind, 1) for kind in (*KINDS, "u")], ids=str)
def test_every_kind_of_error_counts_and_nearly_as_much_as_it_can(term):
    """On one neuron the attack comes close to the bound: the test above would see a factor missing."""
    problem = Problem(N=1, K=1, d=1, n=1, activation=Problem().activation, B_y=1.0)
    errors = dict.fromkeys(terms(problem), 0.0) | {term: 1e-3}
    bound = step_error_bound(problem, ranges(problem, errors), errors, from_z=False)
    prompt = random_prompts(problem, 4000, torch.Generator().manual_seed(1))
    *_, (best, _) = worst_signs(problem, prompt, errors, False, rounds=3)
    assert 0.3 * bound <= float(best.max()) <= bound


@settings(deadline=None, max_examples=25)
@given(problems(max_N=4, activations=SMOOTH), st.integers(0, 999), st.booleans())
def test_propagate_is_linear(problem, seed, from_z):
    from_z = from_z and problem.loss.rho == 0
    rng = np.random.default_rng(seed)
    layers = ranges(problem, {})
    one, two = ({term: float(rng.uniform()) for term in terms(problem)} for _ in range(2))
    mixed = {term: 2 * one[term] + 3 * two[term] for term in one}
    found, parts = propagate(problem, layers, mixed, from_z=from_z), []
    for each in (one, two):
        parts.append(propagate(problem, layers, each, from_z=from_z))
    for name in ("p", "dr", "s", "gradient"):
        for mixture, *values in zip(
            getattr(found, name), *(getattr(part, name) for part in parts), strict=True
        ):
            expected = 2 * values[0] + 3 * values[1]
            assert abs(mixture - expected) <= apart(problem) * expected and mixture >= 0


@settings(deadline=None, max_examples=15)
@given(problems(max_N=3, activations=SMOOTH), st.integers(0, 999))
def test_symbols_vectors_and_floats_agree(problem, seed):
    rng = np.random.default_rng(seed)
    layers, listed = ranges(problem, {}), terms(problem)
    numbers = {term: float(rng.uniform()) for term in listed}
    symbols = {term: sympy.Symbol(f"{term.kind}_{term.layer}") for term in listed}
    basis = dict(zip(listed, np.eye(len(listed)), strict=True))
    floats = propagate(problem, layers, numbers, from_z=False).gradient
    vectors = propagate(problem, layers, basis, from_z=False).gradient
    symbolic = propagate(problem, layers, symbols, from_z=False).gradient
    values = np.array([numbers[term] for term in listed])
    for number, vector, expression in zip(floats, vectors, symbolic, strict=True):
        replaced = sympy.sympify(expression).subs({symbols[term]: numbers[term] for term in listed})
        for other in (float(vector @ values), float(replaced)):
            assert abs(other - number) <= apart(problem) * number


def apart(problem):
    """How far two orders of the recurrence may be apart, relatively: all of its terms are positive.

    A term of the gradient meets at most 12 operations in every layer on its way there and back, and a sum
    over all local errors, of which there are fewer than 8 a layer.
    """
    return 2 * float(gamma(20 * problem.N + 20))


@settings(deadline=None, max_examples=15)
@given(problems(max_N=3, activations=SMOOTH), st.integers(0, 999))
def test_larger_errors_give_wider_ranges_and_larger_bounds(problem, seed):
    rng = np.random.default_rng(seed)
    small = {term: 0.01 + 0.1 * float(rng.uniform()) for term in terms(problem)}
    large = {term: error * (2 + float(rng.uniform())) for term, error in small.items()}
    below, above = (ranges(problem, errors) for errors in (small, large))
    for a, b in zip(below, above, strict=True):
        for name in ("p_in", "z", "r", "dr_high", "p_out", "g", "g_norm", "s", "s_norm", "dr"):
            assert getattr(a, name) <= getattr(b, name), name
        for name in ("slope", "curvature"):  # no error is added here, and a supremum may be 1e-10 too large
            assert getattr(a, name) <= getattr(b, name) * (1 + 2e-10), name
        assert a.dr_low >= b.dr_low
    bounds = [
        step_error_bound(problem, layers, errors, from_z=False)
        for layers, errors in ((below, small), (above, large))
    ]
    assert 0 < bounds[0] <= bounds[1]


def test_no_error_no_bound():
    problem = Problem(N=3)
    assert step_error_bound(problem, ranges(problem, {}), {}, from_z=False) == 0.0


def test_one_layer_by_hand():
    """N = 1, linear output, squared loss: z, u = 2(z - y), gradient u x / 2."""
    problem = Problem(N=1, d=1, n=1, B_x=2.0, B_y=0.5, B_v=3.0, output="linear")
    (layer,) = ranges(problem, {})
    assert layer.z == pytest.approx(6.0) and layer.g == pytest.approx(13.0)  # |u| <= 2 (6 + 0.5)
    assert (layer.slope, layer.curvature) == (pytest.approx(1.0), 0.0)
    errors = {Term("u", 1): 1.0, Term("z", 1): 0.25, Term("update", 1): 0.125}
    # |du| <= 1 + 2 * 0.25, times |x| / 2 = 1, plus the update's own error
    assert step_error_bound(problem, (layer,), errors, from_z=False) == pytest.approx(1.5 + 0.125)
    assert str(Term("u", 1)) == "u[1]" and math.isclose(layer.dr, 1.0, rel_tol=1e-6)
