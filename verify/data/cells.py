"""Numbers from the cells of one column: nothing else is taken for a number, and what is odd is counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from icgd.verify.data.layout import Layout
from icgd.verify.data.table import DataTable

EXACT = 2.0**53
"""From here on not every whole number is a float64."""

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null", "None")
"""ColumnCells that mean a missing value everywhere."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WITH_D = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[dD][+-]?[0-9]+$"  # Fortran's double precision
_SPACES = "[\u00a0\u2007\u2009\u202f]"
_DATE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?"
_SIGNS = (
    (r"(?i)(true|false|yes|no|t|f|y|n)", "write 1 and 0 for yes and no"),
    (r"\S.*%", "take the percent signs out of the column"),
    (r"[^\w\s.,+-]\s*[\d.,]+|[\d.,]+\s*([^\w\s.,+-]|EUR|USD|GBP)", "take the currency signs out"),
    (_DATE, "a date is no number; write a number of days"),
    (r"[-+]?\d+_[\d_]+.*", "underscores are no part of a number; take them out, or choose another column"),
    (r"[?.*-]{1,3}|(?i:missing|n\.a\.|nil|none)", "if it means a missing value, add --table 'na_values={}'"),
    (r"(?i)[+-]?inf(inity)?", "if it means a missing value, add --table 'na_values={}'"),
    (r"(?i)[+-]?0x[\da-f]+", "write the number in decimal"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ColumnCells:
    """A column that was read: NaN where a number is missing.

    fault, gap: the row and the words about the first cell that is no number, or missing.
    words: whether no cell is a number and the first one is a word or a date.
    met: the words for missing values that some cell is.
    notes: what was changed on the way or got lost, with counts.
    """

    values: Float[np.ndarray, " rows"]
    fault: tuple[int, str] | None
    gap: tuple[int, str] | None
    notes: tuple[str, ...]
    words: bool = False
    met: frozenset[str] = frozenset()


def read_cells(cells: Any, layout: Layout, sep: str) -> ColumnCells:
    """The numbers of a column of text (a pyarrow array); sep: what separates cells in its file."""
    usual = (layout.decimal, layout.thousands, layout.na_values) == (".", "", ())
    if usual and (plain := _plain(cells)) is not None:
        return ColumnCells(plain, None, None, (*_grouped(cells, plain, layout, sep), *_lost(cells, plain)))
    spaced = pc.replace_substring_regex(cells, pattern=_SPACES, replacement=" ")
    text = pc.utf8_trim_whitespace(spaced)
    missing = pc.is_in(text, value_set=pa.array([*MISSING, *layout.na_values]))
    written, minus, exponent, values = _parsed(text, layout)
    minuses = pc.sum(pc.and_(minus, pc.invert(missing))).as_py() or 0
    as_numbers = _parsed(pa.array(layout.na_values, pa.string()), layout)[-1]
    is_missing = missing.to_numpy(zero_copy_only=False) | np.isin(values, as_numbers)
    met = frozenset(
        word
        for word, number in zip(layout.na_values, as_numbers, strict=True)
        if (values == number).any() or pc.any(pc.equal(text, word)).as_py()
    )
    wrong, huge = ~np.isfinite(values) & ~is_missing, np.isinf(values)
    values[wrong | is_missing] = np.nan
    fault = gap = None
    if wrong.any():
        row = int(wrong.argmax())
        fault = row, _about(text[row].as_py(), layout, huge=bool(huge[row]))
    if is_missing.any():
        row = int(is_missing.argmax())
        word = text[row].as_py()
        gap = row, f"{short(word)} means a missing value" if word else "the cell is empty"
    notes = []
    if minuses:
        notes.append(f"cells with the minus sign U+2212, read as negative: {minuses:,}")
    if exponents := pc.sum(exponent).as_py():
        notes.append(f"cells with an exponent D as in Fortran, read as E: {exponents:,}")
    notes += _grouped(text, values, layout, sep)
    words = fault is not None and not np.isfinite(values).any() and _is_word(text[fault[0]].as_py())
    return ColumnCells(values, fault, gap, (*notes, *_lost(written, values)), words, met)


def table_of_columns(
    source: str,
    names: Sequence[str],
    columns: Iterable[ColumnCells],
    layout: Layout,
    *,
    rows: int,
    lines: Sequence[int] | None = None,
    remarks: tuple[str, ...] = (),
    **about: Any,
) -> DataTable:
    """The table of columns that were read, one for each name.

    rows: in each.  lines: on which each row ends, in a text file.  about: sha256, read_as, separated, as in
    `DataTable`.
    """
    table = DataTable(source, tuple(names), np.empty((rows, len(names))), lines=lines)
    faults: dict[int, str] = {}
    gaps: dict[int, str] = {}
    notes: dict[int, tuple[str, ...]] = {}
    words: set[int] = set()
    met: set[str] = set()
    for k, (name, found) in enumerate(zip(names, columns, strict=True)):
        table.values[:, k] = found.values
        for what, told in ((found.fault, faults), (found.gap, gaps)):
            if what is not None:
                told[k] = f"{table.place(what[0])}, column {name or k + 1!r}: {what[1]}"
        if found.notes:
            notes[k] = found.notes
        if found.words:
            words.add(k)
        met |= found.met
    return replace(
        table,
        faults=faults,
        gaps=gaps,
        notes=notes,
        words=frozenset(words),
        remarks=(*remarks, *_unmet(layout, met)),
        dropna=layout.dropna,
        **about,
    )


def _unmet(layout: Layout, met: set[str]) -> list[str]:
    """A remark where words that were to mean a missing value are in no cell; met: those that are."""
    lost = [word for word in layout.na_values if word not in met and word not in MISSING]
    return [f"na_values: no cell is {' or '.join(map(short, lost))}"] if lost else []


def _parsed(text: Any, layout: Layout) -> tuple[Any, Any, Any, Float[np.ndarray, " rows"]]:
    """The cells in the usual marks; which had a typeset minus sign, or an exponent D; the numbers, or NaN."""
    written = pc.replace_substring(text, pattern="−", replacement="-")
    minus = pc.not_equal(written, text)
    written, bare = _without_marks(written, layout)
    exponent = pc.match_substring_regex(written, pattern=_WITH_D)
    written = pc.if_else(
        exponent, pc.replace_substring_regex(written, pattern="[dD]", replacement="e"), written
    )
    is_one = pc.and_(bare, pc.match_substring_regex(written, pattern=_NUMBER))
    numbers = pc.cast(pc.if_else(is_one, written, pa.scalar(None, pa.string())), pa.float64())
    values = numbers.to_numpy(zero_copy_only=False).astype(float, copy=True)
    return written, minus, exponent, values


def _plain(cells: Any) -> Float[np.ndarray, " rows"] | None:
    """The numbers if every cell is one, written in the usual way."""
    try:
        values: np.ndarray = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return values.copy() if np.isfinite(values).all() else None


def _without_marks(text: Any, layout: Layout) -> tuple[Any, Any]:
    """The cells with a point for the decimal mark and no marks for thousands; and which keep to the marks."""
    keeps = pa.array(np.ones(len(text), dtype=bool))
    if layout.thousands:
        mark, point = re.escape(layout.thousands), re.escape(layout.decimal)
        whole = rf"^[+-]?([1-9][0-9]{{0,2}}({mark}[0-9]{{3}})+|[0-9]*)({point}[0-9]*)?([eEdD][+-]?[0-9]+)?$"
        keeps = pc.match_substring_regex(text, pattern=whole)
        text = pc.if_else(keeps, pc.replace_substring(text, pattern=layout.thousands, replacement=""), text)
    if layout.decimal != ".":
        # A point is no decimal mark here: 1.234 must not become one and a bit.
        keeps = pc.and_(keeps, pc.invert(pc.match_substring(text, pattern=".")))
        text = pc.replace_substring(text, pattern=layout.decimal, replacement=".")
    return text, keeps


def _grouped(text: Any, values: Float[np.ndarray, " rows"], layout: Layout, sep: str) -> list[str]:
    """A note where the decimal points of a column may group thousands; commas separate no such cells."""
    if sep not in (";", "\t", " ") or layout.decimal != "." or layout.thousands:
        return []
    grouped = pc.match_substring_regex(text, pattern=r"^\s*[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+\s*$")
    small = pc.match_substring_regex(text, pattern=r"^\s*[+-]?[0-9]{1,3}\s*$")
    fits: np.ndarray = pc.or_(grouped, small).to_numpy(zero_copy_only=False)
    count = pc.sum(grouped).as_py() or 0
    if not count or not (fits | np.isnan(values)).all():
        return []
    others = "every cell" if pc.sum(small).as_py() == 0 else "every cell from 1000 on"
    return [
        f"{others} looks like 1.234, which was read as a little more than one, in {count:,} rows; if the "
        'point groups thousands, add --table "thousands=. decimal=,"'
    ]


def _is_word(cell: str) -> bool:
    """Whether a cell is a word or a date rather than a number in other marks, or with a unit."""
    almost = r"[^\w\s]{0,3}\s*[\d.,' ]*\d[\d.,' ]*([eEdD][+-]?\d+)?\s*([^\w\s]{0,3}|[A-Z]{3})|[-+]?\d[\d_]*"
    return re.fullmatch(_DATE, cell) is not None or re.fullmatch(almost, cell) is None


def _lost(text: Any, values: Float[np.ndarray, " rows"]) -> tuple[str, ...]:
    """Notes about numbers that float64 merges with others or with 0."""
    notes = []
    large = np.abs(values) >= EXACT
    if large.any():
        notes += merged(pc.filter(text, pa.array(large)).to_pylist(), values[large])
    if (zero := values == 0).any():
        zeros = pc.filter(text, pa.array(zero))
        if tiny := pc.sum(pc.match_substring_regex(zeros, pattern="^[^eEdD]*[1-9]")).as_py():
            notes.append(f"cells too small for float64, which became 0: {tiny:,}")
    return tuple(notes)


def merged(written: list[Any], values: Float[np.ndarray, " rows"]) -> list[str]:
    """A note where float64 makes equal numbers of whole ones that differ."""
    exact = [(Decimal(cell), value) for cell, value in zip(written, values, strict=True)]
    whole = [(cell, value) for cell, value in exact if cell == cell.to_integral_value()]
    before, after = len({cell for cell, _ in whole}), len({value for _, value in whole})
    if before == after:
        return []
    return [
        f"{before:,} different whole numbers of 2^53 and more became {after:,} in float64, so rows that "
        "differ count as equal; such a column is an identifier, or needs a smaller unit"
    ]


def _about(cell: str, layout: Layout, *, huge: bool) -> str:
    """Why a cell is no number, and what helps; huge: whether it is one that float64 does not reach."""
    if huge:
        return f"{short(cell)} is not a finite number; it is beyond the range of float64"
    return f"{short(cell)} is not a number; {_hint(cell, layout)}"


def _hint(cell: str, layout: Layout) -> str:
    options = (
        ({"decimal": ","}, "decimal=,"),
        ({"thousands": ","}, "thousands=,"),
        ({"thousands": " "}, "thousands=space"),
        ({"thousands": "'"}, "thousands=apostrophe"),
        ({"thousands": ".", "decimal": ","}, "thousands=. decimal=,"),
        ({"thousands": " ", "decimal": ","}, "thousands=space decimal=,"),
    )
    mark = layout.thousands
    if mark and re.fullmatch(rf"[+-]?0[0-9]*({re.escape(mark)}[0-9]+)+", cell):
        said = f"with {mark!r} for thousands no number in groups begins with 0"
        if mark not in ".,":
            return said
        return f"{said}; if {mark!r} is the decimal mark, say decimal={mark} without thousands={mark}"
    helpful = []
    for given, words in options:
        written, keeps = _without_marks(pa.array([cell]), Layout(**given))  # type: ignore[arg-type]
        if keeps[0].as_py() and re.match(_NUMBER, written[0].as_py()) and layout.decimal == ".":
            helpful.append(f'--table "{words}"')
    if helpful:
        return f"add {' or '.join(helpful[:2])} if the file is written that way"
    if layout.decimal == "," and "." in cell:
        return "with decimal=, a point is no part of a number; thousands=. if it groups thousands"
    for pattern, advice in _SIGNS:
        if re.fullmatch(pattern, cell):
            return advice.format(cell)
    return "mend it or choose other columns"


def short(cell: str) -> str:
    """A cell in quotation marks; of a very long one the beginning."""
    return repr(cell) if len(cell) <= 60 else f"{cell[:60]!r}... ({len(cell):,} characters)"
