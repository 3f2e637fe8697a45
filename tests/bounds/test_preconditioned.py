"""Theorems of arXiv 2306.00297 hold as identities, and false variants of them do not."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.best_steps import (
    best_steps,
    enclose_critical,
    residual,
    spectral_rule,
    spectrum,
    stationarity_defects,
    transformed_loss,
)
from icgd.bounds.algebra.expected_loss import family_gradient, global_minimum, one_layer_loss, other_minimum
from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import PreconditionedProblem, Statement, claims, lemma_one, minimiser
from tests.rounding import gamma

WRONG = {
    "sign": Statement(sign=1),
    "1/n for (n+1)/n": Statement(preconditioner=lambda e, trace, m: m * e + m * trace),
    "1 for (n+1)/n": Statement(preconditioner=lambda e, trace, m: e + m * trace),
    "tr S dropped": Statement(preconditioner=lambda e, trace, m: (1 + m) * e),
    "tr S without 1/n": Statement(preconditioner=lambda e, trace, m: (1 + m) * e + trace),
}


@pytest.mark.parametrize(
    "letters",
    [{"d": 0}, {"S": "1,2,3"}, {"S": "0"}, {"S": "1,-1"}, {"S": "a"}, {"S": "1/0"}, {"L": 9}, {"n": 1.5},
     {"S": "1/50,50"}, {"K": 3}, {"S": "1e99999999"}, {"S": "1e-99999999"}, {"S": "1E+9_9_9_9_9_9_9"},
     {"S": "1," * 200}, {"S": "1" * 300}, {"d": 3, "S": "2,1/2"}],
    ids=str,
)  # fmt: skip
def test_impossible_letters_are_refused(letters):
    with pytest.raises(ProblemError):
        PreconditionedProblem.parse(letters)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.data())
def test_the_covariance_has_the_eigenvalues_and_the_problem_reads_back(d, data):
    values = data.draw(st.lists(st.fractions(Fraction(1, 2), 8, max_denominator=9), min_size=d, max_size=d))
    problem = PreconditionedProblem(d=d, S=",".join(map(str, values)))
    x = sympy.Symbol("x")
    characteristic = sympy.Matrix(problem.covariance).charpoly(x).as_expr()
    assert sympy.expand(characteristic - sympy.prod(x - sympy.Rational(value) for value in values)) == 0
    assert PreconditionedProblem.parse(problem.as_dict()) == problem
    R = problem.rotation
    assert [[sum(a * b for a, b in zip(r, s, strict=True)) for s in R] for r in R] == np.eye(d).tolist()


def test_what_is_no_covariance_or_prior_is_said():
    for letters, said in (
        ({"S": "2,1;0,1"}, "a symmetric 2 x 2 matrix, rows separated by ;"),
        ({"S": "1,2;2,1"}, "with eigenvalues from 1/100 to 100"),
        ({"S": "1,0,0;0,1,0;0,0,1"}, "a symmetric 2 x 2 matrix"),
        ({"prior": "flat"}, "it is inverse or identity"),
        ({"prior": "identity"}, "Theorem 1 has one layer, and L = 3"),
        ({"covariates": "ball"}, "it is normal or sphere"),
        ({"covariates": "sphere", "d": 1}, "it needs d and n of 2 or more"),
        ({"covariates": "sphere", "n": 1}, "it needs d and n of 2 or more"),
    ):
        with pytest.raises(ProblemError, match=said):
            PreconditionedProblem(**letters)
    whole = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert PreconditionedProblem(S=whole).S == "2.0,0.5;0.5,1.0" == PreconditionedProblem(S=whole.tolist()).S


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
def test_the_covariance_left_alone_fits_every_size(d):
    problem = PreconditionedProblem(d=d)
    expected = "2,1/2" if d == 2 else "1"
    assert expected == problem.S and len(problem.eigenvalues) == d
    assert PreconditionedProblem.parse(problem.as_dict()) == problem == PreconditionedProblem(d=d, S="auto")
    assert PreconditionedProblem(S="1e-1,25e-2").eigenvalues == (Fraction(1, 10), Fraction(1, 4))


@pytest.mark.parametrize(("d", "n"), [(1, 1), (2, 3), (3, 2)])
def test_lemma_one_needs_the_transpose_the_sign_and_the_mask(d, n):
    found = lemma_one(d, n)
    assert found.transposed and found.symmetric and found.literal == (d == 1)
    for wrong in (Statement(sign=1), Statement(masked=False)):
        assert not lemma_one(d, n, wrong).symmetric


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_the_minimum_over_all_matrices_is_global(d):
    assert global_minimum(d).proved


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("d", [1, 2])
def test_a_wrong_minimiser_is_not(wrong, d):
    found = global_minimum(d, wrong)
    assert not (found.free or found.attained or found.valued)


@pytest.mark.parametrize(("d", "n"), [(d, n) for d in (1, 2) for n in (1, 2, 3, 4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_what_sampling_finds(d, n, seed):
    """The polynomial at random matrices against the layer's formula on a million numbers, always the same."""
    rng = np.random.default_rng(seed)
    S = np.diag([Fraction(2), Fraction(1, 2)][:d])
    P, Q = rng.integers(-2, 3, (d + 1, d + 1)) / 4, rng.integers(-2, 3, (d + 1, d + 1)) / 4
    model = one_layer_loss(d, tuple(tuple(Fraction(v) for v in row) for row in S), n)
    point = [*P[-1], *Q[:, :d].reshape(-1)]
    named = {k: fmpq(*Fraction(float(v)).as_integer_ratio()) for k, v in enumerate(point)}
    expected = float(Fraction(str(model.loss.subs(named))))
    count = 100_000
    x = rng.standard_normal((count, n + 1, d)) * np.sqrt(np.diag(S).astype(float))
    w = rng.standard_normal((count, d))
    label = np.einsum("bid,bd->bi", x, w)
    Z = np.concatenate([x, label[..., None]], axis=2).transpose(0, 2, 1)
    Z[:, -1, -1] = 0
    M = np.diag([1.0] * n + [0.0])
    after = Z + P @ Z @ M @ (Z.transpose(0, 2, 1) @ Q @ Z) / n
    errors = (after[:, -1, -1] + label[:, -1]) ** 2
    assert abs(errors.mean() - expected) < 8 * errors.std() / np.sqrt(count)


def test_the_gradient_vanishes_at_a_covariance_that_is_no_diagonal():
    problem = PreconditionedProblem(d=3, n=4, S="3,1,1/2")
    model = one_layer_loss(3, tuple(map(tuple, problem.covariance)), 4)
    q = [[-v for v in row] for row in minimiser(problem)] + [[Fraction(0)] * 3]
    p = [Fraction(0)] * 3 + [Fraction(1)]
    assert not any(value != 0 for value in model.gradient(p, q))
    q[0][0] += Fraction(1, 1000)
    assert any(value != 0 for value in model.gradient(p, q))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.fractions(Fraction(1, 50), 50))
def test_one_dimension_has_a_second_family_of_global_minima(n, value):
    found = other_minimum((value,), n)
    assert found.critical and found.strict and found.loss == found.least


def test_two_dimensions_may_have_a_minimum_that_is_not_global_or_a_saddle():
    trap = other_minimum((Fraction(1, 2), Fraction(2)), 10)
    assert trap.critical and trap.strict and trap.loss == Fraction(85, 98) > trap.least == Fraction(435, 784)
    saddle = other_minimum((Fraction(1), Fraction(1)), 10)
    assert saddle.critical and not saddle.strict


@pytest.mark.parametrize(("L", "transformed"), [(1, False), (2, False), (3, False), (1, True), (2, True)])
def test_the_families_are_stationary_and_their_mutants_are_not(L, transformed):
    found = family_gradient(L, transformed)
    assert found.stationary and any(value != 0 for value in found.along)
    if L <= 2:
        assert not family_gradient(L, transformed, Statement(family=lambda value, inverse: 1)).stationary
        assert not family_gradient(L, transformed, Statement(family=lambda value, inverse: value)).stationary


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_the_best_steps_are_stationary_real_and_unbeaten(n, d, L, seed):
    if n == 1 and d == 1 and L > 4:
        return
    steps = best_steps(n, d, L)
    assert steps.certified and not any(stationarity_defects(n, d, steps.q)) and all(a > 0 for a in steps.a)
    found = product([Fraction(a) for a in steps.a])
    # An inverse root is rounded twice, and a coefficient is a sum of products of at most L of them.
    assert all(abs(c - q) <= gamma(2 * L) * abs(q) for c, q in zip(found, steps.q, strict=True))
    rng = np.random.default_rng(seed)
    other = product([Fraction(a * (1 + 0.1 * rng.standard_normal())) for a in steps.a])
    off = [c - q for c, q in zip(other, steps.q, strict=True)]
    # Pythagoras: what other steps lose is the square of their distance from the best ones.
    assert expected_square(n, d, other) - steps.loss == expected_square(n, d, off) > 0
    if L == 1:
        assert steps.loss == Fraction(d * (d + 1), n + d + 1)


def product(steps):
    """The coefficients of prod(1 - a t)."""
    q = [Fraction(1)]
    for a in steps:
        q = [c - a * before for c, before in zip([*q, 0], [0, *q], strict=True)]
    return q


def expected_square(n, d, q):
    """E tr q(C)^2."""
    m = spectrum(n, d, 2 * len(q))
    return sum(a * b * m[j + k] for j, a in enumerate(q) for k, b in enumerate(q))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 6))
def test_rules_of_the_spectrum_have_its_moments(n, d, size):
    if n == d == 1 or size > n * d:
        size = min(size, n * d)
    nodes, weights = (list(map(Fraction, part)) for part in spectral_rule(n, d, size))
    for k, moment in enumerate(spectrum(n, d, 2 * size - 1)):  # a node is rounded, and its weight
        found = sum(weight * node**k for node, weight in zip(nodes, weights, strict=True))
        assert abs(found - moment) <= gamma(k + 2) * moment


def test_the_transformed_loss_is_that_of_the_spectrum():
    t, weight = map(np.array, spectral_rule(6, 3, 14))
    for L, point in ((2, (0.4, 1.5, 0.3)), (3, (0.5, 0.9, 1.2, 0.2, 0.1))):
        named = {k: fmpq(*float(v).as_integer_ratio()) for k, v in enumerate(point)}
        exact = float(Fraction(str(transformed_loss(6, 3, L).subs(named))))
        assert exact == pytest.approx(weight @ residual(L, t, point[:L], point[L:]) ** 2, rel=1e-9)
    assert sum(weight) == pytest.approx(float(spectrum(6, 3, 0)[0]))


def test_a_critical_point_is_enclosed_where_there_is_one_only():
    polynomial = transformed_loss(10, 2, 2)
    found = enclose_critical(polynomial, (0.4528, 2.957, 0.837))
    assert found.minimum and found.value[0] <= found.value[1] < found.value[0] + 1e-12
    assert found.value[0] == pytest.approx(0.033618628892)
    context = polynomial.context()
    slope = context.gens()[0] + context.gens()[1] ** 2 + context.gens()[2] ** 2
    assert enclose_critical(slope, (0.1, 0.1, 0.1)) is None


def test_the_claims_are_the_numbers_of_the_exact_route():
    problem = PreconditionedProblem(d=3, n=7, S="2,1,1/3")
    loss, three, one, parameters = claims(problem)
    A = np.array(minimiser(problem), dtype=float)
    S = np.array(problem.covariance, dtype=float)
    second = 8 / 7 * S @ S + np.trace(S) / 7 * S
    by_hand = np.trace(S) - 2 * np.trace(S @ A @ S) + np.trace(S @ A @ second @ A.T)
    assert loss.value == pytest.approx(by_hand, rel=1e-12)
    assert three.value < one.value == pytest.approx(12 / 11) and parameters.value == 96
