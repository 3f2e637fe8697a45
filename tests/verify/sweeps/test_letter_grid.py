"""Grids: what each word means, and one sentence for every impossible one."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps.letter_grid import LetterGrid

KINDS = {"N": int, "K": int, "eps": float, "eta": float, "activation": str}

MEANT = {
    "N=2,3,4 eps=1e-1:1e-3:3 K=4": [
        {"N": N, "eps": e, "K": 4} for N in (2, 3, 4) for e in (0.1, 0.01, 0.001)
    ],
    "N=2:4": [{"N": 2}, {"N": 3}, {"N": 4}],
    "N=4:2,9": [{"N": 4}, {"N": 3}, {"N": 2}, {"N": 9}],
    "N=1:100:3": [{"N": 1}, {"N": 50}, {"N": 100}],
    "N=1:100:3:log": [{"N": 1}, {"N": 10}, {"N": 100}],
    "eps=1:2:3": [{"eps": 1.0}, {"eps": 1.5}, {"eps": 2.0}],  # less than a decade: even
    "eps=1:100:3:even": [{"eps": 1.0}, {"eps": 50.5}, {"eps": 100.0}],
    "eps=0.1:0.001:2": [{"eps": 0.1}, {"eps": 0.001}],
    "N=1e2": [{"N": 100}],
    "activation=tanh,Max(t,0),'t / (1 + t**2)'": [
        {"activation": one} for one in ("tanh", "Max(t,0)", "t / (1 + t**2)")
    ],
}

IMPOSSIBLE = {
    "": "at least one letter is needed",
    "N": "a letter, = and its values are needed",
    "N=": "a letter, = and its values are needed",
    "M=1": "there is no such letter; a grid may have N, K",
    "N=1 N=2": "it is there twice",
    "N=1,1": "it has 1 more than once",
    "N=1.5": "a whole number is needed",
    "eps=nan": "a finite number is needed",
    "eps=1,,2": "a value is missing beside a comma",
    "eps=1:2": "a count of at least 2 are needed",
    "eps=1:1:3": "two different ends",
    "eps=0:1:3:log": "logarithmic spacing needs positive ends",
    "N=1:3:9": "there are no 9 different values",
    "N=1:100001": "more than 100,000 values",
    "N=1:1000 K=1:1000": "it has 1,000,000 problems, and at most 100,000",
    "eps='1": "a quotation mark is not closed",
}


def test_every_word_means_what_the_page_says():
    for text, points in MEANT.items():
        grid = LetterGrid.parse(text, KINDS)
        assert list(grid) == points and len(grid) == len(points), text
        kinds = {type(value) for point in grid for name, value in point.items() if name in "NK"}
        assert kinds <= {int}


def test_impossible_grids_are_one_sentence_each():
    for text, said in IMPOSSIBLE.items():
        with pytest.raises(ProblemError) as found:
            LetterGrid.parse(text, KINDS)
        assert said in str(found.value) and "\n" not in str(found.value), text


def test_the_spacing_is_said():
    said = str(LetterGrid.parse("N=2,3 eps=1e-1:1e-5:9", KINDS))
    assert said == "N = 2, 3; eps = 9 values from 0.1 to 1e-05, logarithmic spacing"
    assert "even spacing" in str(LetterGrid.parse("eps=1:2:5", KINDS))


@given(st.integers(-8, 3), st.integers(1, 6), st.integers(2, 40))
def test_a_range_of_decades_has_equal_ratios(low, decades, count):
    grid = LetterGrid.parse(f"eps=1e{low}:1e{low + decades}:{count}", KINDS)
    values = [point["eps"] for point in grid]
    assert values[0] == float(f"1e{low}") and values[-1] == float(f"1e{low + decades}")
    steps = [math.log10(b / a) for a, b in pairwise(values)]
    assert steps == pytest.approx([decades / (count - 1)] * (count - 1), abs=1e-5)
    assert all(float(f"{value:.6g}") == value for value in values)
