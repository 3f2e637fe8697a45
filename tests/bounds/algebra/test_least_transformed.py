"""The least loss of two transformed layers: by sympy, by a grid, and with points that prove the contrary."""

from fractions import Fraction

import numpy as np
import pytest
import sympy

from icgd.bounds.algebra.best_steps import spectrum
from icgd.bounds.algebra.least_transformed import lower_point

LEAST = {(20, 2): 0.006072482963667, (10, 2): 0.033618628892398, (4, 1): 0.0679291703}


def exact_loss(n, d, a0, a1, b0):
    """E tr ((1 - a0 C)(1 - a1 C (1 - a0 b0 C)^2))^2, expanded here from its definition."""
    t = sympy.Symbol("t")
    a0, a1, b0 = (sympy.Rational(v.numerator, v.denominator) for v in (a0, a1, b0))
    q = sympy.Poly(((1 - a0 * t) * (1 - a1 * t * (1 - a0 * b0 * t) ** 2)) ** 2, t)
    m = spectrum(n, d, 8)
    return sum(Fraction(int(c.p), int(c.q)) * m[k] for (k,), c in q.terms())


def least_over_second(n, d):
    """The loss as a numpy function of a0 and c = a0 b0, at the best a1."""
    m = [float(value) for value in spectrum(n, d, 8)]
    a, c, t = sympy.symbols("a c t")

    def mean(power):
        expanded = sympy.Poly(sympy.expand((1 - a * t) ** 2 * (t * (1 - c * t) ** 2) ** power), t)
        return sympy.lambdify((a, c), sum(f * m[k] for (k,), f in expanded.terms()), "numpy")

    M, N, D = (mean(power) for power in range(3))
    return lambda a0, c0: M(a0, c0) - N(a0, c0) ** 2 / D(a0, c0)


@pytest.mark.parametrize(("n", "d"), LEAST)
def test_below_the_least_there_is_nothing_and_above_it_a_point(n, d):
    least = Fraction(LEAST[n, d])
    assert lower_point(n, d, least * (1 - Fraction(1, 10**6))) is None
    for above in (Fraction(1, 10**6), Fraction(1, 100), Fraction(1)):
        value = least * (1 + above)
        found = lower_point(n, d, value)
        assert found is not None and least * (1 - Fraction(1, 10**6)) <= exact_loss(n, d, *found) < value


def test_a_grid_over_the_whole_plane_finds_nothing_lower():
    wide = np.tan(np.linspace(-1.5, 1.5, 901))
    values = least_over_second(20, 2)(wide[:, None], wide[None, :])
    least = LEAST[20, 2]
    assert least <= values.min() < 1.2 * least


def test_the_real_roots_that_decide_are_those_of_sturm():
    """At a rational a0 the number of real roots c of H, counted by sympy; 0 everywhere below the least."""
    a, c, t = sympy.symbols("a c t")
    n, d = 10, 2
    m = [sympy.Rational(v.numerator, v.denominator) for v in spectrum(n, d, 8)]

    def mean(power):
        expanded = sympy.Poly(sympy.expand((1 - a * t) ** 2 * (t * (1 - c * t) ** 2) ** power), t)
        return sum(f * m[k] for (k,), f in expanded.terms())

    M, N, D = (mean(power) for power in range(3))
    for part, real in ((Fraction(999, 1000), False), (Fraction(11, 10), True)):
        value = Fraction(LEAST[n, d]) * part
        H = sympy.expand((M - sympy.Rational(value.numerator, value.denominator)) * D - N**2)
        counts = [
            sympy.Poly(H.subs(a, sympy.Rational(k, 40)), c).count_roots()
            for k in (-40, 0, 10, 18, 19, 40, 120)
        ]
        assert any(counts) == real
