"""What separates the cells of a text file, found so that quotation marks are respected."""

from __future__ import annotations

import csv
import re
from collections import Counter
from itertools import islice

BLANKS = " "
"""The separator of files whose cells stand between blanks, however many."""

_IN_ORDER = ("\t", ";", "|", ",", BLANKS)
"""Rarer in text first: a German file has a comma in every number, an English one no semicolon."""

_RECORDS = 200


def find_separator(text: str) -> str:
    """The separator of a table.

    The first of the usual ones by which every row has the same number of cells; else the one by which most
    rows have the same number.  A header may have one name fewer, as R writes it.
    """
    sample = text[: 1 << 18]
    best, most = ",", 0.0
    for sep in _IN_ORDER:
        widths = _widths(single_blanks(sample) if sep == BLANKS else sample, sep)
        if not widths:
            continue
        usual, count = Counter(widths).most_common(1)[0]
        if usual == 1 and max(widths) == 1:
            continue
        if all(width == usual for width in widths[1:]) and widths[0] in (usual, usual - 1) and usual > 1:
            return sep
        share = count / len(widths) * (usual > 1)
        if share > most:
            best, most = sep, share
    return best


def _widths(sample: str, sep: str) -> list[int]:
    reader = csv.reader(sample.splitlines(keepends=True), delimiter=sep, skipinitialspace=True)
    try:
        widths = [len(cells) for cells in islice(reader, _RECORDS) if any(cell.strip() for cell in cells)]
    except csv.Error:
        return []
    # The sample may end within a row.
    return widths[:-1] if len(sample) >= 1 << 18 and 1 < len(widths) < _RECORDS else widths


def single_blanks(text: str) -> str:
    """The text with one blank between cells and none around a line; quoted cells stay as they are."""
    if '"' in text:
        text = re.sub(r'("(?:[^"]|"")*")|[ \t]+', lambda found: found[1] or " ", text)
    else:
        text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r"(?m)^ | $", "", text)
