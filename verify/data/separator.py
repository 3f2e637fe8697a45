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
    rows have the same number, rather one that the header has.  A header may have one name fewer, as R writes
    it, but what it has not at all is no separator.
    """
    sample = text[: 1 << 18]
    best, most = ",", (0.0, False)
    for sep in _IN_ORDER:
        widths = _widths(single_blanks(sample) if sep == BLANKS else sample, sep)
        if not widths:
            continue
        usual, count = Counter(widths).most_common(1)[0]
        if usual == 1 and max(widths) == 1:
            continue
        in_header = widths[0] > 1
        if all(width == usual for width in widths[1:]) and widths[0] in (usual, usual - 1) and in_header:
            return sep
        share = count / len(widths), in_header
        if usual > 1 and share > most:
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


def named_separator(sep: str) -> str:
    """A separator for a message, with what to say if it is another one."""
    other = "sep=;" if sep == "," else "sep=,"
    return f'the separator was taken to be {shown_separator(sep)}; --table "{other}" names another one'


def shown_separator(sep: str) -> str:
    return {"\t": "tab", BLANKS: "blanks"}.get(sep, repr(sep))


def single_blanks(text: str) -> str:
    """The text with one blank between cells and none around a line; quoted cells stay as they are."""
    if '"' in text:
        text = re.sub(r'("(?:[^"]|"")*")|[ \t]+', lambda found: found[1] or " ", text)
    else:
        text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r"(?m)^ | $", "", text)
