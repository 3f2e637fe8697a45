"""Lambda, the accumulation bound and the decrease thresholds, recomputed by independent code."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.claims import L
from icgd.bounds.convergence import (
    Suprema,
    accumulated,
    claims,
    contracting_step,
    curvature,
    diameter,
    distance,
    hessian_blocks,
    is_convex,
    least_gradient,
    least_move,
    lipschitz,
    loss_drop,
    operator_norm,
    steepest,
    suprema,
    trivial_gradient,
)
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.recurrence import WIDENING
from tests.rounding import gamma

FLAT = Problem(N=1, activation=ACTIVATIONS["identity"])

problems = st.builds(
    Problem,
    N=st.integers(1, 6),
    K=st.integers(1, 4),
    d=st.integers(1, 3),
    B_x=st.sampled_from([0.5, 1.0, 2.0]),
    B_v=st.sampled_from([0.3, 1.0]),
    activation=st.sampled_from([ACTIVATIONS[name] for name in ("tanh", "sigmoid", "sin")]),
    loss=st.sampled_from(list(LOSSES.values())),
    output=st.sampled_from(["activated", "linear"]),
)


def test_one_layer_has_a_closed_form():
    expression, constants = lipschitz(Problem(N=1))
    P, rho, beta, g, ell = sympy.symbols("P_1 rho_1 beta_1 g_1 ell", positive=True)
    assert sympy.expand(expression - P**2 / 2 * (rho**2 * ell + beta * g)) == 0
    # tanh, squared loss, radii 1: |tanh''| <= 4/(3 sqrt 3), |u| <= 2 (tanh 1 + 1).
    expected = (2 + 4 / (3 * math.sqrt(3)) * 2 * (math.tanh(1) + 1)) / 2
    assert curvature(Problem(N=1)).lam == pytest.approx(expected, rel=1e-7)
    assert constants[P][0] == 1.0


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0])
def test_least_squares_has_lambda_equal_to_the_squared_radius(radius):
    """L_n = (1/2n) sum (v.x - y)^2 has Hessian (1/n) sum x x^T: the 1/2 cancels the 2."""
    found = curvature(replace(FLAT, B_x=radius))
    assert found.lam == pytest.approx(radius**2, rel=1e-7)
    assert found.rest == 0 and found.gauss_newton == pytest.approx(radius**2, rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(problems)
def test_gauss_newton_is_a_rank_one_closed_form(problem):
    """norm(J^T l'' J)/2 <= (ell/2) sum_k c_k^2, c_k the bound on norm(dp(N)/dV_k) as one product."""
    layers, ell = suprema(problem)
    c = [
        layer.p * layer.slope * math.prod(later.slope * later.spread for later in layers[k + 1 :])
        for k, layer in enumerate(layers)
    ]
    found, expected = curvature(problem), ell / 2 * sum(x * x for x in c)
    assert is_convex(problem)
    # WIDENING is more than what these sums round by, here and there.
    assert expected <= found.gauss_newton <= expected * WIDENING * six_digits(problem)


def six_digits(problem):
    """How much Perron weights of six digits give away, of which none is below a millionth of the largest."""
    return (1 + 5e-6) / (1 - 5e-6) * (1 + 1e-6 * problem.N)


@settings(max_examples=25, deadline=None)
@given(problems)
def test_symbolic_and_numeric_constants_agree(problem):
    claim = claims(problem)[0]
    found = curvature(problem)
    # Blocks are sums of positive products, of at most 20 factors and additions in a layer.
    assert claim.value <= found.lam <= claim.value * WIDENING * (1 + float(gamma(20 * problem.N)))
    assert max(found.gauss_newton, found.rest) <= found.lam * six_digits(problem)
    assert 0 <= found.rate(problem.eta) <= found.lam


@settings(max_examples=50, deadline=None)
@given(problems, st.integers(0, 2))
def test_constants_grow_with_every_radius(problem, which):
    name = ("B_x", "B_y", "B_v")[which]
    larger = replace(problem, **{name: 1.5 * getattr(problem, name)})
    assert curvature(larger).lam * six_digits(problem) >= curvature(problem).lam


@given(st.floats(0, 50), st.floats(1e-3, 1), st.floats(1e-6, 1), st.integers(0, 40))
def test_accumulation_solves_its_recurrence(rate, step, eps, steps):
    """a(l+1) = (1 + step rate) a(l) + step eps from 0, over the rationals."""
    r, h, e = map(Fraction, (rate, step, eps))
    exact = Fraction(0)
    for _ in range(steps):
        exact = (1 + h * r) * exact + h * e
    # Errors of the exponent are multiplied by it; below 1e-12 it is an error itself, and the sum rounded up.
    growth = steps * math.log1p(step * rate)
    room = gamma(8 + 4 * math.ceil(growth)) + Fraction(1e-14) + Fraction(growth if growth < 1e-12 else 0)
    assert abs(Fraction(accumulated(rate, step, eps, steps)) - exact) <= room * exact


def test_accumulation_overflows_to_infinity():
    assert accumulated(1e3, 1.0, 0.1, 10**6) == math.inf
    assert distance(Problem(L=1000), 1e3, 1000) == claims(Problem(L=1000))[1].value == diameter(Problem())


def named(problem):
    return {claim.key.removeprefix("convergence/"): claim for claim in claims(problem)}


def test_no_claim_is_worse_than_a_trivial_one():
    """Default problem: 8.51 was claimed for a distance in a box of diameter 6.33, 34.98 for a gradient."""
    problem, found = Problem(), named(Problem())
    half_widths = [1 / math.sqrt(size) for size in (2, 4, 4)]
    box = 2 * math.sqrt(sum(size * half**2 for size, half in zip((8, 16, 8), half_widths, strict=True)))
    assert found["accumulation"].value == pytest.approx(box, rel=1e-8) and box < 8.5
    assert accumulated(curvature(problem).lam, 0.1, 0.05, 5) > 8.5
    # The loss is at most norm2(p - y)^2 / 2 with norm2(p) <= sqrt 2 tanh(2 tanh(2 tanh 1)), as V has norm 2.
    p = math.sqrt(2) * math.tanh(2 * math.tanh(math.sqrt(4) * math.tanh(1) / 2 * 1))
    assert p <= math.sqrt(2)
    lam, constants = curvature(problem).lam, found["stationary"].constants
    top = {str(symbol): value for symbol, (value, _) in constants.items()}
    h, c, drop = 1 / lam, 0.5, (top["P"] + 1) ** 2 / 2
    root = math.sqrt(0.05**2 + 4 * c * drop / (h * 5))
    assert found["stationary"].value == pytest.approx(0.05 + (0.05 + root) / (2 * c), rel=1e-6)
    assert found["stationary"].value < steepest(problem) < 34.98


@settings(max_examples=25, deadline=None)
@given(problems, st.sampled_from([1e-3, 0.1, 10.0]), st.integers(1, 300))
def test_bounds_never_exceed_the_trivial_ones(problem, eta, L):
    problem = replace(problem, eta=eta, L=L)
    found, mu = named(problem), curvature(problem).rate(eta)
    for name, rate in (("accumulation", curvature(problem).lam), ("accumulation-split", mu)):
        assert found[name].value == pytest.approx(distance(problem, rate, L), rel=1e-6)
        assert found[name].value <= diameter(problem)
    ulp = 1 + 2**-50  # a claim is rounded up from 40 digits, the functions are floats
    trivial = trivial_gradient(problem, contracting_step(problem))
    assert found["stationary"].value <= trivial * ulp <= steepest(problem) * ulp**2
    assert found["decrease"].value <= (steepest(problem) + problem.eps) * ulp
    assert distance(problem, mu, 1) <= eta * problem.eps * WIDENING * ulp


PLAIN = {
    "squared": lambda p, y: (p - y) ** 2,
    "logistic": lambda p, y: np.logaddexp(0, p) - y * p,
    "huber": lambda p, y: np.where(np.abs(p - y) < 0.5, (p - y) ** 2 / 2, np.abs(p - y) / 2 - 0.125),
    "log-cosh": lambda p, y: np.logaddexp(p - y, y - p) - math.log(2),
}
PLAIN_ACTIVATIONS = {"tanh": np.tanh, "sin": np.sin, "sigmoid": lambda t: 1 / (1 + np.exp(-t))}


def loss_of(problem, x, y, weights):
    """L_n on one example, from the paper's text in numpy."""
    p = x
    for j, v in enumerate(weights, start=1):
        z = v @ p
        linear = problem.output == "linear" and j == problem.N
        p = z if linear else PLAIN_ACTIVATIONS[problem.activation.name](z)
    return float(PLAIN[problem.loss.name](p, y).sum()) / 2


@settings(max_examples=40, deadline=None)
@given(problems, st.integers(0, 10**6))
def test_the_loss_varies_on_W_by_no_more_than_each_bound(problem, seed):
    """Weights at corners of W and inside, prompts on their spheres: a mean over examples varies no more."""
    generator = np.random.default_rng(seed)
    x, y = (generator.standard_normal(size) for size in (problem.d, problem.d_out))
    x, y = x * problem.B_x / np.linalg.norm(x), y * problem.B_y / np.linalg.norm(y)

    def drawn():
        corner = generator.random() < 0.7
        for j, shape in enumerate(zip(problem.dims[1:], problem.dims[:-1], strict=True), start=1):
            part = generator.choice([-1.0, 1.0], shape) if corner else generator.uniform(-1, 1, shape)
            yield part * problem.half_width(j)

    values = [loss_of(problem, x, y, list(drawn())) for _ in range(60)]
    bound, symbols = loss_drop(problem)
    path = [one for one in bound.args if L in one.free_symbols]
    assert len(path) == 1 and len(bound.args) == (3 if problem.loss.sigma else 4)
    for one in set(bound.args) - set(path):
        limit = float(one.subs({symbol: value for symbol, (value, _) in symbols.items()}))
        assert max(values) - min(values) <= limit * (1 + 1e-9)


@pytest.mark.parametrize(("eta", "expected"), [(0.1, 0.0), (1.9, 0.0), (3.0, 1 - 2 / 3)])
def test_convex_descent_does_not_stretch_up_to_two_over_lambda(eta, expected):
    assert curvature(FLAT).rate(eta) == pytest.approx(expected, abs=1e-6)
    claim = claims(replace(FLAT, eta=eta, L=7))[2]
    if not expected:
        assert claim.value == pytest.approx(eta * FLAT.eps * 7)


@given(st.floats(0.1, 10), st.floats(0.01, 1.9), st.floats(1e-4, 1), st.floats(0, 5), st.integers(1, 99))
def test_stationarity_inverts_the_descent_inequality(lam, share, eps, drop, steps):
    """The largest m with steps h (c m^2 - eps m) <= drop, plus eps; at least_move a move gains nothing."""
    h = Fraction(share / lam)
    c = 1 - h * Fraction(lam) / 2
    in_c = math.ceil(2 / c)  # roundings, as 1 - h lam/2 is off by two of 1
    found = Fraction(float(least_gradient(lam, float(h), eps, drop, steps)))
    m, e = found - Fraction(eps), Fraction(eps)
    off, slope = gamma(12 + 2 * in_c) * found, steps * h * (2 * c * m + e)
    assert abs(steps * h * (c * m * m - e * m) - Fraction(drop)) <= off * slope
    assert abs(Fraction(least_move(lam, float(h), eps)) * c - e) <= gamma(2 + in_c) * e


def test_step_is_shortened_only_where_needed():
    assert contracting_step(FLAT) == FLAT.eta
    long = replace(FLAT, eta=2.5)
    assert contracting_step(long) == pytest.approx(1.0, rel=1e-6)
    assert claims(long)[3].value == pytest.approx(2 * FLAT.eps, rel=1e-6)


def test_operator_norm_is_never_below_the_eigenvalue():
    assert operator_norm([[2.0, 5.0], [1.0, 3.0]]) == pytest.approx((5 + math.sqrt(5)) / 2, rel=1e-4)
    assert operator_norm([[0.0]]) == 0
    assert operator_norm([[math.inf]]) == math.inf


def test_blocks_are_linear_in_the_loss_curvature_and_the_rest():
    layers, ell = suprema(Problem())
    flat = [layer._replace(g=0.0, s=0.0, tilt=0.0) for layer in layers]
    whole, one, two = (hessian_blocks(*given) for given in ((layers, ell), (flat, ell), (layers, 0.0)))
    for row, first, second in zip(whole, one, two, strict=True):
        assert row == pytest.approx([a + b for a, b in zip(first, second, strict=True)])


def test_diameter_and_refusals():
    assert diameter(FLAT) == pytest.approx(2 * math.sqrt(2), rel=1e-6)
    with pytest.raises(ProblemError, match="activation = relu: it is put together from pieces"):
        curvature(Problem(activation=ACTIVATIONS["relu"]))
    assert curvature(Problem(N=1, activation=ACTIVATIONS["relu"], output="linear")).rest == 0
    with pytest.raises(ProblemError):
        curvature(Problem.parse({"activation": "sqrt(t)"}))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.lists(st.floats(0.1, 0.6), min_size=5, max_size=5))
def test_blocks_are_the_hessian_itself_where_every_factor_is_positive(depth, values):
    """r = exp(t) - 1 and l = exp(p), one unit a layer: no inequality loses anything."""
    x, *weights = values[: depth + 1]
    v = sympy.symbols(f"v1:{depth + 1}")
    p = sympy.Rational(x)
    for weight in v:
        p = sympy.exp(weight * p) - 1
    at = dict(zip(v, map(sympy.Rational, weights), strict=True))
    exact = sympy.hessian(sympy.exp(p) / 2, v).subs(at).evalf(30)
    outputs, z = [x], []
    for weight in weights:
        z.append(weight * outputs[-1])
        outputs.append(math.expm1(z[-1]))
    ell = g = math.exp(outputs[-1])
    layers = []
    for j in range(depth - 1, -1, -1):
        slope = math.exp(z[j])
        layers.append(Suprema(outputs[j], slope, slope, weights[j], g, slope * g, weights[j] * g))
        g = weights[j] * slope * g
    blocks = hessian_blocks(layers[::-1], ell)
    for j, row in enumerate(blocks):
        for k, found in enumerate(row):  # sums of products of positive numbers, through all layers and back
            wanted = Fraction(str(exact[j, k]))
            assert abs(Fraction(found) - wanted) <= gamma(40 * depth) * wanted
