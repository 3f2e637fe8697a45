"""Every number has one name, and is printed the same everywhere; upper bounds are never printed too low."""

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icgd.reports.document.document import step_error_document
from icgd.reports.document.numbers import digits, grouped, quantities
from icgd.verify.results import Sandwich

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_html.json").read_text())
SIZES = st.floats(min_value=1e-290, max_value=1e290)
FLOATS = st.just(0.0) | SIZES | SIZES.map(lambda size: -size)


@given(FLOATS)
def test_four_digits_are_the_nearest(value):
    assert abs(Fraction(digits(value)) - Fraction(value)) <= fourth_digit(value) / 2


@given(FLOATS)
@example(2.0000000020000006)
@example(-0.9999999999)
def test_an_upper_bound_is_not_printed_below_itself(value):
    printed, exact = Fraction(digits(value, up=True)), Fraction(value)
    # A bound that is short in decimals stays short: its float may be a share of 2^-50 above it, and rounds.
    assert exact - abs(exact) / 2**49 <= printed < exact + fourth_digit(value)
    if abs(Fraction(digits(value)) - exact) < abs(exact) / 10**8:
        assert printed < exact + abs(exact) / 10**8
    assert Fraction(digits(-value, down=True)) == -printed


def fourth_digit(value):
    """What one more in the fourth digit is worth."""
    return Fraction(10) ** (Decimal(value).adjusted() - 3)


@given(st.integers())
def test_whole_numbers_are_printed_in_full(value):
    assert int(digits(value)) == value == int(grouped(value).replace(",", ""))


@given(FLOATS)
def test_groups_are_all_that_a_person_reads_beside_the_digits(value):
    for up, down in ((False, False), (True, False), (False, True)):
        assert grouped(value, up=up, down=down).replace(",", "") == digits(value, up=up, down=down)


@pytest.mark.parametrize(
    ("value", "up", "shown"),
    [(1062.7658, False, "1,063"), (-9999.4, False, "-9,999"), (999.4, False, "999.4"),
     (1048576.0, False, "1.049e6"),
     (4353.01, True, "4,354"), (12340.0001, True, "12,340.0001"),
     (1e22, False, "1e22"), (math.inf, True, "inf"), (-12345, False, "-12,345")],
)  # fmt: skip
def test_whole_floats_are_grouped_as_whole_numbers_are(value, up, shown):
    assert grouped(value, up=up) == shown


def test_names_are_macros_and_each_is_used_once():
    found = quantities(DOCUMENT)
    assert len(found) > 50
    assert all(one.macro.isascii() and one.macro.isalpha() and one.macro.startswith("icgd") for one in found)
    assert {"icgdHeads", "icgdLettern", "icgdLetterN", "icgdErrorCertified"} <= {one.macro for one in found}


def test_values_are_those_of_the_document():
    by_name = {one.macro: one for one in quantities(DOCUMENT)}
    first = DOCUMENT["theorems"]["relu-icgd/lean"]
    assert by_name["icgdHeads"].value == first["census"]["heads"]
    assert by_name["icgdErrorCertified"].value == first["step_error"]["certified"]
    assert by_name["icgdErrorCertified"].up and not by_name["icgdErrorSampled"].up
    assert by_name["icgdBoundHeads"].value == first["bounds"]["relu-icgd/heads"]["value"]


def test_only_what_a_checker_accepted_has_the_name_certified():
    values = {one.macro: one.value for one in quantities(DOCUMENT)}
    assert values["icgdErrorCertified"] == values["icgdErrorBound"]
    assert values["icgdPlanCertified"] == values["icgdPlanBound"]
    bare = Sandwich(sampled=0.1, attacked=0.2, bound=0.4, allowed=0.5)
    for checked in (False, True):
        part = {"problem": {}, "bounds": {}, "certificate": {"accepted": checked}}
        for written in (checked, True):
            part["step_error"] = step_error_document(bare, checked=written)
            found = {one.macro: one for one in quantities({"theorems": {"relu-icgd/lean": part}})}
            assert found["icgdErrorBound"].value == 0.4 and found["icgdErrorBound"].up
            assert ("icgdErrorCertified" in found) == checked


def test_every_constant_of_every_bound_has_a_name():
    named = {(one.place.split()[0], one.value) for one in quantities(DOCUMENT)}
    parts = DOCUMENT["theorems"]
    firsts = {key: name for name, part in reversed(parts.items()) for key in part["bounds"]}
    for name, part in parts.items():
        for key, claim in part["bounds"].items():
            for symbol, constant in claim["constants"].items():
                assert firsts[key] != name or (name, constant["value"]) in named, (key, symbol)


def test_constants_of_like_names_have_names_of_their_own():
    given = {
        "c": 1.5,
        "C": 2.5,
        "A_{r'}": 3.5,
        "A_{r}": 4.5,
        "epsilon_*": 5.5,
        "λ": 6.5,
        "μ": 7.5,
        "eps": 0.1,
    }
    claim = {"value": 9, "relation": "<=", "constants": {name: {"value": v} for name, v in given.items()}}
    claim["constants"]["k"] = {"value": 9}  # the bound itself, which has a name
    other = {**claim, "value": 8, "constants": {"c": {"value": 0.5}}}
    part = {"problem": {"eps": 0.1}, "bounds": {"demo/one": claim, "demo/two": other}}
    found = {one.macro.removeprefix("icgdDemoConstant"): one.value for one in _constants_of(part)}
    assert found == {
        **{"cInDemoOne": 1.5, "cInDemoTwo": 0.5, "C": 2.5, "ARPrime": 3.5, "AR": 4.5},
        **{"epsilonStar": 5.5, "": 6.5, "Two": 7.5},
    }
    again = quantities({"theorems": {"demo": part, "demo/second": part}})
    assert sum(" constants " in one.place for one in again) == len(found)  # a bound is shown once


def _constants_of(part):
    return [one for one in quantities({"theorems": {"demo": part}}) if " constants " in one.place]


def test_two_numbers_of_one_name_are_refused():
    twice = {"problem": {}, "census": {"a b": 1, "a-b": 2}, "bounds": {}}
    with pytest.raises(ValueError, match="icgdDemoAB"):
        quantities({"theorems": {"demo": twice}})
