"""Envelopes of the checker: no form exceeds its supremum on a box, by Taylor's theorem."""

from itertools import product

import numpy as np
from flint import ctx

from icgd.verify.checker.envelopes import Boxes, Form
from icgd.verify.checker.power_series import formula
from icgd.verify.checker.relu import PRECISION
from icgd.verify.checker.tables import Table

CURVES = {
    "tanh": lambda z: (np.tanh(z), 1 - np.tanh(z) ** 2, -2 * np.tanh(z) * (1 - np.tanh(z) ** 2)),
    "sin": lambda z: (np.sin(z), np.cos(z), -np.sin(z)),
}
"""r, r' and r'' in float64."""


def table(name, reach):
    with ctx.workprec(PRECISION):
        return Table(formula(name), reach)


def test_every_form_is_below_its_supremum_on_narrow_and_wide_boxes():
    phis = (*(f"{kind}{k}" for kind in "rs" for k in range(3)), (1, 1.2), (1, 1.5), (2, 1.1))
    forms = [Form(phi, sign, lam) for phi, sign, lam in product(phis, (1, -1), (0.0, 0.7, -0.7))]
    middles, halves = np.array([0.0, 0.31, 0.9, -1.6]), np.array([[2.0**-9], [2.0**-4]])
    for name, curve in CURVES.items():
        found = table(name, 2.0)
        low, high = (middles - halves).ravel(), (middles + halves).ravel()
        one = np.searchsorted(found.edges, low, "right") == np.searchsorted(found.edges, high, "left")
        low, high = low[one], high[one]
        assert len(low) > 2 and high[0] - low[0] < 0.01 and high[-1] - low[-1] > 0.1
        r0, r1, r2 = curve(np.linspace(low, high, 33))
        turn = r1 * r1 + r0 * r2
        values = {f"r{k}": r for k, r in enumerate((r0, r1, r2))}
        values |= {f"s{k}": r * r for k, r in enumerate((r0, r1, r2))}
        values |= {(1, mu): (r0 * r1) ** 2 * mu / (mu - r1 * r1) for mu in (1.2, 1.5)}
        values |= {(2, 1.1): turn * turn * 1.1 / (1.1 - r2 * r2)}
        boxes = Boxes(found, low, high)
        for r, whole in zip((r0, r1, r2), boxes.whole[:3], strict=True):
            assert np.all((whole.low < r + 1e-15) & (r - 1e-15 < whole.high))
        bounds, reached, _ = boxes.suprema(forms)
        for form, bound, value in zip(forms, bounds, reached, strict=True):
            most = (form.sign * values[form.phi] - form.lam * r0 * r0).max(axis=0)
            room = 1e-14 * (1 + np.abs(most))
            assert np.all(bound > most - room) and np.all(value < bound), (name, form)
            assert np.all(bound - most < 20 * (high - low) ** 2 + room), (name, form)


def test_no_quotient_is_bounded_where_mu_may_not_be_above_what_it_divides():
    boxes = Boxes(table("sin", 1.0), np.array([-0.1]), np.array([0.1]))
    bounds = boxes.suprema([Form((1, mu)) for mu in (1.0, 0.995, -1.0, 1.02)])[0]
    assert np.isfinite(bounds).ravel().tolist() == [False, False, False, True]


def test_what_a_table_leaves_is_in_every_bound():
    found, ends = table("tanh", 1.0), (np.array([0.25]), np.array([0.26]))
    forms = [Form("r0"), Form("s1"), Form("s1", -1, 0.5), Form((1, 1.2))]
    before = Boxes(found, *ends).suprema(forms)[0]
    found.errors += 1e-4
    assert np.all(
        Boxes(found, *ends).suprema(forms)[0] - before > 0.9e-4 * np.array([[1], [1.8], [1.8], [0.3]])
    )
