"""Tables that fit in half a line of the PDF stand in a column, and none is lost."""

import copy
import json
import re
from pathlib import Path

import pytest

from icgd.reports.latex.macros import number
from icgd.reports.latex.source import write_source
from icgd.reports.latex.tables import prepared_table
from icgd.reports.mathematics.notation import escape
from icgd.verify.ledger.entries import BEARINGS

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())


@pytest.mark.parametrize(("cell", "narrow"), [("a word", True), ("several words " * 4, False)])
def test_a_table_is_narrow_if_its_cells_fit_and_loses_no_row(cell, narrow, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    rows = [[cell, 10**6 + k, 1e-12 * k, cell] for k in range(1, 8)]
    document["theorems"]["looped"]["grids"] = [
        {"title": "Seven", "note": "", "columns": ["long heading of it", "n", "error", "why"], "rows": rows}
    ]
    text = write_source(document, (), tmp_path).read_text()
    assert (r"\captionof{table}{Seven." in text) == narrow
    assert (r"\caption{Seven.}" in text) != narrow
    # A column of numbers ends at the right; a text that no line holds is broken.
    rows[0][0] = "many words " * 20
    text = write_source(document, (), tmp_path / "long").read_text()
    assert re.search(
        r"begin\{longtable\}\{@\{\}>\{\\icgdragged\}p\{[^}]*\}>\{\\raggedleft\\arraybackslash\}p", text
    )
    rows[0][0] = cell
    for _, whole, small, _ in rows:
        assert text.count(f"{number(whole)} & {number(small)} &") == 1


@pytest.mark.parametrize(("columns", "fits"), [(4, True), (7, False)])
def test_intervals_get_a_line_of_their_own_in_a_table_that_is_too_wide(columns, fits):
    row = ["softmax transformer", *["-20.012 (-20.71, -19.38)"] * (columns - 1)]
    names = ["predictor", *(f"share {k}" for k in range(1, columns))]
    table = prepared_table({"title": "R", "note": "", "columns": names, "rows": [row]})
    assert (table.widths is None) == fits
    assert (r"20.012 (" in table.rows[0][1]) == fits
    assert (r"20.012 \linebreak (" in table.rows[0][1]) != fits
    assert table.rows[0][0] == "softmax transformer"
    if (
        table.widths is not None
    ):  # the names are not broken, although they are longer than a line of an interval
        assert float(table.widths[0]) > float(table.widths[1])


def test_the_rest_of_the_line_goes_to_the_texts_that_lack_it():
    rows = [[f"model {k}", 0.25, "a", "words of a sentence " * 6] for k in range(9)]
    columns = ["model", "error", "letter", "nearest of all"]
    table = prepared_table({"title": "T", "note": "", "columns": columns, "rows": rows})
    shares = [float(width) for width in table.widths or ()]
    assert shares[-1] > 0.7 and sum(shares) == pytest.approx(1, abs=0.005) and sum(shares) <= 1


def test_indices_above_one_another_do_not_touch_the_row_above(tmp_path):
    rows = [["E_s^r", 1319.0, "coefficient of eps_r"], ["E_r", 14.0, "coefficient of eps_r"]]
    columns = ["constant", "as printed", "what it is, and where"]
    table = prepared_table({"title": "T", "note": "", "columns": columns, "rows": rows})
    assert [[r"\icgdtall" in cell for cell in row] for row in table.rows] == [
        [True, False, False],
        [False] * 3,
    ]
    document = copy.deepcopy(DOCUMENT)
    constants = document["theorems"]["looped"]["bounds"]["looped/contraction"]["constants"]
    constants["E_s^{r'}"] = {"value": 112.5, "meaning": "coefficient"}
    text = write_source(document, (), tmp_path).read_text()
    assert r"$E_{s}^{r'}\icgdtall$" in text and text.count(r"\icgdtall") == 1


@pytest.mark.parametrize(
    ("expression", "value", "relation"),
    [
        ("1/10000000000", 1e-10, ""),
        ("1/8", 0.12500000000000003, ""),
        ("1/3", 1 / 3, r"\approx"),
        ("1/8 + 1/8", 0.25, "="),
    ],
)
def test_a_formula_that_is_a_number_is_printed_once(expression, value, relation, tmp_path):
    document = copy.deepcopy(DOCUMENT)
    bound = document["theorems"]["looped"]["bounds"]["looped/steps"]
    bound |= {"expression": expression, "value": value}
    document["theorems"]["looped"]["bounds"] = {"looped/steps": bound}
    text = write_source(document, (), tmp_path).read_text()
    printed = text.partition(rf"\textbf{{{bound['title']}}}")[2].partition(r"\begin{multicols}")[0]
    assert (r"\icgdLoopedBoundSteps{}" in printed) == bool(relation)
    assert not relation or rf"{relation} \icgdLoopedBoundSteps{{}}" in printed
    assert (r"10^{-10}$." in printed) == (value < 1e-9)


def test_the_labels_of_findings_are_explained_where_they_stand_and_no_others(written):
    report = (written / "report.tex").read_text()
    section = report.partition(r"\label{sec:findings}")[2].partition("itemize")[0]
    used = {one["bearing"] for one in DOCUMENT["findings"]}
    assert {name for name, words in BEARINGS.items() if escape(words) in section} == used != set(BEARINGS)
