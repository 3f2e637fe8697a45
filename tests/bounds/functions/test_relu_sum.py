"""The exact pieces of a sum of ReLUs agree with the sum itself."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum, clip, gate, linear, relu, signed
from tests.rounding import UNDERFLOW, exactly, gamma

Unit = tuple[float, float, float]

weights = st.floats(-8, 8, allow_subnormal=False)
units = st.lists(st.tuples(weights.filter(bool), weights, weights), max_size=6)


def build(unit: list[Unit], constant: float) -> ReluSum:
    a, b, c = np.array(unit, dtype=np.float64).reshape(-1, 3).T
    return ReluSum(a, b, c, constant)


@given(units, weights, st.lists(st.fractions(-10, 10), min_size=1, max_size=5))
def test_segments_are_the_function(unit: list[Unit], constant: float, points: list[Fraction]) -> None:
    sums = build(unit, constant)
    kinks, slopes, intercepts = sums.segments()
    assert kinks == sorted(set(kinks)) and len(slopes) == len(intercepts) == len(kinks) + 1
    for x in [*points, *kinks]:
        for i in {bisect_left(kinks, x), bisect_left(kinks, x) + (x in kinks)}:  # both sides of a kink
            assert intercepts[i] + slopes[i] * x == exactly(sums, x)


@given(units, weights, st.lists(weights, min_size=1, max_size=5))
def test_call_rounds_the_exact_value(unit: list[Unit], constant: float, points: list[float]) -> None:
    sums = build(unit, constant)
    for x, found in zip(points, sums(np.array(points)).tolist(), strict=True):
        sizes = abs(constant) + sum(
            abs(Fraction(c)) * (abs(Fraction(a) * Fraction(x)) + abs(b)) for a, b, c in unit
        )
        # A product, the bias, the outer weight of at most 8; and every unit is added.
        room = gamma(3 + len(unit)) * sizes + 9 * len(unit) * UNDERFLOW
        assert abs(Fraction(found) - exactly(sums, Fraction(x))) <= room


def test_weights_are_checked_and_frozen() -> None:
    one, none = np.ones(1), np.ones(0)
    with pytest.raises(ValueError, match="lengths"):
        ReluSum(one, none, one)
    with pytest.raises(ValueError, match="a = 0"):
        ReluSum(0 * one, one, one)
    with pytest.raises(ValueError, match="read-only"):
        ReluSum(one, one, one).c[0] = 2.0


@given(st.fractions(-20, 20), st.sampled_from([-0.5, 0.0, 0.25, 2.0]), st.sampled_from([0.5, 1.0, 4.0]))
def test_named_sums_are_what_their_names_say(x: Fraction, shift: float, wide: float) -> None:
    s, w = Fraction(shift), Fraction(wide)
    assert exactly(relu(shift), x) == max(x + s, 0)
    assert exactly(signed(shift, wide), x) == s * x + w
    assert exactly(clip(shift - wide, shift + wide), x) == min(max(x, s - w), s + w)
    assert exactly(gate(wide), x) == min(max(x / w, Fraction(0)), Fraction(1))
    if x >= -w:
        assert exactly(linear(shift, wide, 1.0), x) == s * x + 1
