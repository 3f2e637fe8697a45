"""Polygons and triples on an interval that ends right after a knot: the short rest is still a piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.polygon import Graph
from icgd.bounds.functions.relu_sum import Vector

BASE = {name: ACTIVATIONS[name].r for name in ("tanh", "sigmoid", "softplus", "gelu", "sin")}
CURVES = BASE | {f"{name}'": g.derivative for name, g in BASE.items()}


def in_tube(curve: Graph, x: Vector, v: Vector, tolerance: float) -> bool:
    """Whether a polygon is one, ends where the curve does, and stays in the tube at samples."""
    t = np.linspace(x[0], curve.hi, 5001)
    off = np.abs(np.interp(t, x, v) - curve.g(t)).max()
    return bool(
        np.isfinite(v).all()
        and (np.diff(x) > 0).all()
        and x[-1] == curve.hi
        # Lines of sight are off by a millionth of the tolerance; values round here, and where they were made.
        and off <= tolerance * (1 + 1e-6) + 2 * curve.rounding
    )


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_last_side_shorter_than_a_sample_has_a_value() -> None:
    end, tolerance = 1.1266351072727219, 0.00045549
    curve = Graph(ACTIVATIONS["tanh"].r, -end, end)
    within = tolerance * (1 - 1e-6) - curve.rounding
    x, v = curve.polygon(within)
    assert 0 < x[-1] - x[-2] < 1e-5
    assert in_tube(curve, x, v, within)
    found = fit(curve.g, -end, end, tolerance)
    assert (1 - 2e-6) * tolerance < found.error <= tolerance  # by the first polygon, not a later one


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(CURVES)),
    st.floats(0.4, 5.0),
    st.floats(-5, -1).map(lambda power: 10**power),
    st.integers(1, 60),
    st.sampled_from([2.0**-52, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5]),
)
def test_an_end_right_after_a_knot(name: str, radius: float, tolerance: float, k: int, beyond: float) -> None:
    x, _ = Graph(CURVES[name], -radius, radius).polygon(tolerance)
    assume(x.size > 2)
    knot = float(x[1 + k % (x.size - 2)])
    hi = knot + beyond * abs(knot)
    assume(hi > knot)
    curve = Graph(CURVES[name], -radius, hi)
    assert in_tube(curve, *curve.polygon(tolerance), tolerance)


@pytest.mark.parametrize("name", sorted(CURVES))
def test_triples_end_where_the_last_one_reaches_the_end(name: str) -> None:
    """Cut right after a triple, the curve has that triple and none beyond it."""
    whole = Graph(CURVES[name], -1.5, 1.5)
    triples = whole.triples(1e-2)
    assert triples
    for number, triple in enumerate(triples, start=1):
        part = Graph(CURVES[name], -1.5, triple[2] + 1e-9)
        assert len(part.triples(1e-2)) in (number, number - 1)


def test_triples_do_not_start_at_the_end() -> None:
    curve = Graph(ACTIVATIONS["sin"].r, -0.5, 2.0)
    seen = curve.deviation(-0.5, 2.0)[0]
    object.__setattr__(curve, "chord", lambda p, drop: None)
    found = curve.triples(seen * (1 - 1e-9))
    assert len(found) == 1 and found[0][2] == 2.0
