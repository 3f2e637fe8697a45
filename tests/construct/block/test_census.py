"""The census against counts of the dense matrices."""

import math

import numpy as np
import pytest

from icgd.bounds.problem import Problem
from icgd.construct.block.census import census
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.relu_icgd import build

CASES = [
    ("lean", Problem(N=2, K=3, d=2, d_out=1, n=4, eps=0.3)),
    ("lean", Problem(N=2, K=2, d=2, n=4, eps=0.3, output="linear")),
    ("paper", Problem(N=2, K=2, d=1, d_out=2, n=4, eps=0.5)),
    ("exact", Problem.parse({"N": 3, "K": 2, "d": 2, "n": 4, "activation": "relu", "loss": "huber"})),
]


@pytest.mark.parametrize(("construction", "problem"), CASES)
def test_every_number_against_the_dense_matrices(construction, problem):
    transformer = build(problem, construction)
    found = census(transformer)
    dense = DenseTransformer(transformer).layers
    heads = [len(layer.Q) for layer in dense]
    units = [len(layer.W1) for layer in dense]

    def norm(matrix, order=2):
        return np.linalg.norm(matrix.numpy(), order) if matrix.numel() else 0.0

    def built(layer, order):
        reach = max([norm(m, order) for part in (layer.Q, layer.K) for m in part], default=0.0)
        values = sum(norm(m, order) for m in layer.V)
        return reach + values + norm(layer.W1, order) + norm(layer.W2, order)

    def least(layer, order):
        """The closed forms of construct/block/balance.py, written out on full matrices."""
        heads = zip(layer.Q, layer.K, layer.V, strict=True)
        S = sum(math.prod(norm(part, order) for part in head) for head in heads)
        mixed = abs(layer.W2).sum(0)[:, None] * abs(layer.W1)
        A = norm(mixed, 1) if order == 1 else norm(layer.W1) * norm(layer.W2)
        return 1.5 * (2 * S) ** (1 / 3) + 2 * math.sqrt(A)

    nonzero = sum(int(buffer.count_nonzero()) for buffer in dense.buffers())
    assert found.layers == len(dense)
    assert found.sublayers == sum((h > 0) + (u > 0) for h, u in zip(heads, units, strict=True))
    assert (found.heads, found.total_heads) == (max(heads), sum(heads))
    assert (found.mlp_width, found.total_units) == (max(units), sum(units))
    assert found.parameters == nonzero
    for order, measured in (1, (found.norm_1, found.least_norm_1)), (2, (found.norm, found.least_norm)):
        expected = [max(size(layer, order) for layer in dense) for size in (built, least)]
        assert measured == pytest.approx(expected, rel=1e-12)
    assert found.width == transformer.stream.D == dense[0].W1.shape[1]


def test_is_made_of_plain_numbers():
    counted = census(build(CASES[0][1])).as_dict()
    assert {type(value) for value in counted.values()} == {int, float}
    assert list(counted)[:4] == ["layers", "sublayers", "heads", "width"]


def test_does_not_grow_with_L():
    one, many = (census(build(Problem(N=1, K=1, d=2, n=3, eps=0.5, L=L))) for L in (1, 50))
    assert one == many
