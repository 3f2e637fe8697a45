"""Conversions to rationals are exact."""

from fractions import Fraction

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.algebra.rationals import exact_matrix, from_flint, to_flint


@given(st.floats(allow_nan=False, allow_infinity=False) | st.fractions() | st.integers())
def test_there_and_back_is_the_same_number(value):
    assert from_flint(to_flint(value)) == Fraction(value)


def test_what_is_no_number_is_no_rational():
    with pytest.raises(OverflowError):
        to_flint(float("inf"))
    with pytest.raises(ValueError):
        to_flint(float("nan"))


def test_matrices_keep_their_places():
    assert exact_matrix([[0.5, 2.0], [Fraction(1, 3), 0.0]]).tolist() == [
        [fmpq(1, 2), fmpq(2)],
        [fmpq(1, 3), fmpq(0)],
    ]
