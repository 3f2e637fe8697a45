"""Keys and commands are printed in full, however narrow the terminal is, so that they can be copied."""

import io

import pytest
from rich.console import Console

from icgd.reports.command.terminal import show_grid
from icgd.verify.results import Grid

KEYS = ("2411.16549/accumulation-vacuous", "2410.11268/one-step-for-gaussian-data", "short")
TEXT = "A sentence of the ledger, which is long enough to need a paragraph of its own. " * 2
FINDINGS = Grid(
    "Findings",
    ("key", "outcome", "bearing", "finding"),
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


def test_a_wide_terminal_shows_findings_as_a_table():
    assert any("│" in line for line in printed(FINDINGS, 200))
    assert not any("│" in line for line in printed(FINDINGS, 80))


def test_numbers_of_a_table_are_folded_and_not_cut():
    names = tuple(f"column {k}" for k in range(8))
    lines = printed(Grid("Wide", names, ((2.25143475, *["0.123456789012"] * 7),), "made so"), 60)
    cells = [line.split("│")[1:-1] for line in lines if "│" in line]
    assert ["".join(piece.strip() for piece in column) for column in zip(*cells, strict=True)] == [
        "2.25143",
        *["0.123456789012"] * 7,
    ]


def test_an_empty_table_is_printed():
    assert any("Findings" in line for line in printed(Grid("Findings", FINDINGS.columns, (), "none"), 80))
