"""No prompt is farther from descent than the bound, and with one layer an ascent comes near it."""

from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.construct.given_linear import GivenLinear, descent
from icgd.verify.given_linear import prediction_distance, signal_bound, signal_chain
from icgd.verify.given_linear.moment_search import _general_bound, largest_difference
from icgd.verify.given_linear.nearest_descent import (
    Radii,
    attack_distance,
    nearest_descent,
    random_linear_prompts,
)
from icgd.verify.given_linear.prediction_distance import distance_bound
from icgd.verify.given_linear.tightness import near_descent
from tests.numpy_linear_attention import descended, prediction


def random_attention(rng, L, d, size, **said):
    """Descent with noise in every entry, as two heads."""
    made = descent(torch.from_numpy(0.6 * np.eye(d) + size * rng.normal(size=(L, d, d))))
    P, Q = (np.concatenate([part.numpy(), np.zeros_like(part)], axis=1) for part in (made.P, made.Q))
    P, Q = (part + size * rng.normal(size=part.shape) for part in (P, Q))
    return P, Q, GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q), **said)


@settings(max_examples=10)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 2),
    st.sampled_from([1e-4, 1e-2, 0.3]),
    st.booleans(),
    st.sampled_from(["n", "n+1", "1"]),
)
def test_no_prompt_is_above_the_bound(seed, L, d, size, masked, divisor):
    rng = np.random.default_rng(seed)
    n, B_x, B_y = int(rng.integers(1, 4)), *2.0 ** rng.integers(-2, 2, size=2)
    P, Q, attention = random_attention(rng, L, d, size, masked=masked, divisor=divisor)
    A = 0.6 * np.eye(d) + size * rng.normal(size=(L, d, d))
    sizes = Fraction(B_x), Fraction(B_y)
    telescoped = distance_bound(attention, A.tolist(), n, *sizes).value
    reached = telescoped / 1e3
    # Many signals and multipliers take seconds.
    with patch.object(signal_bound, "MOST_SEARCHED", 200), patch.object(signal_chain, "MOST_SIGNALS", 44):
        bound = min(
            telescoped, distance_bound(attention, A.tolist(), n, *sizes, reached=reached, work=2e7).value
        )
    prompts = random_linear_prompts(d, Radii(n, B_x, B_y), 24, torch.Generator().manual_seed(seed % 1000))
    for x, y, query in zip(*(part.numpy() for part in (prompts.x, prompts.y, prompts.query)), strict=True):
        divided = {"n": n, "n+1": n + 1, "1": 1}[divisor]
        found = prediction(P, Q, x, y, query, masked=masked, divisor=divided)
        assert abs(found - descended(A, x, y) @ query) <= bound * (1 + 1e-9) + 1e-13


def test_with_one_layer_an_ascent_comes_near_the_bound():
    for seed, d, masked in ((1, 2, False), (2, 3, True)):
        rng = np.random.default_rng(seed)
        _, _, attention = random_attention(rng, 1, d, 0.1, masked=masked)
        radii = Radii(4, 1.5, 0.5)
        generator = torch.Generator().manual_seed(seed)
        for kind in ("preconditioned", "plain"):
            A = nearest_descent(attention, radii, kind, generator)
            found, _ = attack_distance(attention, A, radii, generator, 0.5)
            bound = distance_bound(attention, A.tolist(), 4, Fraction(1.5), Fraction(0.5)).value
            # Without a mask the query adds at most 1/n, which the bound takes from anywhere.
            assert found <= bound <= 1.1 * found * (1.25 - 0.25 * masked), (d, kind)


def test_a_search_of_second_moments_comes_near_for_deep_ones():
    for seed, L, d, size in ((1, 4, 1, 0.02), (2, 2, 2, 0.01)):
        rng = np.random.default_rng(seed)
        _, _, attention = random_attention(rng, L, d, size)
        radii, generator = Radii(4, 1.0, 1.0), torch.Generator().manual_seed(seed)
        A = nearest_descent(attention, radii, "preconditioned", generator)
        found, _ = attack_distance(attention, A, radii, generator, 0.5)
        bound = distance_bound(attention, A.tolist(), 4, Fraction(1), Fraction(1), found, 1e9)
        assert found <= bound.value <= 1.5 * found, (L, d)
    steps = torch.from_numpy(0.5 * np.eye(3) + 0.05 * np.random.default_rng(4).normal(size=(3, 3, 3)))
    radii, generator = Radii(4, 1.0, 1.0), torch.Generator().manual_seed(4)
    A = nearest_descent(descent(steps), radii, "plain", generator)
    found, _ = attack_distance(descent(steps), A, radii, generator, 0.5)
    bound = distance_bound(descent(steps), A.tolist(), 4, Fraction(1), Fraction(1), found, 1e9)
    assert found <= bound.value <= 1.5 * found


@pytest.mark.slow
@pytest.mark.parametrize(("L", "d", "heads", "masked"), [(4, 3, 1, True), (4, 2, 1, False), (3, 2, 2, True)])
def test_many_layers_with_noise_everywhere_are_bounded_closely(L, d, heads, masked):
    made = near_descent(L, d, dense=True, heads=heads)
    attention = GivenLinear.of(made.P, made.Q, masked=masked)
    radii, generator = Radii(6, 1.0, 1.0), torch.Generator().manual_seed(0)
    A = nearest_descent(attention, radii, "preconditioned", generator)
    found, where = attack_distance(attention, A, radii, generator, 0.5)
    bound = distance_bound(attention, A.tolist(), 6, Fraction(1), Fraction(1), found, work=1.0).value
    assert bound <= 1.5 * found
    prompts = random_linear_prompts(d, radii, 200, generator)
    reached = []
    for prompt in (prompts, where):
        for x, y, query in zip(*(part.numpy() for part in (prompt.x, prompt.y, prompt.query)), strict=True):
            given = prediction(made.P.numpy(), made.Q.numpy(), x, y, query, masked=masked)
            reached.append(abs(given - descended(A.numpy(), x, y) @ query))
    assert max(reached) <= bound
    assert reached[-1] == pytest.approx(found, rel=1e-9)


def test_second_moments_with_the_query_come_near_without_a_mask():
    made, radii = near_descent(4, 1, dense=True), Radii(6, 1.0, 1.0)
    attention, generator = GivenLinear.of(made.P, made.Q, masked=False), torch.Generator().manual_seed(0)
    A = nearest_descent(attention, radii, "preconditioned", generator)
    found, _ = attack_distance(attention, A, radii, generator, 0.5)
    with (
        patch.object(prediction_distance, "signal_chain", return_value=None),
        patch.object(prediction_distance, "largest_difference", wraps=largest_difference) as search,
    ):
        bound = distance_bound(attention, A.tolist(), 6, Fraction(1), Fraction(1), found, work=1e8).value
    assert 0 < found <= bound <= 1.25 * found
    x, y, q = np.array([[0.9], [-0.2], [0.4]] * 2), np.array([0.8, 0.3, 1.0] * 2), np.array([0.5])
    moments = np.array([[(x**2).mean(), (x[:, 0] * y).mean(), (y**2).mean(), 0.25]])
    pairs = [(0, 0), (0, 1), (1, 1), (2, 2)]
    near, _ = _general_bound(search.call_args.args[0], moments - 1e-9, moments + 1e-9, pairs, 1 / 6)
    given = prediction(made.P.numpy(), made.Q.numpy(), x, y, q, masked=False)
    apart = abs(given - descended(A.numpy(), x, y) @ q)
    assert apart <= near[0] <= 1.0001 * apart


def test_descent_has_distance_0_from_itself():
    A = torch.tensor([[[0.5, 0.25], [0.0, 0.5]]], dtype=torch.float64).repeat(3, 1, 1)
    assert distance_bound(descent(A), A.tolist(), 5, Fraction(2), Fraction(1)).value < 1e-300
