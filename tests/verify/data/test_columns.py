"""Columns by name or by default: sizes are derived, and an impossible choice says why."""

import re

import numpy as np
import pytest

from icgd.verify.data.columns import Columns, choose_columns
from icgd.verify.data.table import DataError, DataTable


def _table(*names, rows=6):
    return DataTable("shelf.csv", names, np.arange(rows * len(names), dtype=float).reshape(rows, -1))


CHOICES = [
    ({}, (("a", "b"), ("y",))),
    ({"d": 1}, (("a",), ("y",))),
    ({"d": 3, "d_out": 1}, (("a", "b", "c"), ("y",))),
    ({"d_out": 0}, (("a", "b"), ("y",))),
    ({"inputs": ["c"]}, (("c",), ("y",))),
    ({"targets": ["b"]}, (("a", "c"), ("b",))),
    ({"targets": ["y", "a"], "d_out": 2, "d": 1}, (("b",), ("y", "a"))),
    ({"inputs": ["c", "a"], "targets": ["y"], "d": 2, "d_out": 1}, (("c", "a"), ("y",))),
]


def test_columns_default_sensibly_and_sizes_are_derived():
    for choice, expected in CHOICES:
        columns = choose_columns(_table("a", "b", "c", "y"), **choice)
        assert columns == Columns(*expected), choice
        assert (columns.d, columns.d_out) == tuple(map(len, expected))


def test_a_column_called_target_is_the_target_wherever_it_stands():
    assert choose_columns(_table("target", "a", "b")) == Columns(("a", "b"), ("target",))
    assert choose_columns(_table("a", "y")) == Columns(("a",), ("y",))  # fewer inputs than the default d


REFUSED = [
    ({"inputs": ["q"]}, "shelf.csv has no column 'q'; it has a, b, y"),
    ({"targets": ["z"]}, "shelf.csv has no column 'z'; it has a, b, y"),
    ({"d_out": 2}, "d_out = 2 needs 2 target columns, and by default there is only 'y'; name 2 targets"),
    ({"d": 3}, "d = 3 needs 3 input columns, and shelf.csv has 2 with a name and numbers besides y"),
    (
        {"inputs": ["a"], "d": 2},
        "d = 2 but 1 input columns are named (a); leave d out or make them agree",
    ),
    ({"targets": ["y"], "d_out": 2}, "d_out = 2 but 1 target columns are named (y)"),
    ({"targets": ["y", "b"], "d_out": 1}, "d_out = 1 but 2 target columns are named (y, b)"),
    (
        {"inputs": ["a", "y"]},
        "column 'y' is chosen 2 times as input and as target; inputs and targets must all differ",
    ),
    ({"inputs": ["a", "a"]}, "column 'a' is chosen 2 times"),
    ({"inputs": []}, "at least one input column is needed"),
    ({"targets": []}, "at least one target column is needed"),
]


def test_an_impossible_choice_says_why():
    for choice, message in REFUSED:
        with pytest.raises(DataError, match=re.escape(message)):
            choose_columns(_table("a", "b", "y"), **choice)


def test_what_nobody_named_is_said_and_names_may_hold_commas():
    mixed = DataTable("shelf.csv", ("", "name", "a, b", "a", "b", "y", "y"), np.ones((4, 7)))
    mixed.values[:, 1] = np.nan  # as a column of words
    found = choose_columns(mixed)
    assert found == Columns(("a, b", "a"), ("b",))
    assert found.said == (
        "no targets were named: 'b' was taken",
        "no inputs were named: 'a, b', 'a' were taken, the first 2 of 2 columns with numbers that are no "
        "target; passed over, without a name of their own or any number: number 1, 'name'",
    )
    assert choose_columns(mixed, "a, b", ["a"]).inputs == ("a, b",)
    assert choose_columns(mixed, ["a, b", "b"], "a").inputs == ("a, b", "b")
    plain = choose_columns(_table("a", "b", "y"), "a, b", "y")
    assert (plain.inputs, plain.said) == (("a", "b"), ())
    with pytest.raises(DataError, match=r"2 columns are called 'y' \(number 6 and 7\), and one of"):
        choose_columns(mixed, "a", "y")
    with pytest.raises(DataError, match="did you mean 'spending'"):
        choose_columns(_table("a", "spending"), "a", "spendings")
    with pytest.raises(DataError, match="a column with a comma in an option of its own, as 'a, c'"):
        choose_columns(_table("a, c", "y"), "c", "y")


def test_a_table_of_one_column_has_no_inputs():
    with pytest.raises(
        DataError,
        match=r"d = 1 needs 1 input columns, and shelf\.csv has 0 with a name and numbers besides y",
    ):
        choose_columns(_table("y"))
