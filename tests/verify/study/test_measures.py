"""R^2 under every reading: values and intervals by a second route, and what the pooled one rewards."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.verify.study.measures import R2_MEASURES, MeasuredR2, between, measures


def drawn(count=130, examples=7, seed=0):
    """Labels with a mean of their own in every prompt, and a prediction that is not the mean."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(1, 2, (count, 1)) + rng.normal(0, rng.gamma(2, 0.5, (count, 1)), (count, examples))
    at = [0, 3, examples - 1]
    return labels, at, labels[:, at] + rng.normal(0, 0.7, (count, 3))


def plainly(labels, k, predicted):
    """Every measure at one position, from its definition, in Python's own arithmetic."""
    y, p = [row[k] for row in labels], list(predicted)
    errors = [(a - b) ** 2 for a, b in zip(y, p, strict=True)]
    inside = [sum((v - sum(row) / len(row)) ** 2 for v in row) / (len(row) - 1) for row in labels]

    def r2(errors, y):
        return 1 - sum(errors) / sum((v - sum(y) / len(y)) ** 2 for v in y)

    batches = [slice(s, s + 64) for s in range(0, len(y) - 63, 64)]
    own = sorted(1 - e / v for e, v in zip(errors, inside, strict=True) if v > 1e-9)
    middle = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
    return {
        "pooled": r2(errors, y),
        "batches of 64": sum(r2(errors[b], y[b]) for b in batches) / len(batches),
        "within": 1 - sum(errors) / sum(inside),
        "mean of prompts": sum(own) / len(own),
        "median of prompts": middle,
    }


def test_values_are_those_of_the_definitions():
    labels, at, predicted = drawn()
    labels[5] = 2 + 1e-8 * np.arange(7)  # labels that are equal but for rounding have no R^2 of their own
    found = measures(torch.tensor(labels), at, torch.tensor(predicted), resamples=10)
    assert list(found) == list(R2_MEASURES)
    for i, k in enumerate(at):
        for name, value in plainly(labels, k, predicted[:, i]).items():
            assert found[name][i].value == pytest.approx(value, rel=1e-12), name
    whole = measures(torch.tensor(labels), at, torch.tensor(predicted), together=True, resamples=10)
    mean = np.mean([one.value for one in found["within"]])
    assert [one.value for one in whole["within"]] == pytest.approx([mean], rel=1e-12)


def test_intervals_are_those_of_drawing_prompts_again():
    """Of the same draws, exactly: every drawn prompt is copied, and the definitions are applied."""
    labels, at, predicted = drawn(count=128)
    found = measures(torch.tensor(labels), at, torch.tensor(predicted), resamples=200, level=0.9, seed=4)
    share = between(torch.tensor(labels), resamples=200, level=0.9, seed=4)
    samples = []
    for times in np.random.default_rng(4).multinomial(128, [1 / 128] * 128, size=200):
        again = np.repeat(np.arange(128), times)
        told = plainly(labels[again], 3, predicted[again, 1])
        inside = labels[again].var(1, ddof=1).mean()
        kept = [told[name] for name in ("pooled", "within", "mean of prompts")]
        samples.append([*kept, 1 - inside / labels[again].var()])
    ends = np.quantile(samples, [0.05, 0.95], axis=0).T
    named = [found[name][1] for name in ("pooled", "within", "mean of prompts")]
    for one, wanted in zip([*named, share], ends, strict=True):
        assert (one.low, one.high) == pytest.approx(wanted, rel=1e-9)
        assert one.low <= one.value <= one.high


def test_the_interval_of_a_median_is_the_exact_one_of_its_bootstrap():
    """In rational numbers: the least value at or below which a resample has its lower median often enough."""
    labels, _, predicted = drawn(count=21)
    (found,) = measures(torch.tensor(labels), [3], torch.tensor(predicted[:, 1:2]), resamples=5)[
        "median of prompts"
    ]
    own = sorted(1 - (labels[:, 3] - predicted[:, 1]) ** 2 / labels.var(1, ddof=1))

    def chance(rank):
        """That at least 11 of 21 drawn prompts are among the `rank` lowest."""
        p = Fraction(rank, 21)
        return sum(math.comb(21, k) * p**k * (1 - p) ** (21 - k) for k in range(11, 22))

    for end, tail in ((found.low, Fraction(1, 40)), (found.high, Fraction(39, 40))):
        rank = next(rank for rank in range(1, 22) if chance(rank) >= tail)
        assert end == pytest.approx(own[rank - 1], rel=1e-12)
    assert found.value == pytest.approx(own[10], rel=1e-12)


def test_pooled_r2_rewards_knowing_the_prompt_and_within_does_not():
    """The mean of k exchangeable labels has -1/k within, and so c - (1 - c)/k pooled."""
    rng = np.random.default_rng(1)
    labels = torch.tensor(3 * rng.normal(size=(8000, 1)) + rng.normal(size=(8000, 9)))
    c = 0.9  # 9 of 10 parts of the variance lie between prompts
    share = between(labels, resamples=200)
    assert share.low < c < share.high
    at = [1, 4, 8]
    means = torch.stack([labels[:, :k].mean(1) for k in at], dim=1)
    found = measures(labels, at, means, resamples=200)
    for i, k in enumerate(at):
        assert found["within"][i].low - 0.02 < -1 / k < found["within"][i].high + 0.02
        assert found["pooled"][i].low - 0.002 < c - (1 - c) / k < found["pooled"][i].high + 0.002
        assert found["pooled"][i].value == pytest.approx(c + (1 - c) * found["within"][i].value, abs=5e-3)


def test_what_cannot_be_computed_is_not_a_number_and_wrong_shapes_are_refused():
    labels, at, predicted = (torch.as_tensor(one) for one in drawn(count=70))
    few = measures(labels, at.tolist(), predicted, resamples=10)
    assert all(math.isnan(one.value) for one in few["batches of 64"]) and few["pooled"][0].value < 1
    equal = measures(torch.ones(70, 4), [1], torch.ones(70, 1), resamples=10)
    assert math.isnan(equal["median of prompts"][0].value) and math.isnan(equal["within"][0].value)
    assert not any(measures(labels, [], predicted[:, :0]).values())
    with pytest.raises(ProblemError, match=r"labels = shape \(70, 1\): at least two prompts of two labels"):
        measures(labels[:, :1], [0], predicted[:, :1])
    with pytest.raises(ProblemError, match=r"predicted = shape \(70, 2\): one row a prompt"):
        measures(labels, at.tolist(), predicted[:, :2])
    assert MeasuredR2(0, -1, 1).disjoint(MeasuredR2(3, 2, 4)) and not MeasuredR2(0, -1, 2).disjoint(
        MeasuredR2(3, 2, 4)
    )
