"""The tree of cells: every point of the root is in a leaf, and each leaf is where halving puts it."""

import numpy as np
import pytest

from icgd.verify.checker.cells import leaves
from icgd.verify.checker.lemmas import Refused


def test_leaves_are_where_halving_puts_them_and_cover_the_root():
    low, high = leaves([[0.0, 1.0], [0.5, 1.5]], [1, 2, 0, 0, 1, 0, 0])
    expected = [[0, 0.5, 0.5, 1], [0, 0.5, 1, 1.5], [0.5, 0.75, 0.5, 1.5], [0.75, 1, 0.5, 1.5]]
    assert sorted(np.stack([low[0], high[0], low[1], high[1]]).T.tolist()) == expected
    rng = np.random.default_rng(5)
    root, splits = np.array([[0.1, 0.7], [1e-9, 0.3], [0.0, 2.0]]), [1, 2, 3, 0, 0, 1] + [3, 2, 1] * 20
    low, high = leaves(root.tolist(), splits)
    points = rng.uniform(root[:, 0], root[:, 1], (500, 3))[:, :, None]
    inside = np.all((low <= points) & (points <= high), axis=1)
    assert np.all(inside.any(axis=1)) and low.shape[1] == sum(map(bool, splits)) + 1
    sizes = np.prod(high - low, axis=0)
    assert sizes.sum() == pytest.approx(np.prod(root[:, 1] - root[:, 0]), rel=1e-12)


@pytest.mark.parametrize("splits", [[3], [-1], [0.5, 0, 0], [1] * 300])
def test_a_tree_of_other_layers_or_too_deep_is_refused(splits):
    with pytest.raises(Refused):
        leaves([[0.0, 1.0], [0.5, 1.5]], splits)
