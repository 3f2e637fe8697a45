"""Functional descent: witnesses and identities recomputed by a second method, and the letters."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.definiteness import (
    RELU_WITNESS,
    Witness,
    circle_quotient,
    fourier_coefficient,
    linear_form_is_square,
    rayleigh,
)
from icgd.bounds.functional import (
    FunctionalProblem,
    claims,
    descent_identity,
)
from icgd.bounds.letters import ProblemError

seeds = st.integers(0, 2**32 - 1)


def test_relu_is_refuted_three_ways():
    gram = [[max(sum(a * b for a, b in zip(u, v, strict=True)), 0) for v in RELU_WITNESS.points]
            for u in RELU_WITNESS.points]  # fmt: skip
    assert round(np.linalg.det(gram)) == -1
    assert rayleigh("relu", RELU_WITNESS) == Fraction(-2, 13)
    assert rayleigh("linear", RELU_WITNESS) >= 0
    assert circle_quotient().overlaps(1 - arb(2).sqrt()) and circle_quotient() < 0
    assert fourier_coefficient(4) == Fraction(-2, 15) and fourier_coefficient(2) > 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=6))
def test_relu_on_a_line_is_semidefinite_and_linear_always(pairs):
    points, weights = [(a,) for a, _ in pairs], tuple(b for _, b in pairs)
    if any(weights):
        assert rayleigh("relu", Witness(tuple(points), weights)) >= 0
        assert rayleigh("linear", Witness(tuple(points), weights)) >= 0


def test_identities_hold():
    assert linear_form_is_square() and descent_identity()


def test_claims_have_values():
    values = {claim.key: claim.value for claim in claims(FunctionalProblem())}
    assert values["functional/parameters"] == 40 * (25 + 32)


@pytest.mark.parametrize(
    ("field", "value"),
    [("kernel", "cosine"), ("kernel", ""), ("kernel", 3), ("n", 0), ("n", 10**5), ("L", 1.5), ("r", -1.0),
     ("radius", math.inf), ("radius", 100.0), ("d", True), ("sigma", 0.0), ("sigma", math.nan),
     ("normaliser", "none"), ("noise", -1.0), ("noise", math.inf)],
)  # fmt: skip
def test_impossible_letters_are_refused(field, value):
    with pytest.raises(ProblemError, match=field):
        FunctionalProblem(**{field: value})


def test_a_width_is_a_change_of_the_unit_of_length():
    """k(<x, x'>/sigma^2) on the sphere of a radius is k on that of radius/sigma."""
    for kernel in ("exp", "linear+relu", "softmax"):
        wide, plain = (
            FunctionalProblem(kernel=kernel, radius=r, sigma=s) for r, s in ((3.0, 2.0), (1.5, 1.0))
        )
        assert wide.rate == plain.rate and wide.scale == 0.25
        (one, other) = ({claim.key: claim.value for claim in claims(problem)} for problem in (wide, plain))
        assert one == other
    with pytest.raises(ProblemError, match=r"radius/sigma, here 100, is between 0\.001 and 6\.32456"):
        FunctionalProblem(sigma=0.01)


def test_plain_values_pose_the_same_problem():
    problem = FunctionalProblem(kernel="linear+relu", n=5)
    assert FunctionalProblem.parse(problem.as_dict()) == problem
    assert all(text != name for name, text in FunctionalProblem.meanings().items())
