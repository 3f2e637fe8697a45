"""The independent checker: parts against other arithmetic, bounds against networks, refused forgeries."""

import ast
import copy
import json
import math
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from flint import arb, ctx, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions import envelope as prover_envelope
from icgd.bounds.functions.envelope import envelope, joint_envelope
from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.bounds.step_error.worst_case import Cells
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import Prompt
from icgd.verify.certificate.issue import certificate, posed_letters
from icgd.verify.checker import (
    cells,
    directed,
    envelopes,
    lemmas,
    linear_pieces,
    loss_slopes,
    power_series,
    tables,
)
from icgd.verify.checker import relu as checker
from icgd.verify.checker.directed import Upper
from icgd.verify.checker.envelopes import BINS, Envelope
from icgd.verify.checker.lemmas import Refused, lines, within
from icgd.verify.checker.power_series import NAMED, formula, jet, slope
from icgd.verify.checker.relu import PRECISION, Check, check
from icgd.verify.checker.tables import Table
from icgd.verify.search.prompts import random_prompts
from icgd.verify.search.sweep import one_step_errors
from tests.rounding import exactly

TRUSTED = checker, cells, directed, envelopes, lemmas, linear_pieces, loss_slopes, power_series, tables
SMALL = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.2}


@cache
def _made(construction, given):
    made = plan(Problem.parse(SMALL | dict(given)), construction)
    return made, json.dumps(certificate(made))


def exact(x):
    """The rational that a float is, as the checker computes with."""
    return fmpq(*Fraction(x).as_integer_ratio())


def plain_rational(x):
    return Fraction(int(x.p), int(x.q))


def pieces(relus, lo, hi):
    return [tuple(map(plain_rational, line)) for line in lines(relus, exact(lo), exact(hi))]


def made(construction="lean", **given):
    """A plan, its certificate as read from a file, and the letters posed."""
    found, text = _made(construction, tuple(sorted(given.items())))
    return found, json.loads(text), posed_letters(found.problem)


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(PRECISION):
        yield


# The file itself.


def test_it_shares_no_code_with_the_prover():
    allowed = {
        "__future__",
        "collections",
        "fractions",
        "functools",
        "heapq",
        "itertools",
        "math",
        "operator",
        "ast",
        "typing",
        "flint",
        "numpy",
    }
    own = {module.__name__ for module in TRUSTED}
    seen = set()
    for module in TRUSTED:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Import):
                seen |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module not in own:
                assert node.level == 0
                seen.add(node.module.split(".")[0])
    assert seen <= allowed and "flint" in seen


@pytest.mark.parametrize(
    ("module", "most"),
    [
        *((checker, 330), (cells, 30), (directed, 65), (envelopes, 165), (lemmas, 80), (linear_pieces, 110)),
        *((loss_slopes, 100), (power_series, 230), (tables, 90)),
    ],
)
def test_it_is_short_enough_to_be_read(module, most):
    """Lines of code; docstrings, comments and blank lines are free."""
    text = Path(module.__file__).read_text()
    prose = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    code = [
        line
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.strip().startswith("#") and number not in prose
    ]
    assert len(code) <= most


# Power series.

MPMATH = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda t: 1 / (1 + mpmath.exp(-t)),
    "softplus": lambda t: mpmath.log(1 + mpmath.exp(t)),
    "gelu": lambda t: t * (1 + mpmath.erf(t / mpmath.sqrt(2))) / 2,
    "sin": mpmath.sin,
    "identity": lambda t: t,
    "t/(1+exp(-t))": lambda t: t / (1 + mpmath.exp(-t)),
    "sin(t)/2+t/4": lambda t: mpmath.sin(t) / 2 + t / 4,
    ".5*t + 1e-3*t**3 - 2.E-1": lambda t: t / 2 + t**3 / 1000 - mpmath.mpf(1) / 5,
    "-t**2*exp(-t)": lambda t: -(t**2) * mpmath.exp(-t),
    "atan(t) + sqrt(4+t)/pi": lambda t: mpmath.atan(t) + mpmath.sqrt(4 + t) / mpmath.pi,
    "log(3+t)*cos(t) - tan(t/4)": lambda t: mpmath.log(3 + t) * mpmath.cos(t) - mpmath.tan(t / 4),
    "3": lambda t: mpmath.mpf(3),
    "1/(1+t**2)": lambda t: 1 / (1 + t**2),
    "t/sqrt(1+t*t)": lambda t: t / mpmath.sqrt(1 + t * t),
    "1/cosh(t) + sinh(t/2)": lambda t: 1 / mpmath.cosh(t) + mpmath.sinh(t / 2),
    "log(cosh(t))": lambda t: mpmath.log(mpmath.cosh(t)),
    "(t**2+1)**0.3 + (4+t)**-2": lambda t: (t**2 + 1) ** (mpmath.mpf(3) / 10) + (4 + t) ** -2,
    "log(1+exp(2*t)) + log(exp(t)+1)": lambda t: (
        mpmath.log(1 + mpmath.exp(2 * t)) + mpmath.log(1 + mpmath.exp(t))
    ),
    "t/(exp(-t)+1) - 2/(1+exp(t/2))": lambda t: t / (1 + mpmath.exp(-t)) - 2 / (1 + mpmath.exp(t / 2)),
    "sin(t)/cosh(t/3) + log(2+exp(t))": lambda t: (
        mpmath.sin(t) / mpmath.cosh(t / 3) + mpmath.log(2 + mpmath.exp(t))
    ),
    "sqrt(sqrt(1+t**2))": lambda t: mpmath.sqrt(mpmath.sqrt(1 + t**2)),
    "exp(-t**4)": lambda t: mpmath.exp(-(t**4)),
    "(3+t)**pi + (3+t)**(5/2)": lambda t: (3 + t) ** mpmath.pi + (3 + t) ** mpmath.mpf(2.5),
    "Abs(-1)*tanh(t)*Max(2, t) + relu(t+2) - Min(t, 5)": lambda t: 2 * mpmath.tanh(t) + 2,
}


def test_every_function_with_a_name_is_here():
    assert set(NAMED) <= set(MPMATH)


def held(ball, value):
    """Whether a ball meets what mpmath gives to 40 digits."""
    near = mpmath.nstr(mpmath.mpf(value), 40, min_fixed=0, max_fixed=0)
    with ctx.workprec(200):
        return ball.overlaps(arb(near) + arb(0, 1e-28))


@pytest.mark.parametrize("name", MPMATH)
def test_jets_are_the_derivatives(name):
    f, exact = formula(name), MPMATH[name]
    with mpmath.workdps(50):
        for x in (-1.75, -0.5, 0.0, 0.3, 1.0, 1.9):
            derivatives = [exact(mpmath.mpf(x)), *(mpmath.diff(exact, mpmath.mpf(x), k) for k in range(1, 5))]
            found = jet(f, arb(x), 4)
            steep = jet(lambda t: slope(f, t), arb(x), 3)
            assert all(
                held(ball, value) and ball.rad() < 1e-20
                for ball, value in zip(found, derivatives, strict=True)
            )
            assert all(held(ball, value) for ball, value in zip(steep, derivatives[1:], strict=True))
            wide = jet(f, arb(x - 0.0625).union(arb(x + 0.125)), 4)
            assert all(held(ball, value) for ball, value in zip(wide, derivatives, strict=True))


def test_numbers_in_formulas_are_exact():
    tenth = jet(formula("t/10 + 0.1 + 1e-1 + .1E0"), arb(0), 1)
    assert all(x.overlaps(arb(y) / 10) and x.rad() < 1e-27 for x, y in zip(tenth, (3, 1), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "sinh(t)/2",
        "cosh(t)-1",
        "1_0*t/20",
        " t/2",
        "0x1*t",
        "t+",
        "nothing(t)",
        "t.x",
        "[t]",
        "t and t",
        "log(t, 2)",
        "sin()",
    ],
)
def test_a_formula_of_another_function_or_of_none_is_refused_in_words(text):
    _, found, posed = made()
    found["problem"]["activation"] = text
    with pytest.raises(Refused):
        check(found, posed | {"activation": text}, "lean")


def test_numbers_that_round_to_the_same_float_are_told_apart():
    tiny = formula("(1e330*1e-330*t)*(1e330*1e-340*t)")  # 1e-10 t^2, not t^2
    assert not within(tiny, 2, 1.0, 2.0, 2.0) and within(tiny, 2, 1.0, 1.9e-10, 2.1e-10)
    assert jet(formula("1.0*1.00000000000000005*t"), arb(1), 1)[1] > 1


@pytest.mark.parametrize("text", ["sin(t)/t", "(sin(t)-t)/t**3"])
def test_a_series_that_came_out_short_is_no_series(text):
    assert not any(y.is_finite() for y in jet(formula(text), arb(0), 4))


def test_a_lowered_cap_of_series_refuses_and_does_not_read_zeros():
    before, ctx.cap = ctx.cap, 3
    try:
        assert not within(formula("tanh"), 3, 1.0, 0.0, 0.0)
    finally:
        ctx.cap = before


@pytest.mark.parametrize("text", ["Abs(t)", "Max(t, 0)", "Max(0, t - t*t/4)", "relu(t)", "-Min(-t, 0)"])
def test_kinks_have_no_derivatives_even_where_a_ball_touches_them(text):
    f = formula(text)
    assert not any(within(f, k, 1.0, -1e9, 1e9) for k in (1, 2))
    assert not any(y.is_finite() for y in jet(f, arb(0), 2))


# Ranges.


@pytest.mark.parametrize(
    ("name", "k", "z", "low", "high"),
    [
        ("tanh", 0, 1.5, math.tanh(-1.5), math.tanh(1.5)),
        ("tanh", 1, 1.5, 1 / math.cosh(1.5) ** 2, 1.0),
        ("tanh", 2, 2.0, -4 / (3 * math.sqrt(3)), 4 / (3 * math.sqrt(3))),
        ("sin", 0, 4.0, -1.0, 1.0),
        ("sin", 3, 4.0, -1.0, 1.0),
        ("sigmoid", 1, 3.0, 0.045176659730912, 0.25),
        ("softplus", 0, 2.0, 0.126928011042972, 2.126928011042972),
        ("identity", 1, 5.0, 1.0, 1.0),
        ("identity", 3, 5.0, 0.0, 0.0),
    ],
)
def test_ranges_hold_to_a_hair_and_no_more(name, k, z, low, high):
    f, hair = formula(name), 1e-9
    spare = hair if name != "identity" else 0.0
    assert within(f, k, z, low - spare, high + spare)
    assert not within(f, k, z, low + hair, high + hair)
    assert not within(f, k, z, low - hair, high - hair)
    assert not within(f, k, z, math.nan, high + hair) and not within(f, k, z, low - hair, math.nan)


def test_ranges_that_no_ball_can_show_are_not_shown():
    assert not within(formula("log(t)"), 0, 1.0, -1e300, 1e300)
    assert not within(formula("tanh"), 0, math.nan, -2.0, 2.0)


# Sums of ReLUs.

numbers = st.floats(-3, 3, allow_subnormal=False).map(lambda x: round(x * 8) / 8)
slopes_of_units = numbers.filter(bool)
units = st.lists(st.tuples(slopes_of_units, numbers, numbers), max_size=6)


def plain(relus):
    return {"a": relus.a.tolist(), "b": relus.b.tolist(), "c": relus.c.tolist(), "constant": relus.constant}


@given(units, numbers, numbers, st.sampled_from([0.125, 1.0, 2.5]))
@settings(deadline=None)
def test_lines_are_the_sum(parts, constant, lo, length):
    a, b, c = zip(*parts, strict=True) if parts else ((), (), ())
    relus, hi = ReluSum(a, b, c, constant), lo + length
    found = pieces(plain(relus), lo, hi)
    assert found[0][0] == lo and found[-1][1] == hi
    assert all(one[1] == two[0] for one, two in pairwise(found))
    kinks, slopes, intercepts = relus.segments()
    for start, end, rise, lift in found:
        assert start < end
        index = sum(kink <= start for kink in kinks)
        assert (rise, lift) == (slopes[index], intercepts[index])
        for t in (start, (start + end) / 2, end):
            assert rise * t + lift == exactly(relus, t)


def test_kinks_at_the_ends_and_on_top_of_each_other():
    relus = {
        "a": [1.0, -1.0, 2.0, -2.0],
        "b": [1.0, 1.0, 2.0, 2.0],
        "c": [1.0, 2.0, 3.0, 5.0],
        "constant": -1.0,
    }
    assert pieces(relus, -1, 1) == [(-1, 1, 7 - 12, 19 - 1)] == [(-1, 1, -5, 18)]
    three = {"a": [1.0, -1.0, 2.0], "b": [0.0, 0.0, 0.0], "c": [1.0, 1.0, -1.0], "constant": 0.0}
    assert pieces(three, -1, 1) == [(-1, 0, -1, 0), (0, 1, -1, 0)]


@pytest.mark.parametrize("harm", [{"a": [0.0]}, {"a": [1.0, 1.0]}, {"b": [math.nan]}, {"c": [math.inf]}])
def test_sums_that_are_none(harm):
    with pytest.raises((Refused, ValueError, OverflowError)):
        pieces({"a": [1.0], "b": [0.0], "c": [1.0], "constant": 0.0} | harm, -1, 1)


def lemma(f, relus, reach, error, k=0):
    return lemmas.lemma(Table(f, reach), k, relus, reach, error)


CURVES = {"tanh": 2.0, "sigmoid": 3.0, "softplus": 2.0, "gelu": 2.5, "sin": 4.0, "t/(1+exp(-t))": 2.0}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("order", [0, 1])
def test_lemmas_hold_where_they_are_true_only(name, order):
    reach, f = CURVES[name], formula(name)
    r = Problem.parse({"activation": name}).activation.r
    exact = r.derivative if order else r
    fitted = fit(exact, -reach, reach, 3e-3)
    relus = plain(fitted.relus)
    assert lemma(f, relus, reach, fitted.error * (1 + 2.0**-18), order)
    t = np.linspace(-reach, reach, 100_001)
    seen = float(np.abs(fitted.relus(t) - exact(t)).max())
    assert 0.99 * fitted.error <= seen <= fitted.error
    assert not lemma(f, relus, reach, 0.999 * seen, order)
    assert not lemma(f, relus, 3 * reach, fitted.error, order) or name == "softplus"
    for index in (0, fitted.relus.units // 2):
        moved = copy.deepcopy(relus)
        moved["c"][index] *= 1.5
        assert not lemma(f, moved, reach, fitted.error * (1 + 2.0**-18), order)


def test_lemmas_see_spikes_and_exact_functions():
    line = {"a": [1.0], "b": [2.0], "c": [1.0], "constant": -2.0}
    assert lemma(formula("identity"), line, 2.0, 0.0)
    assert not lemma(formula("identity"), line, 2.5, 0.0)  # the ReLU bends at -2
    w, at = 2.0**-30, 0.3
    spike = {
        key: [*line[key], *extra]
        for key, extra in zip("abc", ([1.0] * 3, [w - at, -at, -at - w], [1e8, -2e8, 1e8]), strict=True)
    }
    height = 1e8 * w
    assert not lemma(formula("identity"), spike | {"constant": -2.0}, 2.0, 0.9 * height)
    assert lemma(formula("identity"), spike | {"constant": -2.0}, 2.0, 1.1 * height)
    square = {"a": [1.0, -1.0], "b": [0.0, 0.0], "c": [1.0, 1.0], "constant": 0.0}
    assert lemma(lambda x: x * x, square, 1.0, 0.25 + 1e-12) and not lemma(
        lambda x: x * x, square, 1.0, 0.2499
    )
    for error in (math.nan, -1.0):
        assert not lemma(formula("identity"), line, 2.0, error)


# How active layers can be.

CURVE = {
    "tanh": lambda z: (z.tanh(), 1 - z.tanh() ** 2, -2 * z.tanh() * (1 - z.tanh() ** 2)),
    "sin": lambda z: (z.sin(), z.cos(), -z.sin()),
    "exp(t)/2": lambda z: (z.exp() / 2,) * 3,
}
"""r, r' and r'' of a ball."""


@cache
def table(name, reach):
    r = Problem.parse({"activation": name}).activation.r
    multipliers = {quantity: lam.tolist() for quantity, lam in envelope(r, reach).multipliers.items()}
    multipliers |= {name: pairs.tolist() for name, pairs in joint_envelope(r, reach, 3, 1.0).pairs.items()}
    with ctx.workprec(PRECISION):
        return Envelope(Table(formula(name), reach * (1 + 2.0**-40)), reach, multipliers)


@given(st.sampled_from(list(CURVE)), st.sampled_from([0.7, 3.5]), st.integers(0, 2**20))
@settings(deadline=None, max_examples=60)
def test_no_choice_of_units_is_steeper_on_average(name, reach, seed):
    rng = np.random.default_rng(seed)
    found, K = table(name, reach), int(rng.integers(1, 6))
    cap = reach * rng.uniform(0.01, 1)
    z = np.clip(rng.uniform(-1, 1, K) * rng.choice([0.1, 1, 5]), -1, 1) * cap
    with ctx.workprec(PRECISION):
        m, values = found.bins(Upper([cap])), [CURVE[name](arb(x)) for x in z.tolist()]
        averages = {
            "slope": sum(abs(r1) for _, r1, _ in values) / K,
            "slope2": sum(r1 * r1 for _, r1, _ in values) / K,
            "bend2": sum(r2 * r2 for _, _, r2 in values) / K,
        }
        mean = sum(r * r for r, _, _ in values) / K
        for ends in ((mean.lower(), mean.upper()), (mean * 0.8, mean * 1.3)):
            ends = [np.array([float(one) * by]) for one, by in zip(ends, (1 - 1e-15, 1 + 1e-15), strict=True)]
            for quantity, average in averages.items():
                assert not average > arb(float(found.average(quantity, m, *ends).x[0]))
        # s = r' (r - y) and its slope, at targets of 2-norm 1 that point where units are steep, or anywhere
        steep, sign = np.array([float(abs(r1)) for _, r1, _ in values]), rng.choice([-1, 1], K)
        for targets in (steep**3 * sign + 1e-9, rng.normal(size=K)):
            y = [arb(one) for one in (targets / np.linalg.norm(targets)).tolist()]
            pairs = list(zip(values, y, strict=True))
            norms = {
                "signal": sum(((r0 - one) * r1) ** 2 for (r0, r1, _), one in pairs).sqrt(),
                "drift": sum((r1 * r1 + (r0 - one) * r2) ** 2 for (r0, r1, r2), one in pairs).sqrt(),
            }
            for quantity, norm in norms.items():
                targets = Upper([math.nextafter(float(sum(one * one for one in y)), 2)])
                assert not norm > arb(float(found.norm(quantity, m, *ends, K, targets).x[0]))
        for value in values:
            tops = (float(peak[m][0]) for peak in found.peak)
            assert not any(abs(seen) > top for seen, top in zip(value, tops, strict=True))
            assert not abs(value[0]) < float(found.least[m][0])


def test_a_joint_envelope_is_refused_where_it_does_not_hold():
    """mu must be above what it divides, and the slope of the loss must be a multiple of p - rho y."""
    _, found, posed = made()
    assert check(found, posed, "lean") == found["certified"]
    for name, pair in (("signal", [0.9, 0.0]), ("drift", [0.1, 0.0]), ("signal", [-1.0, 0.0])):
        changed = copy.deepcopy(found)
        changed["joint"][name].append(pair)
        with pytest.raises(Refused, match=f"{name} is above what it divides"):
            check(changed, posed, "lean")
    with pytest.raises(Refused, match="the bound in the cell"):
        check(found | {"joint": None}, posed, "lean")
    for loss in ("logistic", "huber"):
        _, other, posed = made(loss=loss)
        assert other["joint"] is None
        with pytest.raises(Refused, match="linear in p - rho y"):
            check(other | {"joint": found["joint"]}, posed, "lean")


def test_bins_are_rounded_up():
    found, edge = table("tanh", 3.5), 3.5 * 5 / BINS
    low, high, none, far = found.bins(Upper([edge * (1 - 2.0**-40), edge * (1 + 2.0**-52), 0.0, 99.0]))
    assert low == 5 and high == 6 and none in (0, 1) and far == BINS
    with pytest.raises(Refused):
        found.bins(Upper([math.nan]))


# The bound.


def judge(construction="lean", **given):
    plan_, found, posed = made(construction, **given)
    judged = Check(found, posed, construction)
    judged.judge()
    return plan_, judged


PASSES = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "identity": lambda z: 1.0 * z,
    "gelu": torch.nn.functional.gelu,
}


def perturbed(problem, errors, from_z, rng, aligned):
    """(error of a gradient, root mean squares of r(z)), with local errors of random sign in every unit."""

    def off(kind, j, shape):
        size = errors.get(f"{kind}[{j}]", 0.0)
        drawn = (
            np.ones(shape) if aligned else rng.choice([-1.0, 1.0], shape) * rng.uniform(0, 1, shape) ** 0.2
        )
        if kind == "update":
            drawn = drawn / np.linalg.norm(drawn)
        return torch.from_numpy(drawn * size)

    def ball(size, radius):
        v = np.ones(size) if aligned else rng.normal(size=size)
        return torch.from_numpy(v / np.linalg.norm(v) * radius)

    dims, N = problem.dims, problem.N
    weights = []
    for j in range(1, N + 1):
        unit = (
            np.ones((dims[j], dims[j - 1]))
            if aligned
            else rng.choice([-1, 1, 0.5, -0.2], (dims[j], dims[j - 1]))
        )
        weights.append(torch.from_numpy(unit * rng.uniform(0, 1) ** 0.2 * problem.half_width(j)))
    x, y = ball(dims[0], problem.B_x), -ball(dims[-1], problem.B_y)

    def gradient(off):
        p, dr, rms = [x], [], []
        for j, v in enumerate(weights, start=1):
            z = (v @ p[-1] + off("z", j, dims[j])).requires_grad_()
            exact = PASSES[problem.activation_at(j).name](z)
            (slope,) = torch.autograd.grad(exact.sum(), z)
            p.append(exact.detach() + off("r", j, dims[j]))
            dr.append(slope + off("dr", j, dims[j]))
            rms.append(float((exact.detach() ** 2).mean().sqrt()))
        out = exact.detach() if from_z else p[-1]
        match problem.loss.name:
            case "squared":
                g = 2 * (out - y)
            case "logistic":
                g = torch.sigmoid(out) - y
            case _:
                g = torch.clamp(out - y, -0.5, 0.5)
        g = g + off("u", N, dims[N])
        blocks = []
        for j in range(N, 0, -1):
            s = dr[j - 1] * (g + off("g", j, dims[j])) + off("product", j, dims[j])
            blocks.append(torch.outer(s, p[j - 1]) / 2 + off("update", j, (dims[j], dims[j - 1])))
            g = weights[j - 1].T @ s
        return torch.cat([block.flatten() for block in blocks]), rms

    exact, rms = gradient(lambda kind, j, shape: torch.zeros(shape, dtype=torch.float64))
    return float(torch.linalg.vector_norm(gradient(off)[0] - exact)), rms


SETTINGS = [
    {"activation": "tanh"},
    {"activation": "sin", "B_v": 1.25, "eps": 0.4},
    {"activation": "sigmoid", "loss": "logistic"},
    {"activation": "gelu", "loss": "huber", "d_out": 1},
    {"activation": "tanh", "loss": "logistic", "output": "linear"},
]


@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize("given", SETTINGS, ids=lambda given: " ".join(map(str, given.values())))
def test_cells_against_the_prover_and_against_networks(given, construction):
    made_, judged = judge(construction, **given)
    problem, setting, rng = made_.problem, made_.setting, np.random.default_rng(7)
    errors = {str(term): error for term, error in made_.errors.items()}
    root = setting.everything
    for _ in range(15):
        error, rms = perturbed(problem, errors, setting.from_z, rng, aligned=rng.uniform() < 0.5)
        assert error <= float(judged.bound(np.array([rms]).T, np.array([rms]).T)[0]) * (1 + 1e-12)
        low = [x * rng.uniform(0.5, 1) for x in rms]
        high = [x * rng.uniform(1, 1.3) for x in rms]
        mine = float(judged.bound(np.array([low]).T, np.array([high]).T)[0])
        theirs = float(setting.bound(Cells(np.array(low)[:, None], np.array(high)[:, None]), made_.errors)[0])
        assert error <= mine <= theirs * (1 + 1e-9) and mine == pytest.approx(theirs, rel=1e-2)
    assert float(judged.bound(root.low, root.high)[0]) == pytest.approx(
        float(setting.bound(root, made_.errors)[0]), rel=1e-3
    )


# Whole certificates.

ACTIVATIONS = ["tanh", "sigmoid", "softplus", "gelu", "sin"]
OTHERS = [
    {"loss": "huber"},
    {"loss": "logistic"},
    {"loss": "logistic", "output": "linear"},
    {"loss": "huber", "output": "linear"},
    {"output": "linear"},
    {"activation": "t/(1+exp(-t))"},
    {"activation": "sin(t)/2+t/4", "d_out": 1},
    {"activation": "identity", "eps": 1e-9},
    {"N": 1},
]


ALL = [{"activation": name} for name in ACTIVATIONS] + OTHERS
CASES = [("lean", given) for given in ALL] + [("paper", {"N": 1} | given) for given in ALL]


@pytest.mark.parametrize(("construction", "given"), [*CASES, ("paper", {})], ids=str)
def test_true_certificates_are_accepted(construction, given):
    made_, found, posed = made(construction, **given)
    assert check(found, posed, construction) == made_.bound <= made_.problem.eps
    found["certified"] *= 0.95
    with pytest.raises(Refused, match="bound in the cell"):
        check(found, posed, construction)


OTHER_LETTERS = {
    "N": 3, "K": 3, "d": 1, "d_out": 1, "n": 4, "L": 6, "eta": 0.2, "eps": 0.3, "B_x": 1.5, "B_y": 1.5,
    "B_v": 0.9, "activation": "sin", "loss": "huber", "output": "linear",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_LETTERS)
def test_a_certificate_is_for_its_own_letters(name):
    _, found, posed = made()
    other = posed | {name: OTHER_LETTERS[name]}
    assert set(OTHER_LETTERS) == set(posed) and other != posed
    with pytest.raises(Refused, match=rf"^{name} = "):
        check(found, other, "lean")
    found["problem"] = dict(other)  # relabelled: only L, which the bound does not depend on, may pass
    if name not in ("L", "eps"):
        with pytest.raises(Refused):
            check(found, other, "lean")


def test_a_certificate_is_for_its_own_construction():
    _, found, posed = made()
    for construction in ("paper", "exact", "other"):
        with pytest.raises(Refused, match=r"^construction = "):
            check(found, posed, construction)
        renamed = copy.deepcopy(found)
        renamed["construction"] = renamed["program"]["construction"] = construction
        with pytest.raises(Refused):
            check(renamed, posed, construction)


# Forgeries: each is a way to prove too much.


def layers(found):
    return found["program"]["layers"]


def loss_error_below_zero(found):
    found["errors"]["u[2]"] = -0.1
    found["certified"] *= 0.9


def steepness_of_nothing(found):
    found["steepness"] = 0.0


def steepness_below_zero(found):
    found["steepness"] = -10.0
    found["certified"] *= 0.6


def far_offsets(key):
    return lambda found: [layer.update({f"above_{key}": 1e15}) for layer in layers(found)]


def backward_product(found):
    nothing = {"a": [], "b": [], "c": [], "constant": 0.0}
    for j, layer in enumerate(layers(found), start=1):
        product = layer["product"]
        product.update(a=-product["a"], b=-product["b"], square=nothing)
        found["lemmas"][f"product[{j}]"] = {"reach": 1e-9, "error": 1e-17}


def without(*keys):
    return lambda found: [layer.update(dict.fromkeys(keys)) for layer in layers(found)]


def no_program_at_all(found):
    without("r", "dr", "product")(found)
    found["errors"] |= {f"{kind}[{j}]": 1e-12 for kind in ("r", "dr", "product") for j in (1, 2)}
    found["certified"] = 1e-9


def other_reading_of_the_loss(found):
    found["program"]["loss"]["from_z"] = not found["program"]["loss"]["from_z"]


def units_that_cancel(found):
    for layer in filter(lambda layer: layer["r"], layers(found)):
        (b,) = layer["r"]["b"]
        layer["r"] = {"a": [1.0, 1.0], "b": [b, b], "c": [2.0**53, 1 - 2.0**53], "constant": -b}


def clip_that_cancels(found):
    for key, more in zip("abc", ([1.0, 1.0], [0.5, 0.5], [1e17, -1e17]), strict=True):
        found["program"]["loss"]["relus"][key] += more


FORGED = [
    (loss_error_below_zero, {}),
    (loss_error_below_zero, {"loss": "huber"}),
    (steepness_of_nothing, {"loss": "logistic"}),
    (steepness_below_zero, {"loss": "logistic"}),
    *((far_offsets(key), {}) for key in "zgs"),
    (backward_product, {}),
    (without("r"), {}),
    (without("dr"), {}),
    (without("product"), {}),
    (no_program_at_all, {}),
    (other_reading_of_the_loss, {}),
    (other_reading_of_the_loss, {"loss": "logistic"}),
    (units_that_cancel, {"activation": "identity", "eps": 1e-9}),
    (clip_that_cancels, {"loss": "huber"}),
]


@pytest.mark.parametrize(("forge", "given"), FORGED, ids=lambda x: getattr(x, "__qualname__", str(x)))
def test_forgeries_are_refused(forge, given):
    _, found, posed = made(**given)
    forge(found)
    with pytest.raises(Refused):
        check(found, posed, "lean")


@pytest.mark.parametrize(
    ("output", "steepness", "words"),
    [
        ("activated", 1.01, "the loss slope is computed from p, not from z"),
        ("activated", 0.0, "the steepness of the loss slope holds"),
        ("linear", 0.0, "the steepness of the loss slope holds"),
        ("linear", 1.0, None),
    ],
)
def test_a_linear_loss_slope_is_read_off_z_only_where_that_is_p(output, steepness, words):
    """For the loss p^2/2 - p y, u = p - y: with an activated output, a program with u = z - y is wrong."""
    _, found, posed = made(loss="p**2/2-p*y", output=output)
    found["program"]["loss"].update(rho=0, sigma=1, linear=1.0, relus=None, from_z=True)
    found["program"]["layers"][-1]["r"] = None
    found["steepness"] = steepness
    if words is None:
        assert check(found, posed, "lean") == found["certified"]
    else:
        with pytest.raises(Refused, match=f"^{words}$"):
            check(found, posed, "lean")


@pytest.mark.parametrize("key", ["r", "dr"])
def test_forgeries_of_the_theorem_s_shape(key):
    _, found, posed = made("paper")
    without(key)(found)
    with pytest.raises(Refused):
        check(found, posed, "paper")


@pytest.mark.parametrize("value", [math.nan, -math.inf, "0", None, [], True, -1e-3])
@pytest.mark.parametrize(
    "path", ["errors.z[1]", "errors.dr[2]", "layers.0.z", "layers.1.jerk", "lemmas.r[1].error"]
)
def test_what_is_no_number_proves_nothing(path, value):
    _, found, posed = made()
    *way, last = path.split(".")
    place = found
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    if not (value is True and path == "layers.1.jerk"):
        with pytest.raises(Refused):
            check(found, posed, "lean")


@pytest.mark.parametrize("splits", [[], [7], [1, 0], [0.5], ["1"], [-5], [math.nan]])
def test_trees_of_cells(splits):
    _, found, posed = made()
    found["splits"] = splits
    with pytest.raises(Refused):
        check(found, posed, "lean")


@pytest.mark.parametrize("lam", [[], [math.nan], [math.inf], [-math.inf], ["0"]])
@pytest.mark.parametrize("quantity", ["slope", "slope2", "bend2"])
def test_multipliers_that_help_nobody(quantity, lam):
    """Any multiplier is right; where it is none, or a bad one, the bound is lost."""
    _, found, posed = made()
    found["multipliers"][0][quantity] = lam
    with pytest.raises(Refused):
        check(found, posed, "lean")


def test_more_operations_than_an_arithmetic_can_round():
    _, found, posed = made()
    found["arithmetic"] = "float32"
    judged = Check(found, posed, "lean")
    for operations in (2**24, 2**24 + 1, 2**40):
        with pytest.raises((Refused, ArithmeticError)):
            judged.gamma(operations)


# What is certified holds for the transformer, roundings included.


@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize(
    "given", [{}, {"loss": "logistic"}, {"activation": "identity", "eps": 1e-9}], ids=str
)
def test_random_prompts_stay_below(construction, given):
    made_, found, posed = made(construction, **given)
    bound = check(found, posed, construction)
    prompt = random_prompts(made_.problem, 3000, torch.Generator().manual_seed(0))
    errors = one_step_errors(assemble(made_), prompt)
    assert float(errors.max()) <= made_.problem.eta * bound


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_targets_far_beyond_the_outputs_round_too(construction):
    """Huber: u is at most 1/2, but p - y is as large as y, and rounds so where it crosses a power of 2."""
    given = {"N": 1, "K": 1, "d": 1, "n": 1, "output": "linear", "loss": "huber", "B_y": 1e6}
    made_, found, posed = made(construction, **given)
    bound = check(found, posed, construction)
    generator = torch.Generator().manual_seed(0)
    prompt = random_prompts(made_.problem, 20_000, generator)
    y = 2 * torch.rand(prompt.y.shape, generator=generator, dtype=torch.float64) - 1 - 2.0**19
    errors = one_step_errors(assemble(made_), Prompt(prompt.x, y, prompt.query, prompt.w))
    assert float(errors.max()) <= made_.problem.eta * bound


def test_a_clip_rounds_by_its_own_bias_however_small_its_argument():
    tiny = {
        "N": 1,
        "K": 1,
        "d": 1,
        "n": 1,
        "activation": "identity",
        "loss": "huber",
        "B_x": 1e-3,
        "B_y": 1e-3,
    }
    _, found, posed = made(**tiny)
    assert check(found, posed, "lean") <= found["certified"]
    found["errors"]["u[1]"] = 2.0**-55  # relu(t + 1/2) alone may round by 2**-54
    with pytest.raises(Refused, match=r"u\[1\] covers"):
        check(found, posed, "lean")


def test_the_prover_leaves_the_room_that_the_checker_needs():
    assert prover_envelope.SUPREMUM_ROOM >= envelopes.FINE
