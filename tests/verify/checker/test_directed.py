"""Outward rounding: against exact rationals, from numbers near 0 to numbers near the largest."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, fmpq

from icgd.verify.checker.directed import Interval, Upper, above, down, up

RNG = np.random.default_rng(11)
SIZES = *(2.0 ** RNG.uniform(-3, 3, 60)), *(2.0 ** RNG.uniform(-1070, 500, 60)), 0.0, 1.0, 5e-324
LEFT, RIGHT = (RNG.choice([-1.0, 1.0], 300) * RNG.choice(SIZES, 300) for _ in range(2))


def exact(x):
    return [Fraction(float(one)) for one in x]


def encloses(found, true, near=None):
    rows = zip(exact(found.low), true, exact(found.high), strict=True)
    assert all(low <= one <= high for low, one, high in rows)
    if near is not None:
        room = near * 2.0**-44 + 2.0**-990
        assert np.all(found.high - found.low <= room)


@pytest.mark.parametrize("act", [operator.add, operator.sub, operator.mul])
def test_intervals_enclose_sums_differences_and_products(act):
    """Of numbers anywhere in them: here of both ends, and of a point between."""
    points = [(LEFT, np.abs(LEFT) * 0.25), (RIGHT, np.abs(RIGHT) * 0.5)]
    one, other = (Interval(down(x - r), up(x + r)) for x, r in points)
    found = act(one, other)
    for x in (one.low, LEFT, one.high):
        for y in (other.low, RIGHT, other.high):
            encloses(found, [act(a, b) for a, b in zip(exact(x), exact(y), strict=True)])
    thin = act(Interval(LEFT, LEFT), Interval(RIGHT, RIGHT))
    size = np.abs(LEFT * RIGHT) if act is operator.mul else np.abs(LEFT) + np.abs(RIGHT)
    encloses(thin, [act(a, b) for a, b in zip(exact(LEFT), exact(RIGHT), strict=True)], size)


def test_intervals_enclose_squares_quotients_and_multiples():
    wide = Interval(-np.abs(LEFT), 2 * np.abs(LEFT))
    for x in (wide.low, 0 * LEFT, wide.high):
        encloses(wide.squared(), [one * one for one in exact(x)])
        encloses(wide.times(RIGHT), [a * b for a, b in zip(exact(x), exact(RIGHT), strict=True)])
    assert np.all(wide.squared().low >= 0) and np.all(wide.size() == wide.high)
    ordinary = np.abs(RIGHT) > 2.0**-500
    under = Interval(np.abs(RIGHT[ordinary]), 3 * np.abs(RIGHT[ordinary]))
    for x in (wide.low, wide.high):
        for y in (under.low, under.high):
            true = [a / b for a, b in zip(exact(x[ordinary]), exact(y), strict=True)]
            encloses(Interval(wide.low[ordinary], wide.high[ordinary]).over(under), true)
    with np.errstate(all="ignore"):
        none = wide.over(Interval(0 * LEFT, np.ones_like(LEFT)))
    assert np.all(np.isnan(none.low) & np.isnan(none.high))


def test_upper_bounds_stay_above_and_near():
    x, y = Upper(np.abs(LEFT)), Upper(np.abs(RIGHT))
    pairs = [*zip(exact(x.x), exact(y.x), strict=True)]
    for found, true in (
        (x + y, [a + b for a, b in pairs]),
        (x * y, [a * b for a, b in pairs]),
        (3 * x, [3 * a for a, _ in pairs]),
        (x.half(), [a / 2 for a, _ in pairs]),
        (x.min(y), [min(pair) for pair in pairs]),
    ):
        near(found, true)
    near(x.sqrt() * x.sqrt(), [a for a, _ in pairs])


def near(found, true):
    rows = zip(exact(found.x), true, strict=True)
    assert all(0 <= bound - one <= one * 2.0**-46 + 2.0**-900 for bound, one in rows)


def test_a_float_above_a_number_is_above_it():
    for x in (Fraction(1, 3), Fraction(10**40 + 1), Fraction(-1, 7), Fraction(0.1), Fraction(2**60 + 1)):
        assert x < Fraction(above(fmpq(*x.as_integer_ratio()))) <= x + abs(x) / 2**51
    assert above(0) == 0 and np.isnan(above(arb("nan"))) and above(arb("inf")) == np.inf
    assert above(fmpq(1, 2**1060)) == above(5e-324) == 2.0**-1000  # a processor may read less as 0
