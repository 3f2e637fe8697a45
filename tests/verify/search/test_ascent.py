"""The ascent step: constant size while slopes agree, small if their signs change, separately for each row."""

import pytest
import torch

from icgd.verify.search.ascent import Stride


def test_moves_are_even_while_slopes_agree_and_small_where_they_do_not():
    points = torch.zeros(2, 3, dtype=torch.float64)
    stride = Stride.at(points)
    for i in range(200):
        slope = torch.tensor([[4.0, -1.0, (-1.0) ** i], [0.0, 0.0, 0.0]], dtype=torch.float64)
        move = stride.along(slope)
    assert move[0, :2].tolist() == pytest.approx([1, -1], rel=1e-3)  # 0.95**200 of the start is left
    assert 0 < float(move[0, 2].abs()) < 0.2  # the mean of +-1 with weight 0.2 is 0.2 / 1.8
    assert not move[1].any()


def test_the_scale_of_the_error_does_not_matter():
    slope = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    moves = [Stride.at(slope).along(factor * slope) for factor in (1.0, 1e-9, 1e9)]
    for move in moves[1:]:
        assert torch.allclose(move, moves[0], rtol=1e-6)


def test_rows_go_on_by_themselves():
    slopes = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = torch.tensor([2, 0])
    whole, part = Stride.at(slopes[0]), Stride.at(slopes[0])
    whole.along(slopes[0])
    part.along(slopes[0])
    part = part[rows]
    for slope in slopes[1:]:
        assert torch.equal(whole.along(slope)[rows], part.along(slope[rows]))
