"""Tables of data: columns by name, every row within the radii, and a one-sentence refusal of bad files."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.verify.search import tables as module
from icgd.verify.search.tables import (
    Columns,
    DataError,
    DataTable,
    choose_columns,
    load_table,
    prompts_from_table,
    scale_to_ball,
    scale_to_range,
)
from tests.rounding import gamma

GOOD = "a,b,y\n1,2,3\n4,5,6\n7,8,10\n0.5,-1e3,2\n"


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def csv(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return str(path)

    return write


def test_a_good_file_is_read_as_it_stands(csv):
    table = load_table(csv(GOOD))
    assert table.names == ("a", "b", "y") and table.rows == 4 and not table.faults
    assert table.values.dtype == np.float64
    assert table.values.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 10], [0.5, -1000, 2]]


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ", "),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace("\n4", "\n\n,,\n4"),
        GOOD.replace("a,", '"a",'),
        GOOD.rstrip("\n"),
    ],
    ids=["semicolons", "tabs", "spaces", "windows", "bom", "blank lines", "quotes", "no last newline"],
)
def test_the_dialects_that_spreadsheets_write_are_read_alike(csv, text):
    table = load_table(csv(text))
    assert table.names == ("a", "b", "y")
    np.testing.assert_array_equal(table.values[:, 1], [2, 5, 8, -1000])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a header and at least one row are needed"),
        ("\n  \n", "is empty; a header and at least one row are needed"),
        ("1,2,3\n4,5,6\n", "has no header; its first row must name the columns"),
        ("a,b\n", "has a header but no rows"),
        ("a,,y\n1,2,3\n", "column 2 has no name in the header"),
        ("a,b,a\n1,2,3\n", "2 columns are called 'a'; names must differ"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells where the header has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells where the header has 2"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(csv, text, message):
    path = csv(text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_table(path)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "line 4, column 'b': the cell is empty; fix it or choose other columns"),
        ("red", "line 4, column 'b': 'red' is not a finite number; fix it or choose other columns"),
        ("nan", "line 4, column 'b': 'nan' is not a finite number"),
        ("inf", "line 4, column 'b': 'inf' is not a finite number"),
        ("1e999", "line 4, column 'b': '1e999' is not a finite number"),
        ("NA", "line 4, column 'b': 'NA' is not a finite number"),
    ],
)
def test_a_bad_cell_is_named_when_its_column_is_chosen_and_harmless_otherwise(csv, cell, message):
    table = load_table(csv(f"a,b,y\n1,2,3\n\n4,{cell},6\n7,bad too,8\n"))
    with pytest.raises(DataError, match=re.escape(message)):
        choose_columns(table, ["b"], ["y"])
    assert choose_columns(table, ["a"], ["y"]) == Columns(("a",), ("y",))
    with pytest.raises(DataError, match=re.escape(message)):
        choose_columns(table)  # the defaults would need it


def test_files_that_cannot_be_read(tmp_path, csv):
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.csv; give a CSV file or diabetes"):
        load_table(str(tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_table(str(tmp_path))
    with pytest.raises(DataError, match="cannot be read: it is not UTF-8 text"):
        load_table(csv("a,é\n1,2\n", encoding="latin-1"))


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


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, (("a", "b"), ("y",))),
        ({"d": 1}, (("a",), ("y",))),
        ({"d": 3, "d_out": 1}, (("a", "b", "c"), ("y",))),
        ({"d_out": 0}, (("a", "b"), ("y",))),
        ({"inputs": ["c"]}, (("c",), ("y",))),
        ({"targets": ["b"]}, (("a", "c"), ("b",))),
        ({"targets": ["y", "a"], "d_out": 2, "d": 1}, (("b",), ("y", "a"))),
        ({"inputs": ["c", "a"], "targets": ["y"], "d": 2, "d_out": 1}, (("c", "a"), ("y",))),
    ],
)
def test_columns_default_sensibly_and_sizes_are_derived(choice, expected):
    columns = choose_columns(_table("a", "b", "c", "y"), **choice)
    assert columns == Columns(*expected)
    assert (columns.d, columns.d_out) == tuple(map(len, expected))


def test_a_column_called_target_is_the_target_wherever_it_stands():
    assert choose_columns(_table("target", "a", "b")) == Columns(("a", "b"), ("target",))
    assert choose_columns(_table("a", "y")) == Columns(("a",), ("y",))  # fewer inputs than the default d


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"inputs": ["q"]}, "shelf.csv has no column 'q'; it has a, b, y"),
        ({"targets": ["z"]}, "shelf.csv has no column 'z'; it has a, b, y"),
        ({"d_out": 2}, "d_out = 2 needs 2 target columns, and by default there is only 'y'; name 2 targets"),
        ({"d": 3}, "d = 3 needs 3 input columns, and shelf.csv has 2 besides y"),
        (
            {"inputs": ["a"], "d": 2},
            "d = 2 but 1 input columns are named (a); leave d out or make them agree",
        ),
        ({"targets": ["y"], "d_out": 2}, "d_out = 2 but 1 target columns are named (y)"),
        ({"targets": ["y", "b"], "d_out": 1}, "d_out = 1 but 2 target columns are named (y, b)"),
        ({"inputs": ["a", "y"]}, "column 'y' is chosen 2 times; inputs and targets must all differ"),
        ({"inputs": ["a", "a"]}, "column 'a' is chosen 2 times"),
        ({"inputs": []}, "at least one input column is needed"),
        ({"targets": []}, "at least one target column is needed"),
    ],
)
def test_an_impossible_choice_says_why(choice, message):
    with pytest.raises(DataError, match=re.escape(message)):
        choose_columns(_table("a", "b", "y"), **choice)


def test_a_table_of_one_column_has_no_inputs():
    with pytest.raises(DataError, match=r"d = 1 needs 1 input columns, and shelf\.csv has 0 besides y"):
        choose_columns(_table("y"))


finite = st.floats(-1e200, 1e200, allow_subnormal=False)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(1, 3)), elements=finite)
radii = st.sampled_from([1e-3, 0.7, 1.0, 40.0])


@given(matrices, radii)
@settings(max_examples=150, deadline=None)
def test_every_row_obeys_the_ball_exactly_and_one_row_reaches_it(values, radius):
    scaling = scale_to_ball(["c"] * values.shape[1], values, radius)
    scaled = scaling.apply(values)
    largest = np.linalg.norm(scaled, axis=1).max()
    assert np.isfinite(scaled).all() and largest <= radius
    assert np.linalg.norm(scaled.astype(np.float32), axis=1).max() <= np.float32(radius)
    constant = values.max(0) == values.min(0)
    assert not scaled[:, constant].any()
    if not constant.all():
        # The norm is rounded, and everything that is divided by it.
        assert largest >= radius * module._MARGIN * (1 - float(gamma(3 * (values.shape[1] + 4))))
    assert_undone(scaling, values)


def assert_undone(scaling, values):
    """A difference, a quotient, a product and a sum of numbers of the column's size; tiny units underflow."""
    largest = np.abs(values).max(axis=0) + np.abs(scaling.centre)
    off = np.abs(scaling.undo(scaling.apply(values)) - values)
    assert (off <= float(gamma(6)) * largest + np.finfo(float).tiny).all()


def test_the_ball_scaling_is_a_z_score_over_one_number():
    values = np.random.default_rng(1).normal([5, -300], [0.01, 70], size=(50, 2))
    scaled = scale_to_ball(["a", "b"], values, radius=2.0).apply(values)
    z = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(scaled, 2 * z / np.linalg.norm(z, axis=1).max(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)


@given(matrices, radii)
@settings(max_examples=150, deadline=None)
def test_logistic_targets_fill_the_range_and_obey_the_ball(values, radius):
    scaling = scale_to_range(["c"] * values.shape[1], values, 0.0, 1.0, radius)
    scaled = scaling.apply(values)
    assert np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1
    assert np.linalg.norm(scaled, axis=1).max() <= radius
    assert_undone(scaling, values)


def test_labels_stay_labels_and_shrink_only_where_they_must():
    labels = np.array([[0.0], [1.0], [1.0]])
    assert scale_to_range(["y"], labels, 0.0, 1.0, 1.0).apply(labels).tolist() == [[0.0], [1.0], [1.0]]
    two = np.array([[2.0, 5.0], [4.0, 9.0]])
    np.testing.assert_allclose(
        scale_to_range(["y", "z"], two, 0.0, 1.0, 1.0).apply(two), [[0, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-5
    )


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
    with pytest.raises(DataError, match="count = 0: at least one prompt is needed"):
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
