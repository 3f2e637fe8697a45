"""Kernels of attention: their stated properties hold at random points, and unbounded ones are refused."""

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.spectra import extreme_eigenvalues
from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.functions.formula import parse
from icgd.bounds.functions.scalar import t
from icgd.bounds.kernel import KERNELS, Kernel, has_no_minus_sign
from icgd.bounds.letters import ProblemError
from icgd.verify.kernels.formula import values
from icgd.verify.kernels.given_inputs import KERNEL_PRECISION, convergence_on
from tests.rounding import gamma

radii = st.floats(0.1, 2.5)
WILD = [
    Kernel("cosine", "cos(3*s)"),
    Kernel("tempered", "1 + s/9", normalised=True),
    Kernel("odd", "tanh(s)"),
]
WILD += [Kernel("even", "cosh(s) + s**4/3"), Kernel("clip", "Max(-1, Min(1, 2*s))"), Kernel("minus", "-s**3")]
EVERY = [*KERNELS.values(), *WILD]


def extremes(kernel, radius, seed, n=7, d=3):
    """The smallest and the largest eigenvalue on points of that norm, give or take six roundings."""
    points = np.random.default_rng(seed).standard_normal((n, d))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    with ctx.workprec(KERNEL_PRECISION):
        exact = [[arb(x) for x in point] for point in points.tolist()]
        inner = [[sum((a * b for a, b in zip(u, v, strict=True)), arb(0)) for v in exact] for u in exact]
        found = [[kernel.k.ball(s) for s in row] for row in inner]
        if kernel.normalised:  # by columns, which is similar to this
            roots = [sum(column, arb(0)).sqrt() for column in zip(*found, strict=True)]
            found = [
                [x / (a * b) for x, b in zip(row, roots, strict=True)]
                for row, a in zip(found, roots, strict=True)
            ]
        return extreme_eigenvalues(found)


@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.name)
@settings(deadline=None, max_examples=15)
@given(radii, st.integers(0, 2**32 - 1))
def test_no_eigenvalue_exceeds_the_bound(kernel, radius, seed):
    low, high = extremes(kernel, radius, seed)
    farthest = radius * (1 + 2.0**-50)
    bound = 7 * arb(kernel.largest(farthest, 7)) * (1 + float(gamma(1)))  # it may be rounded to nearest
    assert not abs(low) > bound and not abs(high) > bound


@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.name)
def test_the_bound_is_not_much_more_than_what_some_points_attain(kernel):
    same = np.full((7, 7), float(values(kernel.formula, s=1.0)))
    opposite = np.full((7, 7), float(values(kernel.formula, s=-1.0)))
    met = max(float(np.abs(one).max()) for one in (same, opposite)) if not kernel.normalised else 1 / 7
    inside = max(abs(float(values(kernel.formula, s=s))) for s in np.linspace(-1, 1, 2001))
    assert met <= kernel.largest(1.0, 7) <= (inside if not kernel.normalised else met) * (1 + 1e-6)


@pytest.mark.parametrize("kernel", [one for one in EVERY if one.is_semidefinite], ids=lambda one: one.name)
@settings(deadline=None, max_examples=15)
@given(radii, st.integers(0, 2**32 - 1))
def test_what_is_said_to_be_semidefinite_is(kernel, radius, seed):
    low, high = extremes(kernel, radius, seed)
    assert not low < 0 and high > 0


def test_the_facts_about_the_kernels_that_there_are():
    assert {name for name, one in KERNELS.items() if one.is_semidefinite} >= {"linear", "exp", "quadratic"}
    assert not KERNELS["relu"].is_semidefinite and not KERNELS["softmax"].is_semidefinite
    assert [name for name, one in KERNELS.items() if one.is_inner_product] == ["linear"]
    assert KERNELS["quadratic"].largest(2.0, 9) == 25.0 and KERNELS["softmax"].largest(6.3, 9) == 1 / 9


@pytest.mark.parametrize(
    ("formula", "seen"),
    [
        ("(1 + t)**3 + t/2", True), ("exp(2*t**2) + cosh(t)*sinh(t)", True), ("0*t", True), ("pi*t", False),
        ("t - t**2", False), ("exp(-t)", False), ("1/(2 - t)", False), ("(1 + t)**0.5", False),
        ("relu(t)", False), ("tanh(t)", False), ("cos(t)", False), ("exp(t) - 1", False),
    ],
)  # fmt: skip
def test_series_without_minus_signs_are_told_by_their_parts(formula, seen):
    assert has_no_minus_sign(parse(formula, t)) == seen


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (Kernel("mine", "1/s"), r"^kernel = mine: it must be finite for \|s\| <= 1, and positive if"),
        (
            Kernel("mine", "s", normalised=True),
            r"^kernel = mine: it must be finite for \|s\| <= 1, and positive if",
        ),
        (
            Kernel("mine", "exp(600*s)"),
            r"^kernel = mine: it reaches 3.77e\+260 for \|s\| <= 1, beyond 1e\+100$",
        ),
    ],
)
def test_what_is_not_finite_or_no_divisor_is_refused_when_it_is_posed(kernel, words):
    with KERNELS.temporarily(kernel), pytest.raises(ProblemError, match=words):
        FunctionalProblem(kernel="mine")


def test_a_name_for_two_heads_is_refused():
    with pytest.raises(ValueError, match="is no name for a kernel"):
        KERNELS.register(Kernel("linear+exp", "s + exp(s)"))
    with pytest.raises(ValueError, match="unknown name 't'; the variable is s"):
        KERNELS.register(Kernel("mine", "t"))
    with pytest.raises(ProblemError, match="up to 8 of linear, exp, softmax, relu"):
        FunctionalProblem(kernel="mine")


@pytest.mark.parametrize("kernel", WILD, ids=lambda kernel: kernel.name)
def test_a_registered_kernel_is_certified_on_given_inputs(kernel):
    points = np.random.default_rng(3).standard_normal((5, 2)).tolist()
    with KERNELS.temporarily(kernel):
        found = convergence_on((kernel.name,), points, [1.0, -1.0, 0.5, 2.0], 0.1)
        matrix = gram_of(kernel, points)
    eigenvalues = np.linalg.eigvals(matrix).real
    assert found is not None
    assert float(found.smallest.lower()) <= eigenvalues.min() + 1e-9
    assert float(found.largest.upper()) >= eigenvalues.max() - 1e-9


def gram_of(kernel, points):
    """The n x n part, normalised over the n examples; similar to a symmetric matrix."""
    inner = np.array(points) @ np.array(points).T
    found = values(kernel.formula, s=inner)
    return (found / found[:-1].sum(axis=0))[:-1, :-1] if kernel.normalised else found[:-1, :-1]
