"""Prompts cut from tables: they hold the rows they name, within the radii, and scale back."""

import numpy as np
import pytest
import torch

from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.verify.data.columns import Columns, choose_columns
from icgd.verify.data.real_prompts import prompts_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataError, DataTable


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_diabetes_is_scikit_learns_and_leads_with_the_best_columns():
    from sklearn.datasets import load_diabetes

    table = load_table("diabetes")
    bunch = load_diabetes()
    assert table.values.shape == (442, 11) and set(table.names) == {*bunch.feature_names, "target"}
    np.testing.assert_array_equal(table.select(["age", "target"]).T, [bunch.data[:, 0], bunch.target])
    strength = [abs(np.corrcoef(column, bunch.target)[0, 1]) for column in table.values[:, :-1].T]
    assert strength == sorted(strength, reverse=True)
    assert choose_columns(table) == choose_columns(table, d=2) == Columns(("bmi", "s5"), ("target",))


def _table(*names, rows=6):
    return DataTable("shelf.csv", names, np.arange(rows * len(names), dtype=float).reshape(rows, -1))


def test_prompts_hold_the_rows_they_name_and_scale_back_to_the_table():
    table = load_table("diabetes")
    problem = Problem(d=2, d_out=1, n=8, B_x=1.5, B_y=0.5)
    real = prompts_from_table(problem, table, count=20, generator=_generator(7))
    assert real.rows.shape == (20, 9) and real.prompt.w.abs().max() == 0
    assert all(len(set(rows.tolist())) == 9 for rows in real.rows)  # without replacement
    assert len({tuple(rows.tolist()) for rows in real.rows}) == 20
    x, y = table.select(["bmi", "s5"]), table.select(["target"])
    assert real.x_scaling.names == ("bmi", "s5") and real.y_scaling.names == ("target",)
    np.testing.assert_allclose(real.x_scaling.undo(real.prompt.x.numpy()), x[real.rows[:, :-1]], atol=1e-12)
    np.testing.assert_allclose(
        real.x_scaling.undo(real.prompt.query.numpy()), x[real.rows[:, -1]], atol=1e-12
    )
    np.testing.assert_allclose(real.y_scaling.undo(real.prompt.y.numpy()), y[real.rows[:, :-1]], rtol=1e-12)
    # All rows obey, drawn or not, and the scaling does not depend on the draw.
    assert np.linalg.norm(real.x_scaling.apply(x), axis=1).max() <= 1.5
    assert np.abs(real.y_scaling.apply(y)).max() <= 0.5


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_named_columns_and_every_loss(loss, dtype):
    table = load_table("diabetes")
    problem = Problem(d=3, d_out=2, n=5, loss=LOSSES[loss], B_y=0.9)
    real = prompts_from_table(
        problem,
        table,
        ["age", "sex", "bp"],
        ["target", "s1"],
        count=50,
        generator=_generator(),
        weights="random",
        dtype=dtype,
    )
    prompt = real.prompt
    assert prompt.x.dtype == prompt.w.dtype == dtype and prompt.w.abs().max() > 0
    for part, radius in ((prompt.x, 1.0), (prompt.query, 1.0), (prompt.y, 0.9)):
        assert torch.linalg.vector_norm(part.double(), dim=-1).max() <= radius
    assert loss != "logistic" or prompt.y.min() >= 0


def test_numbers_too_large_to_centre_never_become_prompts():
    values = np.array([[1.7e308, 1, 1], [1.7e308, 2, 2], [-1.7e308, 3, 3]])
    with (
        np.errstate(all="ignore"),
        pytest.raises(DataError, match="of column 'a' are too large to be scaled"),
    ):
        prompts_from_table(
            Problem(d_out=1, n=2),
            DataTable("shelf.csv", ("a", "b", "y"), values),
            count=1,
            generator=_generator(),
        )


def test_the_same_seed_draws_the_same_rows():
    table, problem = load_table("diabetes"), Problem(d_out=1)
    first, again, other = (
        prompts_from_table(problem, table, count=3, generator=_generator(seed)).rows for seed in (1, 1, 2)
    )
    assert first.equal(again) and not first.equal(other)


def test_too_few_rows_and_no_prompts():
    problem = Problem(d_out=1, n=6)
    with pytest.raises(DataError, match=r"shelf\.csv has 6 rows, and n = 6 examples and a query need 7"):
        prompts_from_table(problem, _table("a", "b", "y"), count=1, generator=_generator())
    assert prompts_from_table(problem, _table("a", "b", "y", rows=7), count=1, generator=_generator())
    with pytest.raises(DataError, match="prompts = 0: at least one prompt is needed"):
        prompts_from_table(problem, _table("a", "b", "y", rows=7), count=0, generator=_generator())


def test_columns_must_fit_the_problem():
    with pytest.raises(DataError, match="d_out = 2 needs 2 target columns"):
        prompts_from_table(Problem(d_out=2), load_table("diabetes"), count=1, generator=_generator())
    with pytest.raises(DataError, match="d = 2 but 1 input columns are named"):
        prompts_from_table(Problem(d_out=1), load_table("diabetes"), ["bmi"], count=1, generator=_generator())


def test_a_constant_column_scales_to_zero():
    values = np.column_stack([np.full(9, 0.1), np.arange(9.0), np.full(9, 3.0)])
    table = DataTable("shelf.csv", ("c", "a", "y"), values)
    for loss in LOSSES.values():
        real = prompts_from_table(Problem(d_out=1, n=4, loss=loss), table, count=2, generator=_generator())
        assert not real.prompt.x[..., 0].any() and real.prompt.x[..., 1].any() and not real.prompt.y.any()
        np.testing.assert_allclose(real.y_scaling.undo(real.prompt.y.numpy()), 3.0)
