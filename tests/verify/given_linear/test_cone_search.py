"""The search finds least values that are known, and its derivatives are those of the forms."""

import numpy as np
import pytest

from icgd.verify.given_linear.cone_search import Cone, ConeBlock, feasible_points


def random_cone(rng):
    """Two blocks over two tables of a few entries each, and the form of every entry, written out."""
    chosen = [(np.array([0, 0, 1]), np.array([0, 1, 1])), (np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]))]
    V = [{0: rng.normal(size=(2, 2, 4)), 1: rng.normal(size=(3, 1, 4))}, {1: rng.normal(size=(3, 1, 3))}]
    blocks = [ConeBlock(np.eye(4), 1.0, V[0]), ConeBlock(2 * np.eye(3), -1.0, V[1])]
    forms = []
    for f, (rows, columns) in enumerate(chosen):
        for p, q in zip(rows, columns, strict=True):
            each = []
            for block in blocks:
                form = np.zeros_like(block.base)
                if f in block.V:
                    first, second = block.V[f][p], block.V[f][q]
                    form = first.T @ second if p == q else first.T @ second + second.T @ first
                each.append(block.sign * form)
            forms.append(each)
    return Cone(blocks, [2, 3], chosen), forms


def test_forms_and_their_derivatives_are_those_that_are_written_out():
    rng = np.random.default_rng(0)
    cone, forms = random_cone(rng)
    y = rng.normal(size=cone.count)
    for at, value in enumerate(cone.values(y)):
        wanted = cone.blocks[at].base + sum(one * form[at] for one, form in zip(y, forms, strict=True))
        assert value == pytest.approx(wanted, rel=1e-12)
    duals = [rng.normal(size=block.base.shape) for block in cone.blocks]
    duals = [one + one.T for one in duals]
    plain = [block.V for block in cone.blocks]
    wanted = [sum(np.sum(a * b) for a, b in zip(form, duals, strict=True)) for form in forms]
    assert cone.slopes(duals, plain) == pytest.approx(np.array(wanted), rel=1e-12)
    met = [[sum(np.sum(a * b) for a, b in zip(one, two, strict=True)) for two in forms] for one in forms]
    assert cone.curvature(plain) == pytest.approx(np.array(met), rel=1e-12)


def test_the_least_multiple_of_the_identity_above_a_matrix_is_its_largest_eigenvalue():
    rng = np.random.default_rng(1)
    first = (np.zeros(1, dtype=int),) * 2
    for size in (2, 7):
        matrix = rng.normal(size=(size, size))
        matrix = matrix @ matrix.T
        cone = Cone([ConeBlock(-matrix, 1.0, {0: np.eye(size)[None]})], [1], [first])
        least = np.linalg.eigvalsh(matrix)[-1]
        for enough, above in ((0.0, 1.02), (1.3 * least, 1.3)):
            found = feasible_points(cone, np.ones(1), [np.eye(size) / size], enough)
            values = [float(y[0]) for y in found]
            assert values == sorted(values, reverse=True)
            assert least < values[-1] <= above * least
    assert feasible_points(cone, np.ones(1), [np.eye(7)], 0.0, steps=0) == []


def test_no_point_is_feasible_where_forms_contradict_each_other():
    one = np.ones((1, 1, 1))
    blocks = [ConeBlock(-2 * np.eye(1), 1.0, {0: one}), ConeBlock(np.eye(1), -1.0, {0: one})]
    cone = Cone(blocks, [1], [(np.zeros(1, dtype=int),) * 2])  # y - 2 > 0 and 1 - y > 0
    assert feasible_points(cone, np.ones(1), [np.eye(1), np.eye(1)], 0.0) == []
