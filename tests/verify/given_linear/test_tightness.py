"""The table of how tight distances of linear attention are: its models, and which factor a cell is."""

from types import SimpleNamespace

import torch

from icgd.verify.given_linear import tightness
from icgd.verify.given_linear.tightness import near_descent


def test_the_models_of_the_table_are_near_descent_as_it_says():
    for dense, size in ((False, 0.05), (True, 0.01)):
        made = near_descent(3, 4, dense=dense)
        A = -made.Q[:, 0, :4, :4].mT
        apart = (A - torch.eye(4) / 2).std()
        assert 0.5 * size < apart < 2 * size
        assert bool((made.P[:, 0, :4, :4] != 0).all()) == dense
    one, two = near_descent(3, 4, dense=True), near_descent(3, 4, dense=True, heads=2)
    assert two.P.shape == two.Q.shape == (3, 2, 5, 5)
    assert 0.005 < (two.P.sum(1) - one.P.sum(1)).std() < 0.05  # they share P, each with noise of its own
    assert 0.005 < (two.Q[:, 0] - two.Q[:, 1]).std() < 0.05 and (two.Q[:, 1] - one.Q[:, 0]).std() < 0.05


def test_a_cell_of_the_table_is_the_factor_of_its_own_model(monkeypatch):
    """Of the nearest plain descent where noise is in the steps alone, else of the preconditioned one."""

    def judged(model, n):
        dense = bool((model.P[:, 0, : model.d, : model.d] != 0).all())
        place = 100 * (1 + model.masked + 2 * dense) + 10 * model.L + model.d
        found = {"plain": place, "preconditioned": 400 + place}
        return SimpleNamespace(nearest={kind: SimpleNamespace(factor=one) for kind, one in found.items()})

    monkeypatch.setattr(tightness, "judge_linear", judged)
    grid = tightness.linear_tightness(depths=(1, 2), sizes=(1, 2))
    assert grid.columns == ("mask", "noise", "L", "d = 1", "d = 2")
    rows = [(mask, noise, L) for mask in ("yes", "no") for noise in ("steps", "dense") for L in (1, 2)]
    assert [row[:3] for row in grid.rows] == rows
    for mask, noise, L, *found in grid.rows:
        first = 100 * (1 + (mask == "yes") + 6 * (noise == "dense")) + 10 * L
        assert found == [f"{first + d}" for d in (1, 2)]
