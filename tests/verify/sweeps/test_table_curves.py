"""Curves from a table: grouped, ordered, and refused where a point would have two values."""

import pytest

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps.table_curves import table_plot

ROWS = [
    {
        "N": N,
        "K": K,
        "eps": eps,
        "heads": None if (N, eps) == (2, 1.0) else N * K / eps,
        "flat": N,
        "why": "x",
    }
    for N in (1, 2)
    for K in (4, 8)
    for eps in (1.0, 0.1, 0.01)
]


def test_a_curve_for_each_value_in_order_of_x():
    plot, left = table_plot(ROWS, "eps", ["heads"], ["N"], {"K": "4"})
    assert [curve.label for curve in plot.curves] == ["N = 1", "N = 2"] and left == 1
    assert plot.curves[0].x == (0.01, 0.1, 1.0) and plot.curves[0].y == (400.0, 40.0, 4.0)
    assert len(plot.curves[1].x) == 2 and plot.logarithmic == "xy"
    both, _ = table_plot(ROWS, "eps", ["heads", "flat"], ["N", "K"])
    assert "flat, N = 1 K = 4" in [curve.label for curve in both.curves] and len(both.curves) == 8
    flat, _ = table_plot(ROWS, "eps", ["flat"], ["N"])  # K does not matter here
    assert flat.logarithmic == "x" and [curve.y for curve in flat.curves] == [(1.0,) * 3, (2.0,) * 3]


def test_what_cannot_be_drawn_is_said():
    for asked, said in (
        (("eps", ["heads"], ["N"]), "several rows have eps = 1.0, N = 1; they differ in K: add it to --by"),
        (("eps", ["tails"]), "y = tails: the table has no such column; it has N, K"),
        (("why", ["heads"]), "column = why: numbers are needed"),
        (("eps", ["heads"], [], {"K": "5"}), "where = K=5: no row has this"),
        (("eps", ["heads"], [], {"N": "2", "K": "4", "eps": "1"}), "no row has a number there"),
    ):
        with pytest.raises(ProblemError, match=said):
            table_plot(ROWS, *asked)
