"""Pieces of sums of ReLUs in whole numbers, and what floats settle: against exact rationals and 40 digits."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.pieces import fit
from icgd.bounds.problem import Problem
from icgd.verify.checker.lemmas import lemma, lines
from icgd.verify.checker.linear_pieces import pieces, unsettled
from icgd.verify.checker.power_series import exact, formula
from icgd.verify.checker.relu import PRECISION
from icgd.verify.checker.tables import Table

weights = st.floats(2.0**-40, 2.0**20).flatmap(lambda x: st.sampled_from([x, -x]))
slopes = st.sampled_from([1.0, -1.0, 0.5, -4.0])
units = st.lists(st.tuples(slopes, st.floats(-3, 3, width=16), weights), max_size=9)


@given(units, weights, st.lists(st.sampled_from([-0.75, 0.0, 0.5]), unique=True))
@settings(deadline=None, max_examples=40)
def test_pieces_are_the_lines_cut_at_more_points(parts, constant, cuts):
    a, b, c = zip(*parts, strict=True) if parts else ((), (), ())
    relus = {"a": [*a], "b": [*b], "c": [*c], "constant": constant}
    found = pieces(relus, 1.0, np.array(sorted(cuts)))
    assert {-1.0, 1.0, *cuts} <= {*found.points.tolist()} and np.all(np.diff(found.points) >= 0)
    given_lines = [*lines(relus, exact(-1.0), exact(1.0))]
    for i in range(len(found.rises)):
        start, end, rise, lift = found.exactly(i)
        if start < end:
            assert [(rise, lift)] == [line[2:] for line in given_lines if line[0] <= start and end <= line[1]]
        assert found.rises[i] == round_(rise)
        assert found.values[i] == round_(rise * start + lift)
        assert found.values[i + 1] == round_(rise * end + lift)


def round_(x):
    return float(Fraction(int(x.p), int(x.q)))


@pytest.mark.parametrize(
    "change", [{"a": [3.0, 1.0]}, {"b": [0.1, 1e40]}, {"c": [2.0**-200, 1.0]}, {"c": [2**53 + 1, 1.0]}]
)
def test_sums_on_which_floats_might_not_be_enough_are_left_to_rationals(change):
    relus = {"a": [1.0, -2.0], "b": [0.1, 0.2], "c": [1.0, 1.0], "constant": 0.0}
    assert pieces(relus, 1.0, np.array([])) and pieces(relus | change, 1.0, np.array([])) is None


def test_whole_numbers_that_no_float_holds_are_left_to_rationals():
    relus = {"a": [1.0], "b": [0.5], "c": [1.0], "constant": 0.0}
    assert pieces(relus | {"constant": 2**60 + 63}, 1.0, np.array([])) is None
    assert pieces(relus, 2**53 + 1, np.array([])) is None
    with ctx.workprec(PRECISION):
        table = Table(formula("tanh"), 1.0)
        assert unsettled(table, 0, pieces(relus, 1.0, table.edges[1:-1]), 2**60 + 1)


def test_a_piece_between_neighbouring_floats_is_read_left_of_the_edge_at_which_it_ends():
    """f is 2 between the floats below an edge of its table, and 1 elsewhere; the sum is 1."""
    edge = -0.5
    below = float(np.nextafter(edge, -1))
    peak = (Fraction(below) + Fraction(edge)) / 2
    relus = {"a": [1.0], "b": [-below], "c": [2.0**-90], "constant": 1.0}
    with ctx.workprec(PRECISION):
        table = Table(formula(f"1 + 1/cosh((t - ({peak.numerator})/{peak.denominator})*10**21)"), 1.0)
        assert edge in table.edges and below + (edge - below) / 2 == edge
        assert not lemma(table, 0, relus, 1.0, 1e-6)


CURVES = {"tanh": mpmath.tanh, "sin": mpmath.sin}


@pytest.mark.parametrize(("name", "order"), [("tanh", 0), ("sin", 1)])
def test_floats_settle_what_is_true_and_nothing_else(name, order):
    """A fit is settled at a hair more than its true error; at less, no piece is whose error is larger."""
    r = Problem.parse({"activation": name}).activation.r
    fitted = fit(r.derivative if order else r, -2.0, 2.0, 1e-3)
    relus = {key: getattr(fitted.relus, key).tolist() for key in "abc"}
    relus["constant"] = fitted.relus.constant
    with ctx.workprec(PRECISION), mpmath.workdps(40):
        table = Table(formula(name), 2.0)
        found = pieces(relus, 2.0, table.edges[1:-1])
        curve = (lambda t: mpmath.diff(CURVES[name], t)) if order else CURVES[name]
        tops = []
        for i, (start, end) in enumerate(zip(found.points, found.points[1:], strict=False)):
            _, _, rise, lift = (mpmath.mpf(int(x.p)) / int(x.q) for x in found.exactly(i))
            at = [mpmath.mpf(float(t)) for t in np.linspace(start, end, 9)]
            tops.append(max(float(abs(curve(t) - rise * t - lift)) for t in at))
        assert unsettled(table, order, found, fitted.error * (1 + 2.0**-19)) == []
        for share in (1 - 1e-9, 0.9, 0.3):
            over = {i for i, top in enumerate(tops) if top > share * max(tops)}
            assert over and over <= {*unsettled(table, order, found, share * max(tops))}


def test_a_piece_that_bends_both_ways_is_not_settled_by_one_tangent():
    """t^3 - (3t + 1)/4 is 0 where the tangent at -1/2 touches, small at the ends, and -1/2 at 1/2."""
    line = {"a": [1.0], "b": [1.0], "c": [0.75], "constant": -0.5}
    with ctx.workprec(PRECISION):
        table = Table(formula("t**3"), 0.7)
        found = pieces(line, 0.7, np.array([0.65]))
        assert found.points.tolist() == [-0.7, 0.65, 0.7] and len(table.middles) == 1
        assert [unsettled(table, 0, found, error) for error in (0.48, 0.5 - 1e-9, 0.51)] == [[0], [0], []]
