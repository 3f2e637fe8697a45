"""What is said about a table that was used: nothing is chosen, changed or doubtful in silence."""

import numpy as np
import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.verify.data.real_prompts import prompts_from_table, regressions_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataTable


def usual(rows=60, seed=0):
    """Two inputs and a target without anything odd about them."""
    return np.random.default_rng(seed).normal(size=(rows, 3))


def warned(values, names=("a", "b", "y"), n=5, **also):
    table = DataTable("shelf.csv", names, values, **also)
    generator = torch.Generator().manual_seed(0)
    return regressions_from_table(table, ["a", "b"], "y", d=2, n=n, count=2, generator=generator).use


def test_ordinary_rows_are_used_without_a_warning():
    use = warned(usual())
    assert use.warnings == () and use.chosen == ()
    assert (use.rows, use.dropped, use.used, use.prompts, use.examples) == (60, 0, 60, 2, 5)
    assert use.said == ("60 rows, inputs 'a', 'b', target 'y'; a table in memory",)
    for seed in range(40):  # heavy tails are not outliers: one lognormal in a hundred may be large
        values = np.exp(usual(200, seed))
        assert warned(values).warnings == (), seed


def changed(**columns):
    values = usual()
    for name, column in columns.items():
        values[:, "aby".index(name)] = column(values)
    return values


def one_of(position, value):
    return lambda values: np.where(np.arange(len(values)) == 7, value, values[:, position])


DOUBTS = [
    (changed(a=lambda v: 0 * v[:, 0] + 3), "constant columns, which become 0 in every prompt: 1 ('a')"),
    (changed(a=lambda v: 0 * v[:, 0] + 3, y=lambda v: 0 * v[:, 0]), "become 0 in every prompt: 2 ('a', 'y')"),
    (changed(y=lambda v: v[:, 0]), "the target 'y' is the input 'a' times a number plus a number, in all 60"),
    (changed(y=lambda v: 32 - 1.8 * v[:, 1]), "the target 'y' is the input 'b' times a number plus a number"),
    (
        changed(a=one_of(0, 1e6)),
        "column 'a': values far from all others, which scaling puts close together: 1 (",
    ),
    (changed(a=one_of(0, 1e6)), "as the nearest 59; the farthest is 1e+06 in row 8)"),
    (changed(y=one_of(2, -5000)), "column 'y': values far from all others"),
    (
        changed(b=one_of(1, -999)),
        "column 'b': -999, far from all others, in 1 rows; if it means a missing value,",
    ),
    (usual(11), "11 rows for prompts of 6: any two prompts share rows and are not independent"),
]


def test_each_doubt_is_told_with_its_count():
    for values, message in DOUBTS:
        told = warned(values).warnings
        assert any(message in one for one in told), (message, told)
        # Nothing else is said, but that a stand-in for a missing value is also an outlier.
        assert len(told) == 1 or "-999" in message, told


def test_rows_without_a_value_are_counted_and_the_scaling_is_that_of_the_others(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{k},{k * k % 17},{k % 5 + k / 50}" for k in range(50)]
    lines[3], lines[9], lines[20] = "3,,1", "NA,4,2", "20,2,"
    path.write_text("a,b,y\n" + "\n".join(lines), encoding="utf-8")
    table = load_table(str(path), "dropna")
    generator = torch.Generator().manual_seed(0)
    real = prompts_from_table(Problem(n=8, d_out=1), table, ["a", "b"], "y", count=30, generator=generator)
    kept = [k for k in range(50) if k not in (3, 9, 20)]
    assert (real.use.rows, real.use.dropped, real.use.used) == (50, 3, 47)
    assert (
        set(real.rows.unique().tolist()) <= set(kept) and "3 of 50 left out for a missing" in real.use.said[0]
    )
    first = next(one for one in real.use.columns if one.name == "a")
    assert first.centre == pytest.approx(np.mean(kept)) and (first.smallest, first.largest) == (0, 49)
    assert first.factor == pytest.approx(1 / first.unit)
    undone = real.x_scaling.undo(real.prompt.x.numpy())[..., 0]
    np.testing.assert_allclose(undone, real.rows[:, :-1], atol=1e-12)  # the column counts the rows
    # A column that nobody chose may lack values.
    few = prompts_from_table(Problem(d=1, n=8, d_out=1), table, ["a"], "b", count=1, generator=generator)
    assert few.use.dropped == 2


def test_units_and_the_order_of_rows_change_no_warning():
    rng = np.random.default_rng(1)
    for factor, shift in ((0.01, 0), (100, -1e6), (0.01, 1e6), (-3, 7)):
        for values, message in (DOUBTS[3], DOUBTS[4], (usual(), None)):
            told = warned(rng.permutation(values * factor + shift)).warnings
            assert len(told) == (message is not None), (factor, shift, message, told)
