"""Branch and bound: the leaves cover the whole set, their bounds are reported, and the slack is small."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.envelope import SUPREMUM_ROOM
from icgd.bounds.problem import Problem
from icgd.bounds.step_error import cover as module
from icgd.bounds.step_error.cover import cover
from icgd.bounds.step_error.recurrence import Term, propagate, ranges, step_error_bound
from icgd.bounds.step_error.worst_case import Cells, Setting
from icgd.verify.strategies import problems

SMOOTH = ("tanh", "sigmoid", "softplus", "gelu", "sin", "identity")


def setting_of(problem, size, from_z=False):
    listed = [Term(kind, j) for kind in ("r", "dr", "product") for j in range(1, problem.N + 1)]
    errors = dict.fromkeys([*listed, Term("u", problem.N)], size)
    return Setting(problem, ranges(problem, errors), from_z), errors


def leaves(found):
    """The tree replayed from its root: a list of (low, high), one number a layer."""
    splits, cells = iter(found.splits.tolist()), []

    def visit(low, high):
        layer = next(splits)
        if not layer:
            cells.append((low, high))
            return
        middle = (low[layer - 1] + high[layer - 1]) / 2
        assert low[layer - 1] <= middle <= high[layer - 1]
        visit(low, [middle if j == layer - 1 else x for j, x in enumerate(high)])
        visit([middle if j == layer - 1 else x for j, x in enumerate(low)], high)

    visit(found.root.low[:, 0].tolist(), found.root.high[:, 0].tolist())
    assert next(splits, None) is None
    return cells


def volume(low, high):
    product = Fraction(1)
    for a, b in zip(low, high, strict=True):
        product *= Fraction(b) - Fraction(a)
    return product


def check(found, bound_of):
    cells = leaves(found)
    assert len(cells) == found.leaves
    low, high = (np.array(x).T for x in zip(*cells, strict=True))
    whole = volume(found.root.low[:, 0], found.root.high[:, 0])
    assert sum(volume(*cell) for cell in cells) == whole  # halves of halves: none overlap, none are missing
    assert float(bound_of(Cells(low, high)).max()) == found.bound
    return low, high


CASES = [
    ({"N": 1}, 1e-2),
    ({"N": 2, "K": 3}, 1e-3),
    ({"N": 3, "K": 3}, 1e-3),
    ({"N": 3, "K": 3, "activation": "gelu", "output": "linear"}, 0.2),
    ({"N": 4, "K": 4, "activation": "sigmoid", "loss": "logistic"}, 1e-2),
]


@pytest.mark.parametrize(("letters", "size"), CASES)
def test_leaves_tile_the_root_and_carry_the_bound(letters, size):
    setting, errors = setting_of(Problem.parse(letters), size)
    found = cover(setting, errors)
    low, high = check(found, lambda cells: setting.bound(cells, errors))
    assert found.reached <= found.bound <= found.reached * (1 + module.COVER_SLACK)
    at = found.at[:, None]
    assert float(setting.bound(Cells(at, at), errors)[0]) == found.reached
    assert ((low <= at) & (at <= high)).all(axis=0).any()


@settings(deadline=None, max_examples=30)
@given(
    problems(max_N=3, max_radius=1.5, activations=SMOOTH),
    st.floats(-6, -4).map(lambda exponent: 10**exponent),
    st.booleans(),
)
def test_cells_are_never_worse_than_suprema(problem, size, from_z):
    setting, errors = setting_of(problem, size, from_z and problem.loss.rho == 0)
    found = cover(setting, errors)
    plain = step_error_bound(problem, setting.layers, errors, from_z=setting.from_z)
    assert 0 < found.reached <= found.bound <= found.reached * (1 + module.COVER_SLACK)
    assert plain <= moved_plain(setting, errors) <= 1.1 * plain
    # Suprema over cells are rounded up by ROOM of their terms: at most six of them in every layer.
    assert found.bound <= moved_plain(setting, errors) * (1 + 2 * SUPREMUM_ROOM) ** (6 * problem.N)


def moved_plain(setting, errors):
    """The plain recurrence with its terms of second order: slopes, products and norms where errors lead.

    Errors are twice those of first order, for all that follows.
    """
    problem, layers = setting.problem, setting.layers
    first = propagate(problem, layers, errors, from_z=setting.from_z)
    before = [0.0, *(2 * error for error in first.p)]
    after = [*(2 * error for error in first.s[1:]), 2 * (max(first.p) + sum(errors.values()))]
    moved = []
    for j, layer in enumerate(layers):
        dz, dg = problem.B_v * before[j], layers[min(j + 1, problem.N - 1)].spread * after[j]
        moved.append(
            replace(
                layer,
                slope=layer.slope + layer.curvature * dz / 2,
                curvature=layer.curvature + setting.jerk[j] * dz / 2,
                p_in=layer.p_in + before[j],
                g_norm=layer.g_norm + dg,
            )
        )
    return step_error_bound(problem, tuple(moved), errors, from_z=setting.from_z)


def test_they_save_more_the_deeper_the_network():
    shares = []
    for N in (2, 3, 4):
        setting, errors = setting_of(Problem(N=N, K=4), 1e-4)
        plain = step_error_bound(setting.problem, setting.layers, errors, from_z=False)
        shares.append(cover(setting, errors).bound / plain)
    assert shares[0] < 0.7 and shares[1] < 0.5 and shares[2] < 0.42


def stub(height, low=(-1.0, 0.0), high=(1.0, 2.0)):
    """A setting whose bound on a cell is `height` in its middle and something that vanishes with its size."""
    root = Cells(np.array([low]).T, np.array([high]).T)

    def bound(cells, errors):
        middle, half = (cells.low + cells.high) / 2, (cells.high - cells.low) / 2
        return height(middle) + 3 * half.sum(axis=0)

    return SimpleNamespace(everything=root, bound=bound)


def hill(x):
    return np.maximum(1 - abs(x[0] - 0.3) - 2 * abs(x[1] - 1.7), 0.1)


@pytest.mark.parametrize("slack", [0.5, 0.05, 0.01])
def test_a_hill_is_found(slack):
    setting = stub(hill)
    found = cover(setting, {}, slack)
    check(found, lambda cells: setting.bound(cells, {}))
    assert found.reached <= 1 <= found.bound <= found.reached * (1 + slack)
    assert found.at == pytest.approx([0.3, 1.7], abs=slack)


def test_too_many_cells_are_not_refined_and_still_cover(monkeypatch):
    monkeypatch.setattr(module, "_MOST_CELLS", 300)
    monkeypatch.setattr(module, "_BATCH", 8)
    setting = stub(hill)
    found = cover(setting, {}, 1e-4)
    check(found, lambda cells: setting.bound(cells, {}))
    assert found.leaves < 300 and found.bound > found.reached * 1.0001 and found.bound >= 1


def test_a_root_without_width_is_one_leaf():
    setting = stub(hill, (0.3, 1.7), (0.3, 1.7))
    found = cover(setting, {})
    assert found.leaves == 1 and found.bound == pytest.approx(1) == pytest.approx(found.reached, rel=1e-4)


def test_without_errors_there_is_nothing_to_halve():
    setting, _ = setting_of(Problem(N=3), 0.0)
    found = cover(setting, {})
    assert (found.bound, found.reached, found.leaves) == (0.0, 0.0, 1)
