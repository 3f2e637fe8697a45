"""Envelopes of the checker: no form exceeds its supremum on a box, by Taylor's theorem or by its range."""

from itertools import product

import numpy as np
from flint import arb, ctx

from icgd.verify.checker.envelopes import Box, Form
from icgd.verify.checker.power_series import formula
from icgd.verify.checker.relu import PRECISION

CURVES = {
    "tanh": lambda z: (np.tanh(z), 1 - np.tanh(z) ** 2, -2 * np.tanh(z) * (1 - np.tanh(z) ** 2)),
    "sin": lambda z: (np.sin(z), np.cos(z), -np.sin(z)),
}
"""r, r' and r'' in float64."""


def test_every_form_is_below_its_supremum_on_narrow_and_wide_boxes():
    signs, lams = (1, -1), (0.0, 0.7, -0.7)
    for (name, curve), middle, half in product(CURVES.items(), (0.0, 0.31, 0.9, -1.6), (2.0**-9, 2.0**-4)):
        r0, r1, r2 = curve(np.linspace(middle - half, middle + half, 9))
        turn = r1 * r1 + r0 * r2
        values = {f"r{k}": r for k, r in enumerate((r0, r1, r2))}
        values |= {f"s{k}": r * r for k, r in enumerate((r0, r1, r2))}
        values |= {(1, 1.2): (r0 * r1) ** 2 * 1.2 / (1.2 - r1 * r1)}
        values |= {(2, 1.1): turn * turn * 1.1 / (1.1 - r2 * r2)}
        with ctx.workprec(PRECISION):
            box = Box(formula(name), arb(middle - half), arb(middle + half))
            for (phi, value), sign, lam in product(values.items(), signs, lams):
                form, most = Form(phi, sign, lam), float((sign * value - lam * r0 * r0).max())
                for bound in (box.supremum(form)[0], box.ceiling(form).upper()):
                    assert float(bound) > most - 1e-14 * (1 + abs(most)), (name, middle, half, form)


def test_no_quotient_is_bounded_where_mu_may_not_be_above_what_it_divides():
    with ctx.workprec(PRECISION):
        box = Box(formula("sin"), arb(-0.1), arb(0.1))
        assert all(not box.supremum(Form((1, mu)))[0].is_finite() for mu in (1.0, 0.995, -1.0))
        assert box.supremum(Form((1, 1.0001)))[0].is_finite()
