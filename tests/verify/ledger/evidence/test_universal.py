"""Theorem 2, its lemmas and the counts of FLOPs once more, by other routes."""

import itertools
import math
import random

import mpmath
import numpy as np
import pytest
import torch

from icgd.verify.ledger.evidence import universal


def test_separation_in_ball_free_high_precision():
    """1/delta by mpmath from the formula as printed, for the vocabulary of two tokens."""
    n, d, V = 2, 5, 2
    longest = 2 * mpmath.sqrt(5)
    apart, least, most = mpmath.sqrt(2) * longest, longest, longest
    with mpmath.workdps(60):
        c = (2 * mpmath.log(n) + 3) * mpmath.pi * d
        delta = (
            2 * mpmath.log(n) ** 2 * apart**2 * least / (most**2 * (V + 1) ** 4 * c)
            * mpmath.exp(-((V + 1) ** 4) * c * most**2 / (4 * apart * least))
        )  # fmt: skip
        found = float(-mpmath.log10(delta))
    assert universal.separation()["few"] == pytest.approx(found, rel=1e-12)
    assert found > math.log10(np.finfo(np.float64).max)


def test_quantised_tokens_coincide_as_often_by_sampling():
    drawn = np.random.default_rng(0)
    cells = np.ceil(drawn.uniform(size=(200_000, 2)) * 16)
    share = (cells[:, 0] == cells[:, 1]).mean()
    # Five standard deviations of a binomial with probability 1/16.
    assert abs(share - 1 / 16) < 5 * math.sqrt(1 / 16 * 15 / 16 / 200_000)
    assert not universal.equal_tokens(tokens=3)["shows"]


def test_the_step_commutes_with_columns_in_torch():
    drawn = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, generator=drawn), torch.randn(4, generator=drawn)
    t = torch.tensor([1.0, 1.0, 1.0, 0.0])

    def after(order):
        w = torch.tensor(0.3, requires_grad=True)
        ((t[order] * (w * x[order] - y[order]) ** 2).sum() / 3).backward()
        return w.grad.item()

    whole = after(list(range(4)))
    for order in itertools.permutations(range(4)):
        assert after(list(order)) == pytest.approx(whole, rel=1e-5)  # float32 sums in another order


def test_flops_of_a_layer_by_counting_multiplications():
    """Two FLOPs a multiplication and sum: a small transformer block counted by explicit matrix shapes."""
    T, D, M = 5, 4, 8
    products = [(T, D, D)] * 4 + [(T, D, M), (T, M, D), (T, D, T), (T, T, D)]
    counted = sum(2 * a * b * c for a, b, c in products)
    whole = universal.flops(blocks=1, width=D, examples=2, depth=3, hidden=4)
    stated = 2 * (4 * D * D + 2 * D * D) * T + 4 * T * T * D
    assert counted == 2 * (4 * D * D + 2 * D * M) * T + 4 * T * T * D
    assert whole["stated"] * 1e9 == pytest.approx(stated)


def test_the_proof_of_theorem_2_needs_the_step_size():
    assert universal.tolerance()["shows"] and not universal.tolerance(eta="1")["shows"]


def test_units_of_a_loss_grow_like_the_root_of_the_tolerance():
    found = universal.loss_units(coarse=1e-4, fine=1e-8)
    assert found["fine_units"] / found["coarse_units"] == pytest.approx(100, rel=0.05)
    assert not universal.loss_units(loss="squared")["shows"]


def test_no_last_mlp_serves_both_prompts_of_a_collision():
    """Whatever a last MLP returns where two prompts look alike, it errs by 1/4 at one of them."""
    drawn = random.Random(5)
    for _ in range(20):
        block = universal._Scalars(drawn)
        prompts = universal._collision(block)
        seen, targets = [], []
        for z in prompts:
            h = np.array([block.first(v) for v in z])
            scores = block.score * h * h[0]
            weights = np.exp(scores - scores.max())
            seen.append(h[0] + block.value * (weights @ h) / weights.sum())
            targets.append(z[0] + abs(z[0] - z[1]))
            assert all(-1e-12 <= v <= 1 + 1e-12 for v in z)
        # Bisection ends at neighbouring floats; the block's slope is far below 1e6.
        assert abs(seen[0] - seen[1]) < 1e-6
        middle = sum(targets) / 2
        assert max(abs(middle - target) for target in targets) >= 0.25 - 1e-9
