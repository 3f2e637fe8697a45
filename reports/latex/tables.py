"""Prepares the tables of theorems and studies for LaTeX: alignment, headings in lines, widths of columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icgd.reports.document.numbers import Rounding, cell_rounding, grouped
from icgd.reports.document.shape import GridDocument, TheoremDocument
from icgd.reports.document.study_shape import StudyTableDocument
from icgd.reports.latex.macros import number
from icgd.reports.mathematics.notation import Tex, escape
from icgd.reports.mathematics.print_signs import printed
from icgd.verify.published_ladder import TITLE_OF_LADDER
from icgd.verify.results import Cell

_HALF, _WHOLE, _GAP, _LONGEST = 60.0, 112.0, 1.5, 32.0
"""Widths in digits: half a line, a whole line, the gap between columns, the longest unbroken cell."""

_INTERVAL = re.compile(r"(-?[\d.]+) (\([^()]*\))")
"""A number with its interval."""

_STACKED = re.compile(r"_\{(?:[^{}]|\{[^{}]*\})*\}\^")
"""A lower index with an upper one."""

_MOST_ROWS = 30
"""Most rows of a table that is not broken across pages."""

_MOST_LINES = 4
"""Most lines of a heading in half a line."""


@dataclass(frozen=True)
class PreparedTable:
    """A table for the templates.

    slug: of its title, for labels.  kinds: the letter of each column for tabular, r where it has numbers.
    headings: of each column, in lines.  narrow: whether it fits in half a line and on part of a page.
    widths: share of the line for each column; None where the columns fit a line as they are.
    is_ladder: whether it leads from a paper's constants to what is built.
    """

    title: str
    note: str
    slug: Tex
    kinds: Sequence[Tex]
    headings: Sequence[Sequence[Tex]]
    rows: Sequence[Sequence[Tex]]
    narrow: bool
    widths: Sequence[Tex] | None
    is_ladder: bool


def prepared_tables(part: TheoremDocument) -> Iterator[PreparedTable]:
    """The theorem's own tables, in their order."""
    yield from map(prepared_table, part.get("grids") or ())


def prepared_table(grid: GridDocument | StudyTableDocument) -> PreparedTable:
    """A table of a theorem or of a study for the templates."""
    columns, rows = grid["columns"], grid["rows"]
    gaps = _GAP * (len(columns) - 1)
    whole_cells = _needed_widths(columns, rows, longest=_WHOLE)
    widths = _needed_widths(columns, rows, longest=_LONGEST)
    narrow = sum(whole_cells) + gaps <= _HALF and len(rows) <= _MOST_ROWS
    half = _widened(columns, widths, _HALF - gaps)
    if any(len(_lines(column, width)) > _MOST_LINES for column, width in zip(columns, half, strict=True)):
        narrow = False
    fits = narrow or sum(whole_cells) + gaps <= _WHOLE
    if fits and not narrow:
        widths = whole_cells
    if not fits:
        widths = _lengthened(widths, whole_cells, _WHOLE - gaps)
    widths = _widened(columns, widths, (_HALF if narrow else _WHOLE) - gaps)
    whole = max(sum(widths), _HALF)
    return PreparedTable(
        title=grid["title"],
        note=grid.get("note", ""),
        slug=Tex(re.sub(r"[^a-z0-9]+", "-", grid["title"].lower()).strip("-")),
        kinds=[Tex("r" if _is_numeric(row[index] for row in rows) else "l") for index in range(len(columns))],
        headings=[
            [escape(printed(line)) for line in _lines(column, width)]
            for column, width in zip(columns, widths, strict=True)
        ],
        rows=[
            [
                _cell(cell, cell_rounding(column, row), broken=not fits)
                for column, cell in zip(columns, row, strict=True)
            ]
            for row in rows
        ],
        narrow=narrow,
        # Rounded down, so that the columns fit together.
        widths=None if fits else [Tex(f"{width / whole - 5e-4:.3f}") for width in widths],
        is_ladder=grid["title"] == TITLE_OF_LADDER,
    )


def _is_numeric(cells: Iterator[Cell]) -> bool:
    found = [cell for cell in cells if cell is not None]
    return bool(found) and all(isinstance(cell, int | float) for cell in found)


def _cell(value: object, rounding: Rounding, *, broken: bool) -> Tex:
    """broken: whether an interval gets a line of its own."""
    if value is None:
        return Tex("")
    if not isinstance(value, str):
        return number(value, **rounding)
    lines = _interval_lines(value) if broken else [value]
    return with_room(Tex(r" \linebreak ".join(escape(printed(line)) for line in lines)))


def with_room(tex: Tex) -> Tex:
    r"""The cell, with a strut where an upper index stands over a lower one and would touch the row above.

    >>> with_room(Tex("E_{s}^{r}")), with_room(Tex("E_{r}"))
    ('E_{s}^{r}\\icgdtall', 'E_{r}')
    """
    return Tex(rf"{tex}\icgdtall") if _STACKED.search(tex) else tex


def _interval_lines(cell: str) -> list[str]:
    """A number and its interval in two lines; any other text in one."""
    found = _INTERVAL.fullmatch(cell)
    return list(found.groups()) if found else [cell]


def _needed_widths(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, longest: float) -> list[float]:
    """Widths of the columns in digits: each cell on one line, and every word of a heading unbroken.

    longest: of a line; less than _WHOLE: cells may be broken, intervals before their bracket.
    """
    widths = []
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        # A number is not broken, and the printed form of 1e-16 is longer than its text.
        shown = [
            line
            for cell in cells
            if cell is not None
            for line in (
                (_interval_lines(cell) if longest < _WHOLE else [cell])
                if isinstance(cell, str)
                else [grouped(cell).replace("e", " x 10")]
            )
        ]
        widest = max(map(_text_width, shown), default=0.0)
        widths.append(max([min(widest, longest), *map(_text_width, column.split())]))
    return widths


def _lengthened(widths: Sequence[float], wanted: Sequence[float], room: float) -> list[float]:
    """The widths, with the remaining room given to columns that lack most for unbroken cells."""
    lengthened = list(widths)
    while sum(lengthened) + 1 <= room:
        lacking = [whole - width for whole, width in zip(wanted, lengthened, strict=True)]
        if max(lacking) <= 0:
            break
        lengthened[lacking.index(max(lacking))] += 1
    return lengthened


def _widened(columns: Sequence[str], widths: Sequence[float], room: float) -> list[float]:
    """The widths, with the remaining room given to columns whose headings have most lines."""
    widened = list(widths)
    while sum(widened) + 1 <= room:
        lines = [len(_lines(column, width)) for column, width in zip(columns, widened, strict=True)]
        if max(lines) < 3:
            break
        widened[lines.index(max(lines))] += 1
    return widened


def _text_width(text: str) -> float:
    """The approximate width of a text in Computer Modern, in digits."""
    return sum(
        0.6 if sign in ",. ijlt()" else 1.5 if sign.isupper() or sign in "mw" else 1.0 for sign in text
    )


def _lines(heading: str, width: float) -> list[str]:
    """A heading broken into lines of at most `width`, between words only."""
    lines: list[str] = []
    for word in heading.split():
        if lines and _text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
