"""Keys and commands are printed in full, however narrow the terminal is, so that they can be copied."""

import io
import re
from dataclasses import replace

import pytest
import sympy
from rich.console import Console

from icgd import cli
from icgd.bounds.claims import Claim
from icgd.bounds.hypotheses import Hypothesis
from icgd.reports.command.console import Terminal
from icgd.reports.command.terminal import (
    _value,
    show_formulas,
    show_grid,
    show_hypotheses,
    show_sizes,
    show_verdicts,
)
from icgd.verify.results import Grid
from icgd.verify.verdict import Verdict

KEYS = ("2411.16549/accumulation-vacuous", "2410.11268/one-step-for-gaussian-data", "short")
TEXT = "A sentence of the ledger, which is long enough to need a paragraph of its own. " * 2
FINDINGS = Grid(
    "Findings",
    ("key", "severity", "bearing", "finding"),
    tuple((key, "confirmed", "vacuous", f"{TEXT}{key[:3]} [0, 1]") for key in KEYS),
    "computed just now",
)


def printed(grid, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_grid(console, grid)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_keys_of_findings_are_whole_and_texts_complete(width):
    lines = printed(FINDINGS, width)
    shown = " ".join(word for line in lines for word in line.split() if word != "│")
    for key in KEYS:
        assert sum(key in line.split() for line in lines) == 1, key
    assert shown.count("A sentence of the ledger,") == 2 * len(KEYS) and "…" not in shown
    assert (
        shown.count("confirmed") == shown.count("vacuous") - 1 == len(KEYS) and "computed just now" in shown
    )
    assert shown.count("[0, 1]") == len(KEYS)
    if width >= 60:
        assert max(map(len, lines)) <= width


def test_hypotheses_that_fail_stand_under_one_heading():
    kept = Hypothesis("radii", "x is bounded", "holds", "B_x = 1")
    lacking = [
        Hypothesis("start", "descent leaves 0", "fails", "r(0) = 0", "from other w"),
        Hypothesis("r-smooth", "r is C^4", "undecided", "no enclosure"),
    ]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    show_hypotheses(console, [kept])
    assert console.file.getvalue() == ""
    show_hypotheses(console, [kept, *lacking])
    told = "fails: descent leaves 0 r(0) = 0; still: from other w undecided: r is C^4 no enclosure"
    assert " ".join(console.file.getvalue().split()) == f"hypotheses not met here: {told}"


VERDICTS = [
    Verdict("relu-icgd/lean/step-error", "proved", "largest 0.003 of 0.005 [0, 1]", means="certificate"),
    Verdict(
        "convergence/accumulation-split", "held", "mu = 10.08: at most 2.747 after 5 steps", about="icgd"
    ),
    Verdict("looped/contraction", "proved on given prompts", "on 3 prompts", means="balls", about="repaired"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_keys_of_claims_are_whole_and_proofs_say_by_what(width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_verdicts(console, VERDICTS)
    text = console.file.getvalue()
    for verdict in VERDICTS:
        assert sum(verdict.claim in line for line in text.splitlines()) == 1
    rows = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    columns = [" ".join(" ".join(column).split()) for column in zip(*rows, strict=True)] or [text]
    words = " ".join([*columns, *text.split()])
    assert "proved by certificate" in words and "proved on given prompts by balls" in words
    assert "[0, 1]" in words and "…" not in text
    words = " ".join(text.split())
    assert "1 claim of the paper as stated: 1 proved by certificate" in words
    assert (
        "1 claim of the paper as repaired or made explicit here: 1 proved on given prompts by balls" in words
    )
    assert "1 claim of icgd about its own constructions and bounds: 1 held" in words
    claims = [Claim("relu-icgd/lean/least-norm-1", "icgd", "", "", (), "norm", "<=", sympy.Integer(3), {})]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_sizes(console, claims)
    assert width < 60 or claims[0].key in console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_bounds_are_printed_whole_with_a_value_for_every_constant(width):
    K, nu, C = sympy.symbols("K nu_{u} C")
    long = sum(sympy.sqrt(K + k) ** k for k in range(12)) * nu
    values = {K: (4, "width [of it]"), nu: (2.5, "least norm"), C: (3, "unused")}
    first = Claim("demo/heads", "icgd", "", "", (), "heads", "<=", long, values)
    second = Claim("demo/width", "icgd", "", "", (), "width", "==", K, {K: (5, "another width")})
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    show_formulas(console, (first, second))
    text = console.file.getvalue()
    assert (
        "{" not in first.expression
        and "".join(first.expression.split()) in "".join(text.split())
        and "..." not in text
    )
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert rows == [
        ["K", "4", "width [of it]; in demo/heads"],
        ["nu_u", "2.5", "least norm"],
        ["K", "5", "another width; in demo/width"],
    ]


def test_one_verdict_alone_is_not_counted():
    console = Console(file=io.StringIO(), width=100, color_system=None)
    show_verdicts(console, VERDICTS[:1])
    assert "checked" not in console.file.getvalue()


def test_a_wide_terminal_shows_findings_as_a_table():
    assert any("│" in line for line in printed(FINDINGS, 200))
    assert not any("│" in line for line in printed(FINDINGS, 80))


def test_a_table_is_printed_without_a_broken_number_at_any_width():
    names = tuple(f"column {k}" for k in range(8))
    wide = Grid("Wide", names, ((2.25143475, *["0.123456789012"] * 6, None),), "made so")
    for width in (60, 121, 122, 200):  # columns of 7, 6 times 14 and 6 signs, each with 3 beside it
        lines = printed(wide, width)
        assert max(map(len, lines)) <= width
        assert any("│" in line for line in lines) == (width > 121)
        assert [text for line in lines for text in re.findall(r"[0-9]\.[0-9]+", line)] == [
            "2.25143",
            *["0.123456789012"] * 6,
        ]
        assert width > 121 or not any("column 7" in line for line in lines)
    assert "│ x │ two words │" in printed(Grid("Words", ("a", "b"), (("x", "two words"),), ""), 80)


def test_sizes_are_a_line_each_and_only_the_formula_is_cut():
    keys = [f"relu-icgd/lean/{name}" for name in ("layers", "least-norm-1")]
    long = sum(sympy.sqrt(sympy.Symbol("K") + k) for k in range(12))
    claims = [Claim(key, "icgd", "", "", (), "norm", "<=", bound, {sympy.Symbol("K"): (4, "width")})
              for key, bound in zip(keys, (sympy.Integer(1219433928), long), strict=True)]  # fmt: skip
    exact = [replace(claims[0], bound=sympy.Float(13000.01), relation=sign) for sign in ("<=", "==")]
    assert [_value(one) for one in exact] == ["13,000.1", "13,000"]
    console = Terminal(file=io.StringIO(), width=80, color_system=None)
    show_sizes(console, claims, {"norm": 3}, keys)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.file.getvalue().splitlines()]
    first, second = filter(None, rows)
    assert first == [keys[0], "<= 1219433928", "1,219,433,928", "3"]
    assert second[0] == keys[1] and second[1].endswith("...") and second[3] == "3"
    assert max(map(len, console.file.getvalue().splitlines())) == 80  # no room is left unused
    assert " built ┃" in console.file.getvalue()


def test_an_empty_table_is_printed():
    assert any("Findings" in line for line in printed(Grid("Findings", FINDINGS.columns, (), "none"), 80))


def test_no_number_is_cut_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.main(["verify", "--N", "1", "--eps", "0.5", "--samples", "50", "--effort", "0"]) == cli.KEPT
    narrow = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["verify", "--N", "1", "--eps", "0.5", "--samples", "50", "--effort", "0"]) == cli.KEPT
    wide = capsys.readouterr().out
    assert "…" not in narrow and re.sub(r"[\d.]+ s$", "", narrow.strip()) == re.sub(
        r"[\d.]+ s$", "", wide.strip()
    )
