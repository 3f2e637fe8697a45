"""The look-up against the sum of ReLUs it stands for, evaluated over the rationals."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.construct.block.machine_code import machine_code, run_section
from icgd.construct.block.table import LookupTable
from tests.rounding import exactly

UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24}


def kinks(relus):
    return -relus.b / relus.a


def assert_same(relus, points, dtype=torch.float64, roundings=32):
    """Table and sum agree to a few roundings of the numbers that the sum adds.

    Next to a kink rounding may pick the wrong side of it, up to 16 roundings of the largest kink or point
    away; a line, its value and what one more kink adds take another 16.  What underflows is off by the
    smallest number there is.
    """
    table = LookupTable(relus).to(dtype)
    x = torch.as_tensor(np.asarray(points, dtype=float), dtype=dtype)
    found = table(x)
    assert found.dtype == dtype and found.shape == x.shape
    by_code = packed_values(table, x.reshape(-1).numpy())
    at, value = (part.reshape(-1).double().numpy() for part in (x, found))
    reach = np.maximum(np.abs(at), np.abs(kinks(relus)).max(initial=0.0))
    size = np.outer(reach, np.abs(relus.a)) + np.abs(relus.b)
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    allowed = roundings * (UNIT[dtype] * (size @ np.abs(relus.c) + abs(relus.constant)) + smallest)
    both = zip(at.tolist(), value.tolist(), by_code.tolist(), allowed.tolist(), strict=True)
    for x, *found, room in both:
        for got in found:
            assert abs(Fraction(got) - exactly(relus, Fraction(x))) <= Fraction(room), (x, got)


def packed_values(table, x):
    """The table as machine code evaluates it, or as the same function does where there is no compiler."""
    packed, run = table.packed(), machine_code() or run_section
    places = np.array([packed.place, (0.0,) * 4], dtype=x.dtype)
    kinds = np.array([[packed.kind, 0, len(packed.rows)]])
    planes = np.concatenate([x, np.zeros_like(x)])
    ints, reals = np.array([[0, len(x), 0, 1, 0]]), np.array([[0.0, 1.0, 1.0]], dtype=x.dtype)
    run(planes, 0, len(x), ints, reals, kinds, places, packed.rows.ravel().astype(x.dtype))
    return planes[len(x) :]


def interesting(relus):
    """Kinks, their neighbours, midpoints, and points far outside."""
    at = np.sort(kinks(relus)) if relus.units else np.zeros(1)
    near = np.concatenate([np.nextafter(at, -np.inf), at, np.nextafter(at, np.inf)])
    far = np.array([-1e6, -3.0, 0.0, 3.0, 1e6])
    return np.concatenate([near, (at[1:] + at[:-1]) / 2, far, np.linspace(at[0], at[-1], 23)])


moderate = st.floats(-4, 4).filter(lambda v: v == 0 or abs(v) > 1e-3)
slopes = moderate.filter(bool)


@st.composite
def sums(draw, min_units=0, max_units=24):
    """Any sum: kinks that repeat, crowd together, or stand on a nearly even grid."""
    units = draw(st.integers(min_units, max_units))
    a = draw(st.lists(slopes | st.sampled_from([1.0, -1.0]), min_size=units, max_size=units))
    c = draw(st.lists(moderate, min_size=units, max_size=units))
    kind = draw(st.sampled_from(["free", "repeated", "crowded", "even"]))
    if kind == "free":
        at = draw(st.lists(moderate, min_size=units, max_size=units))
    elif kind == "repeated":
        at = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1 / 3]), min_size=units, max_size=units))
    elif kind == "crowded":
        close = st.integers(0, 5).map(lambda i: 1 + i * 2.0**-50)
        at = draw(st.lists(close | moderate, min_size=units, max_size=units))
    else:
        wobble = draw(st.sampled_from([0.0, 1e-15, 1e-11, 1e-7]))
        at = [(i - units / 3) / 7 * (1 + wobble * i) for i in range(units)]
    b = [-slope * k for slope, k in zip(a, at, strict=True)]
    return ReluSum(a, b, c, draw(moderate))


@settings(deadline=None, max_examples=200)
@given(sums())
def test_equals_the_sum_at_kinks_between_and_far_outside(relus):
    assert_same(relus, interesting(relus))


@settings(deadline=None, max_examples=100)
@given(sums())
def test_in_float32(relus):
    assert_same(relus, interesting(relus), torch.float32)


@pytest.mark.parametrize("units", [4, 5, 40])
def test_all_kinks_at_one_place(units):
    relus = ReluSum(np.where(np.arange(units) % 2, 1.0, -0.5), np.zeros(units), 1.0 + np.arange(units))
    assert_same(relus, interesting(relus))


def test_kinks_that_differ_as_rationals_but_not_as_floats():
    third = 1 / 3  # the float, unlike 1/3, so the kinks -1/3 and -fl(1/3) differ
    relus = ReluSum([3.0, 1.0, 1.0, 2.0], [1.0, third, 0.0, 1.0], [1.0, 2.0, -1.0, 1.0])
    assert_same(relus, interesting(relus))


@pytest.mark.parametrize("gap", [2.0**-52, 1e-12, 1e-6, 1e-3])
def test_two_kinks_much_closer_than_the_rest(gap):
    at = np.array([0.0, 1.0, 1.0 + gap, 2.0, 2.5, 5.0])
    relus = ReluSum(np.ones(6), -at, [1.0, -3.0, 5.0, -2.0, 1.0, 0.5], 0.25)
    assert_same(relus, interesting(relus))


def test_an_almost_even_grid_is_not_taken_for_an_even_one():
    # Gaps differ by 9e-10, but that adds up: in the middle a kink is 1e-7 from the even grid.
    at = np.cumsum(1 + 1e-12 * np.arange(900))
    relus = ReluSum(np.ones(900), -at, np.where(np.arange(900) % 2, -1.0, 1.0))
    assert_same(relus, [at[1], at[450] + 3e-8, at[450] - 3e-8, at[899]])


def test_uniform_grid_uses_no_search_and_is_exact_at_its_kinks():
    at = np.arange(100) / 8
    relus = ReluSum(np.ones(100), -at, np.full(100, 0.25))
    table = LookupTable(relus)
    assert table.uniform
    assert table(torch.from_numpy(at)).tolist() == [exactly(relus, Fraction(x)) for x in at.tolist()]


@example(ReluSum([], [], [], 2.5), (2, 3))
@given(sums(max_units=6), st.sampled_from([(), (0,), (3,), (2, 0, 3), (2, 3, 4)]))
@settings(deadline=None, max_examples=50)
def test_keeps_every_shape_and_leaves_its_input_alone(relus, shape):
    x = torch.linspace(-3, 3, int(np.prod(shape, dtype=int)), dtype=torch.float64).reshape(shape)
    before, table = x.clone(), LookupTable(relus)
    flat = table(x)
    assert flat.shape == x.shape and torch.equal(x, before)
    if x.dim() >= 2:  # an input that is not contiguous
        turned = table(x.transpose(0, -1))
        assert torch.equal(turned, flat.transpose(0, -1))


def test_exactly_linear_sums_are_recognised():
    table = LookupTable(ReluSum([1.0, -1.0], [0.0, 0.0], [-1.0, 1.0]))
    assert table.linear == (-1.0, 0.0)
    x = torch.tensor([1e300, -0.1, 0.0, 2.0**-1060])
    assert torch.equal(table(x), -x)
    assert LookupTable(ReluSum([], [], [], 3.0)).linear == (0.0, 3.0)
    assert LookupTable(ReluSum([1.0], [0.0], [1.0])).linear is None


def test_cost_does_not_grow_with_the_number_of_kinks():
    for units in (10, 1000):
        at = np.sort(np.random.default_rng(0).uniform(-1, 1, units))
        table = LookupTable(ReluSum(np.ones(units), -at, np.ones(units)))
        held = sum(buffer.numel() for buffer in table.buffers())
        assert held <= 4 * 64 * (units + 2)  # _CELLS_PER_UNIT bounds the memory


def test_follows_to_and_state_dict():
    at = np.array([0.0, 1.0, 1.5, 4.0, 4.5])
    relus = ReluSum(np.ones(5), -at, [1.0, 2.0, -1.0, 3.0, 1.0])
    table = LookupTable(relus)
    copy = LookupTable(relus)
    copy.load_state_dict(table.state_dict())
    x = torch.linspace(-1, 6, 50, dtype=torch.float64)
    assert torch.equal(copy(x), table(x))
    assert {b.dtype for b in table.to(torch.float32).buffers()} == {torch.float32}
