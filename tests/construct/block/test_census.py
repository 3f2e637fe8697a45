"""The census against counts of the dense matrices."""

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

    def norm(matrix):
        return np.linalg.norm(matrix.numpy(), 2) if matrix.numel() else 0.0

    norms = [
        max([norm(m) for part in (layer.Q, layer.K) for m in part], default=0.0)
        + sum(norm(m) for m in layer.V)
        + norm(layer.W1)
        + norm(layer.W2)
        for layer in dense
    ]
    nonzero = sum(int(buffer.count_nonzero()) for buffer in dense.buffers())
    assert found.layers == len(dense)
    assert found.sublayers == sum((h > 0) + (u > 0) for h, u in zip(heads, units, strict=True))
    assert (found.heads, found.total_heads) == (max(heads), sum(heads))
    assert (found.mlp_width, found.total_units) == (max(units), sum(units))
    assert found.parameters == nonzero
    assert found.norm == pytest.approx(max(norms), rel=1e-12)
    assert found.width == transformer.stream.D == dense[0].W1.shape[1]


def test_is_made_of_plain_numbers():
    counted = census(build(CASES[0][1])).as_dict()
    assert {type(value) for value in counted.values()} == {int, float}
    assert list(counted)[:4] == ["layers", "sublayers", "heads", "width"]


def test_does_not_grow_with_L():
    one, many = (census(build(Problem(N=1, K=1, d=2, n=3, eps=0.5, L=L))) for L in (1, 50))
    assert one == many
