"""Tables of functions: against mpmath and exact rationals, within bounds that are near what they bound."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import ctx

from icgd.verify.checker.power_series import formula
from icgd.verify.checker.relu import PRECISION
from icgd.verify.checker.tables import Table, Tables

FUNCTIONS = {"tanh": mpmath.tanh, "t/(1+exp(-t))": lambda t: t / (1 + mpmath.exp(-t))}
ENOUGH = 1e-15, 4e-15, 1e-12, 1e-10, 1e-8, 1e-6
"""What errors of a function and its derivatives stay below."""


def table(name, reach):
    with ctx.workprec(PRECISION):
        return Table(formula(name), reach)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_derivative_is_as_near_as_is_said(name):
    found, rng = table(name, 2.0), np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-2, 2, 20), found.edges * (1 - 2.0**-50)])  # at ends most is left
    place = found.place(x)
    assert np.all((found.edges[place] <= x) & (x <= found.edges[place + 1]))
    with mpmath.workdps(60):
        series = np.array([mpmath.taylor(FUNCTIONS[name], mpmath.mpf(t), len(ENOUGH)) for t in x.tolist()])
        for k, enough in enumerate(ENOUGH):
            values, true = found.at(x, k, place).tolist(), series[:, k] * mpmath.factorial(k)
            apart = np.array([abs(mpmath.mpf(v) - t) for v, t in zip(values, true, strict=True)])
            assert np.all(apart <= found.errors[k][place]) and np.all(found.errors[k] < enough), k
            assert np.all(np.abs(true) <= found.most[k][place])


def test_bounds_cover_rounding_and_what_polynomials_leave():
    """On one interval each: a function that is its polynomial, and one of which much is left."""
    cubic, x = table("t**3/3", 1.5), np.random.default_rng(0).uniform(-1.5, 1.5, 2000)
    values = cubic.at(x, 0, cubic.place(x)).tolist()
    apart = [abs(Fraction(v) - Fraction(t) ** 3 / 3) for v, t in zip(values, x.tolist(), strict=True)]
    assert len(cubic.middles) == 1 and 2.0**-54 < max(apart) <= Fraction(float(cubic.errors[0][0]))
    growth, end = table("exp(t)", 0.5), np.array([0.5])
    left = float(np.exp(0.5) - growth.at(end, 5, growth.place(end))[0])
    assert len(growth.middles) == 1 and 1e-13 < left <= growth.errors[5][0] < 10 * left


def test_a_kink_spoils_its_own_interval_only_and_a_short_series_is_none():
    found = table("Abs(t)", 1.0)
    bounds = found.errors[0][found.place(np.array([-0.5, 0.0, 0.5]))]
    assert bounds[0] < 1e-14 and bounds[2] < 1e-14 and np.isnan(bounds[1])
    assert np.isnan(table("sin(t)/t", 1.0).errors).any()


def test_a_table_is_shared_by_ranges_of_its_size_only():
    """What a table leaves is small beside values on its own range, not on one 1e-12 times as wide."""
    tables, f = Tables(), formula("tanh(t)")
    with ctx.workprec(PRECISION):
        wide, same, further, tiny = (tables.reaching(f, reach) for reach in (2.0, 1.5, 2.5, 1e-12))
    assert same is wide and (wide.reach, further.reach) == (2.0, 4.0)
    assert 1e-12 <= tiny.reach < 2e-12 and tiny.errors[0].max() < 1e-26


def test_a_table_does_not_go_on_to_where_there_is_no_function():
    tables, f = Tables(), formula("sqrt(t + 7/10)")
    with ctx.workprec(PRECISION):
        found = tables.reaching(f, 0.55)
        assert found.reach == 0.55 and np.all(np.isfinite(found.errors))
        assert found is tables.reaching(f, 0.55) and tables.reaching(f, 0.45).reach == 0.5


def test_where_intervals_run_out_the_tail_is_coarse_and_nothing_else():
    """exp(-t^4) at 4 is exp(-256), whose digits nobody needs."""
    found = table("exp(-t**4)", 4.0)
    assert len(found.middles) >= 256 and found.errors[0].max() < 1e-15 and found.errors[2].max() < 1e-11
