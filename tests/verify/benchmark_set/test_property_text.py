"""Properties are VNN-LIB 2.0 as its own parser reads it, and mean what they should."""

import numpy as np
import pytest
import vnnlib
from flint import arb

from icgd.bounds.letters import ProblemError
from icgd.verify.benchmark_set.property_text import (
    beyond_ball,
    beyond_box,
    decimal_text,
    property_text,
    read_property,
)

BOX = property_text("float64", [("-0.5", "0.1"), ("0.0", "1.0")], 2, beyond_box(2, "0.25"), ["why"])
BALL = property_text("real", [("-1.0", "1.0")], 2, beyond_ball(2, "0.01"), [], "(<= (* X[0,0] X[0,0]) 0.5)")


def read(tmp_path, text):
    (tmp_path / "p.vnnlib").write_text(text, encoding="utf-8")
    return read_property(tmp_path / "p.vnnlib")


def as_text(claim):
    """A claim with the spaces of the parser of the standard."""
    if isinstance(claim, str):
        return claim.replace("[", " [").replace(",", ", ")
    return f"({claim[0]} {' '.join(map(as_text, claim[1:]))})"


def test_the_parser_of_the_standard_reads_the_same(tmp_path):
    for text in (BOX, BALL):
        parsed, ours = vnnlib.parse_query_string(text), read(tmp_path, text)
        assert [str(one).strip() for one in parsed.assertions] == [
            f"(assert {as_text(c)})" for c in ours.claims
        ]
        (network,) = parsed.networks
        assert [tuple(one.shape) for one in (*network.inputs, *network.outputs)] == [
            ours.given.shape,
            ours.found.shape,
        ]
        assert len(ours.domain) == len(ours.claims) - 1


def test_what_properties_say_of_numbers(tmp_path):
    box, ball = read(tmp_path, BOX), read(tmp_path, BALL)

    def holds(about, x, e):
        return about.holds(about.claims, {"X": np.array([x]), "E": np.array([e], dtype=object)})

    assert holds(box, (0.1, 0.5), (0.0, 0.25)) is True
    assert holds(box, (0.1, 0.5), (0.0, -0.25)) is True
    assert holds(box, (0.1, 0.5), (0.2, -0.2)) is False
    assert holds(box, (0.1000001, 0.5), (0.0, 0.3)) is False
    assert holds(box, (0.1, 0.5), (0.0, arb(0.25, 1e-9))) is None
    assert holds(box, (0.2, 0.5), (0.0, arb(0.25, 1e-9))) is False
    assert holds(ball, (0.7,), (0.0, 0.1)) is True  # 0.1 is above 1/10 in float64
    assert holds(ball, (0.71,), (0.0, 0.2)) is False
    claim = "(assert (>= (- E[0,0] E[0,1] 0.5) (- 0.25)))"
    minus = read(tmp_path, BOX[: BOX.rindex("(assert")] + claim)
    assert holds(minus, (0.1, 0.5), (0.5, 0.25)) is True and holds(minus, (0.1, 0.5), (0.5, 0.251)) is False
    # A number is the nearest float64, or itself: 0.1 is above 1/10.
    tenth = "(vnnlib-version <2.0>)(declare-network n (declare-input X {0} [1])(declare-output E {0} [1]))"
    tenth += "(assert (<= X[0] 0.1))"
    for kind, wanted in (("float64", True), ("real", False)):
        about = read(tmp_path, tenth.format(kind))
        assert about.holds(about.claims, {"X": np.array([0.1])}) is wanted


@pytest.mark.parametrize(
    "change",
    [
        ("<2.0>", "<1.0>"),
        ("E[0,0]", "E[0,2]"),
        ("E[0,0]", "Z[0,0]"),
        ("E[0,0]", "E[0]"),
        ("(or", "(xor"),
        ("0.25))", "0.25 0.5))"),
        ("E float64", "E real"),
        ("float64", "int8"),
        ("(assert (or", "(assert or"),
        ("-0.25", "1e-3"),
        ("-0.25", "-\u0661"),
        ("why\n", 'why\n")" ('),
        ("declare-output", "declare-input"),
    ],
)
def test_other_properties_are_refused(change, tmp_path):
    with pytest.raises(ProblemError, match=r"instance = .*: it is not a property that is read here"):
        read(tmp_path, BOX.replace(*change))


def test_decimals_are_exact_and_without_exponents():
    for value in (1e-12, 0.1, 123456789.125, 2.0**-40, 5e-7):
        assert "e" not in decimal_text(value) and float(decimal_text(value)) == value
