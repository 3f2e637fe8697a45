"""Intervals against scipy's bootstrap and the normal law; which references count as told apart."""

import numpy as np
import torch
from scipy.stats import bootstrap

from icgd.verify.given_predictor.nearness import BootstrapInterval, bootstrapped, nearest_of


def test_intervals_agree_with_scipy_and_with_the_normal_law():
    values = np.random.default_rng(0).exponential(size=(400, 2))
    found = bootstrapped([torch.tensor(values)], seed=1)
    for column, one in enumerate(found):
        other = bootstrap((values[:, column],), np.mean, method="percentile", rng=2).confidence_interval
        width = 2 * 1.96 * values[:, column].std() / 20
        assert abs(one.mean - values[:, column].mean()) < 1e-14
        # Ends of 2000 resamples scatter by about 0.02 standard deviations of the mean.
        assert max(abs(one.low - other.low), abs(one.high - other.high)) < 0.05 * width
        assert abs((one.high - one.low) / width - 1) < 0.1
    again = bootstrapped([torch.tensor(values)], seed=1)
    assert again == found and bootstrapped([torch.tensor(values)], seed=2) != found


def test_groups_are_resampled_apart_and_count_alike():
    level, wide = torch.full((50, 1), 3.0, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    (joint,), (alone,) = bootstrapped([level, wide], 0), bootstrapped([wide], 0)
    assert joint.mean == (3 + alone.mean) / 2
    assert (joint.high - joint.low) < 0.7 * (alone.high - alone.low)
    (same,) = bootstrapped([level], 0)
    assert max(abs(end - 3) for end in (same.mean, same.low, same.high)) < 1e-14


def test_overlapping_intervals_are_not_told_apart():
    def at(mean, reach):
        return BootstrapInterval(mean, mean - reach, mean + reach)

    apart = {"far": at(9, 1), "near": at(1, 0.5), "beside": at(2, 0.6), "touching": at(1.9, 0.3)}
    assert nearest_of(apart, 0.0) == (["near", "beside"], ["touching", "far"])
    small = {"a": at(1e-31, 1e-33), "b": at(1e-30, 1e-33), "c": at(1e-9, 1e-10)}
    assert nearest_of(small, 1e-20) == (["a", "b"], ["c"]) and nearest_of(small, 0.0)[0] == ["a"]
