"""The constants of the paper's lemmas: written again from its text, refuted exactly, and repaired."""

import math
from fractions import Fraction as Q
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.functions.random_features import feature_mass
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.published import Local, published
from tests.printed_lemmas import FORMS, as_printed


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("B_v", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("N, K, d", [(1, 3, 2), (2, 2, 5), (4, 3, 2)])
def test_the_printed_constants_are_those_of_the_text(name, B_v, N, K, d):
    problem = Problem(N=N, K=K, d=d, B_v=B_v, B_x=0.8, B_y=1.3, activation=ACTIVATIONS[name])
    made = published(problem)
    for symbol, value in as_printed(problem).items():
        # A grid of 20,001 points misses a maximum by h^2/8 sup |g''|, below 1e-7 of it; powers multiply this.
        assert made[symbol] == pytest.approx(value, rel=1e-5), symbol


def test_tolerances_use_up_eps_and_the_ladder_is_their_sum():
    for repaired in (False, True):
        made = published(Problem(), repaired=repaired)
        C = [made[name] for name in ("C_r", "C_{r'}", "C_l")]
        spent = sum(c * e for c, e in zip(C, made.local, strict=True)) / 2
        assert 0.05 * (1 - 1e-12) <= spent <= 0.05 * (1 + 1e-15) and made.per_unit == sum(C) / 2


def test_features_are_counted_without_the_unknown_constant():
    made = published(Problem())
    A, e = feature_mass(ACTIVATIONS["tanh"].r, 1.0), made.local.r
    assert made["M_1"] == math.floor(2 * math.log(2) * (A / e) ** 2) + 1
    assert made["heads"] == max(4 * made["M_1"], 10 * made["M_2"], 20)


def test_tolerances_stay_where_their_constants_hold():
    """At a huge eps the tolerances stop at 1: larger ones would need the wider ranges that they lead to."""
    made = published(Problem(eps=1e6), repaired=True)
    assert made.local == Local(1.0, 1.0, 1.0) and made.per_unit < 1e6


def test_constants_beyond_floats_are_refused():
    with pytest.raises(ProblemError, match="leave float64"):
        published(Problem(N=4, B_v=2.0, activation=parse_activation("t**3")))


def test_a_kink_is_refused():
    with pytest.raises(ProblemError, match="Lipschitz"):
        published(Problem(activation=ACTIVATIONS["relu"]))


# Random networks in the whole domain of the theorem, with legal errors: the repaired constants are bounds.


def passes(problem, V, x, y, forms, errors):
    """Definitions 1 to 3 in numpy, with errors added to r, r' and u; the loss is (p - y)^2."""
    r, dr, _ = forms
    p, slopes, arguments = [x], [], []
    for j, matrix in enumerate(V):
        z = matrix @ p[-1]
        arguments.append(z)
        p.append(r(z) + errors[0][j])
        slopes.append(dr(z) + errors[1][j])
    u = 2 * (p[-1] - y) + errors[2]
    s = [slopes[-1] * u]
    for j in range(problem.N - 2, -1, -1):
        s.insert(0, slopes[j] * (V[j + 1].T @ s[0]))
    return (
        p,
        arguments,
        slopes,
        u,
        s,
        np.concatenate([np.outer(a, b).ravel() / 2 for a, b in zip(s, p, strict=False)]),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(FORMS)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 5)),
    st.sampled_from([0.25, 1.0, 1.6]),
    st.sampled_from([0.0, 1e-2, 0.3]),
    st.integers(0, 2**32 - 1),
)
def test_repaired_constants_are_bounds(name, sizes, B_v, off, seed):
    N, K, d, d_out = sizes
    problem = Problem(N=N, K=K, d=d, d_out=d_out, B_v=B_v, activation=ACTIVATIONS[name])
    rng = np.random.default_rng(seed)
    local = Local(off, off / 2, off / 3)
    made = published(problem, repaired=True, local=local)
    V = []
    for before, after in pairwise(problem.dims):
        rows = rng.standard_normal((after, before))
        if rng.random() < 0.5:
            rows = np.abs(rows[:1]) * np.sign(rng.standard_normal((after, 1)) + rng.integers(3))
        V.append(B_v * rows / np.linalg.norm(rows, axis=1, keepdims=True))
    x, y = rng.standard_normal(d), rng.standard_normal(d_out)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)

    def signs(size):
        return np.sign(rng.standard_normal(size) + 2 * rng.integers(2))

    widths = problem.dims[1:]
    errors = (
        [local.r * signs(k) for k in widths],
        [local.dr * signs(k) for k in widths],
        local.u * signs(d_out),
    )
    zero = ([0.0] * N, [0.0] * N, 0.0)
    exact, seen = (passes(problem, V, x, y, FORMS[name], e) for e in (zero, errors))
    room = 1 + 1e-9

    def within(value, bound):
        assert np.max(np.abs(value)) <= bound * room + 1e-12

    for p, z, slopes, u, s, _ in (exact, seen):
        within(np.concatenate(z), made["R_1"])
        within(np.concatenate(p[1:]), made["B_r"])
        within(np.concatenate(slopes), made["B_{r'}"])
        within(np.concatenate([p[-1], y]), made["R_3"])
        within(u, made["B_l"])
        within([np.linalg.norm(one) for one in s], made["P"] * made["B_s"])
    for j in range(1, N + 1):
        within(np.linalg.norm(seen[0][j] - exact[0][j]), made.outputs(j) * local.r)
        assert made.outputs(j) <= made["E_r"] * room
    within(np.concatenate(seen[2]) - np.concatenate(exact[2]), local.dr + made["E_{r'}"] * local.r)
    within(seen[3] - exact[3], local.u + made["E_l"] * local.r)
    of_s = made["E_s^r"] * local.r + made["E_s^{r'}"] * local.dr + made["E_s^l"] * local.u
    within([np.linalg.norm(a - b) for a, b in zip(seen[4], exact[4], strict=True)], made["P"] * of_s)
    total = sum(made[f"C_{k}"] * e for k, e in zip(("r", "{r'}", "l"), local, strict=True)) / 2
    within(np.linalg.norm(seen[5] - exact[5]), total)


# Exact witnesses against the printed constants; every hypothesis of the lemma is met.


def test_arguments_of_r_leave_its_printed_interval():
    """Lemma 2, r = identity, N = K = 2, d = 1, radii 1, p(1) = (1, 1), v = (3/5, 4/5): z = 7/5, R_1 = 1."""
    v = (Q(3, 5), Q(4, 5))
    z = sum(v)
    posed = Problem(N=2, K=2, d=1, activation=ACTIVATIONS["identity"])
    assert sum(a**2 for a in v) == 1 and z == Q(7, 5) and published(posed)["R_1"] <= 1 + 2.0**-50
    assert z <= published(posed, repaired=True)["R_1"]

    def approximation(t):  # two ReLUs for t, and one that is 0 on [-R_1, R_1]: within every eps_r there
        return max(t, 0) - max(-t, 0) + 2 * max((t - 1) / 2, 0)

    assert all(approximation(Q(k, 8)) == Q(k, 8) for k in range(-8, 9))
    assert approximation(z) - z == Q(2, 5)  # while the lemma allows E_r eps_r, for any eps_r


def test_arguments_of_the_slope_leave_its_printed_interval():
    """Lemma 3: r(t) = 2 + t/4, K = d = 1, N = 2, radii 1: z = p(1) = 9/4 > R_2 = 1, with K = 1."""
    posed = Problem(N=2, K=1, d=1, activation=parse_activation("2 + t/4"))
    z = 2 + Q(1, 4)
    assert z > published(posed)["R_2"] == 1 and z <= published(posed, repaired=True)["R_2"]


def test_outputs_leave_the_printed_interval_of_the_loss_slope():
    """Lemma 4: r(t) = 2 + t/4, N = K = d = 1, B_v = 1/4: p = 33/16, and R_3 = max(33/64, 1, 1)."""
    posed = Problem(N=1, K=1, d=1, B_v=0.25, activation=parse_activation("2 + t/4"))
    p = 2 + Q(1, 4) / 4
    assert p == Q(33, 16) > published(posed)["R_3"] == 1 and p <= published(posed, repaired=True)["R_3"]


def test_lemma_6_needs_its_factor():
    """r = identity, N = 2, K = 1, d = 2, V_2 = (1, 1)^T: s(1) sums s(2), P = sqrt(2) times too much."""
    posed = Problem(N=2, K=1, d=2, B_y=1.0, activation=ACTIVATIONS["identity"])
    made, e = published(posed), Q(1, 100)
    # x with v.x = 1, so p(2) = (1, 1); y = -(3/5, 3/5) has norm2 <= 1, and u = 2 (p - y).
    u = [2 * (1 + Q(3, 5))] * 2
    assert 2 * Q(9, 25) <= 1 and all(one <= made["B_l"] for one in u)
    assert sum(u) ** 2 > 2 * Q(4) ** 2 and made["B_s"] == pytest.approx(math.sqrt(2) * 4, rel=1e-12)
    off = sum(one + e for one in u) - sum(u)  # g = u + e is legal, and r and r' are exact sums of ReLUs
    assert off**2 == 2 * (2 * e**2) and made["E_s^l"] == pytest.approx(math.sqrt(2), rel=1e-12)
    repaired = published(posed, repaired=True)
    assert off <= repaired["P"] * repaired["E_s^l"] * e * (1 + Q(1, 10**9))


def test_the_power_of_p_is_too_small():
    """C.7: N = 2, K = d = 17, r(t) = 1 + t/1000, V = 0: the error of layer 2 exceeds C_l eps_l / 2."""
    K, a, e = 17, Q(1, 1000), Q(1, 100)
    posed = Problem(N=2, K=K, d=K, B_x=0.001, activation=parse_activation("1 + t/1000"))
    made = published(posed)
    # s(2) is off by a e in each of d coordinates, p(1) = (1, ..., 1): normF^2 / 4 of their outer product.
    square = K * (a * e) ** 2 * K / 4
    limit = Q(made["C_l"]) * e / 2
    assert square > limit**2
    assert made["C_l"] == pytest.approx(2 * K**0.75 * made["B_r"] * 0.001, rel=1e-9)
    assert square <= (Q(published(posed, repaired=True)["C_l"]) * e / 2) ** 2


def test_a_loss_that_bends_and_a_linear_output_have_constants():
    for name in LOSSES:
        for output in ("activated", "linear"):
            made = published(Problem(N=2, loss=LOSSES[name], output=output), repaired=True)
            assert 0 < made.per_unit < math.inf and made["heads"] > 0
