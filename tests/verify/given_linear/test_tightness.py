"""The table of how tight distances of linear attention are: its models, and one layer of it."""

import torch

from icgd.verify.given_linear.tightness import linear_tightness, near_descent


def test_the_models_of_the_table_are_near_descent_as_it_says():
    for dense, size in ((False, 0.05), (True, 0.01)):
        made = near_descent(3, 4, dense=dense)
        A = -made.Q[:, 0, :4, :4].mT
        apart = (A - torch.eye(4) / 2).std()
        assert 0.5 * size < apart < 2 * size
        assert bool((made.P[:, 0, :4, :4] != 0).all()) == dense


def test_one_layer_is_bounded_closely():
    grid = linear_tightness(depths=(1,), sizes=(1, 2))
    assert grid.columns == ("mask", "noise", "L", "d = 1", "d = 2")
    kinds = [(mask, noise) for mask in ("yes", "no") for noise in ("steps", "dense")]
    assert [row[:2] for row in grid.rows] == kinds
    assert all(1 <= float(ratio) <= 1.2 for row in grid.rows for ratio in row[3:])
