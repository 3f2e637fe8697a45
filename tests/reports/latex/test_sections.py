"""Tables that fit in half a line of the PDF stand in a column, and none is lost."""

import copy
import json
import re
from pathlib import Path

import pytest

from icgd.reports.latex.macros import number
from icgd.reports.latex.source import write_source

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
