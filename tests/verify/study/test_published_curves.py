"""The published curves as data: complete, as printed, and with an interval that their own noise gives."""

import numpy as np
import pytest

from icgd.verify.study.published_curves import (
    PLATEAU,
    published_curve,
    published_curves,
    published_depths,
    repeated_plateau,
    scatter,
)


def test_all_curves_are_there():
    curves = published_curves()
    assert len(curves) == 42 and all(len(one.values) == 76 for one in curves)
    assert all(-1.5 < value < 1 for one in curves for value in one.values)
    assert published_curve("relu", 6).values[:2] == (-0.008, 0.742)
    assert published_curve("softmax", 3).values[50] == 0.969
    assert published_curve("softmax", 4, mean=-0.5).figure == "6b"
    depths = published_depths()
    assert len(depths) == 6 and depths["softmax", 30] == {4: 0.8503, 6: 0.8708, 8: 0.9097, 10: 0.905}
    with pytest.raises(KeyError):
        published_curve("relu", 5)


def test_figures_that_show_the_same_test_agree_to_our_reading_error():
    """Figures 5a and 6a show Figures 3b and 4b again: read twice, they differ by at most 0.01."""
    shown = {(one.figure, one.curve): np.array(one.values) for one in published_curves() if one.share == 1}
    for first, again in (("3b", "5a"), ("4b", "6a")):
        for curve in ("transformer", "network"):
            assert np.abs(shown[first, curve] - shown[again, curve]).max() <= 0.01


def test_the_interval_is_that_of_one_point_or_of_the_repeated_network():
    noise = np.random.default_rng(0).normal(0, 0.02, (400, 76)) + np.linspace(0.8, 0.9, 76)
    assert np.sqrt(np.mean([scatter(one) ** 2 for one in noise])) == pytest.approx(0.02, rel=0.05)
    for one in published_curves():
        found = one.interval()
        assert found.value == pytest.approx(sum(one.values[k] for k in PLATEAU) / 25)
        assert (
            found.high - found.value
            >= 0.005 + 1.96 * max(scatter(one.values), repeated_plateau(one.N)) - 1e-12
        )
    pair = [published_curve(attention, 3, "network").plateau for attention in ("relu", "softmax")]
    assert repeated_plateau(3) == pytest.approx(abs(pair[0] - pair[1]) / 2**0.5)
