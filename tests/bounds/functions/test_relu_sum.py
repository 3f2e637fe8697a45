"""The exact pieces of a sum of ReLUs agree with the sum itself."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum, clip, gate, linear, relu, signed

Unit = tuple[float, float, float]

weights = st.floats(-8, 8, allow_subnormal=False)
units = st.lists(st.tuples(weights.filter(bool), weights, weights), max_size=6)


def build(unit: list[Unit], constant: float) -> ReluSum:
    a, b, c = np.array(unit, dtype=np.float64).reshape(-1, 3).T
    return ReluSum(a, b, c, constant)


def exactly(sums: ReluSum, x: Fraction) -> Fraction:
    """The definition, in rationals."""
    unit = zip(sums.a.tolist(), sums.b.tolist(), sums.c.tolist(), strict=True)
    return Fraction(sums.constant) + sum(
        (Fraction(c) * max(Fraction(a) * x + Fraction(b), Fraction(0)) for a, b, c in unit), Fraction(0)
    )


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
    exact = [float(exactly(sums, Fraction(x))) for x in points]
    np.testing.assert_allclose(sums(np.array(points)), exact, rtol=0, atol=1e-11)


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
