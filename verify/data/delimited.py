"""Tables in text files: separated cells below a header.  pyarrow splits rows, and refuses ragged ones."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icgd.bounds.printable import printable
from icgd.verify.data.cells import read_cells, short, table_of_columns
from icgd.verify.data.file_bytes import FileBytes, decoded
from icgd.verify.data.layout import Layout
from icgd.verify.data.separator import (
    BLANKS,
    find_separator,
    named_separator,
    shown_separator,
    single_blanks,
)
from icgd.verify.data.table import DataError, DataTable, reads_as_number

_EXCELS = re.compile(r'"?sep=([^\w\s"+-]|[\t ])"?[ \t,;]*\n', re.IGNORECASE)
"""A first line by which Excel is told the separator."""


def read_delimited(file: FileBytes, layout: Layout) -> DataTable:
    """The table in a text file.  Raises DataError with the line, the cell and the option that helps."""
    text, encoding = decoded(file, layout)
    source = file.source
    excels = _EXCELS.match(text)
    text = _blanked(text[excels.end() - 1 :] if excels else text, layout)
    if not text.strip():
        raise DataError(f"{source} is empty; a header and at least one row are needed")
    if re.match(r"\s*(<!doctype|<html|<\?xml|\{|\[)", text, re.IGNORECASE):
        raise DataError(f"{source} is HTML, XML or JSON; write the table as CSV or Parquet")
    _refuse_comments(source, text)
    sep = layout.sep or (excels[1] if excels else find_separator(text))
    text = single_blanks(text) if sep == BLANKS else re.sub(r"(?m)^[ \t]+$", "", text)
    if f'{sep} "' in text and sep != BLANKS:
        text = _without_spaces(text, sep)
    first, line, start = next(_Text(source, text, sep).records())
    header, remarks = _header(source, first, line, layout)
    if layout.header is False:
        line = start = 0
    rest = _Text(source, text[start:], sep, line)
    if not rest.body.strip():
        raise DataError(f"{source} has a header but no rows")
    columns, width = _columns(rest, len(header), first)
    header, remarks = _fitting(header, width, columns, remarks)
    lines = _lines(rest, len(columns[0]))
    columns, lines, dropped = _with_content(columns, lines)
    if dropped:
        remarks.append(f"rows without any content, which were left out: {dropped:,}")
    if not len(columns[0]):
        raise DataError(f"{source} has a header but no rows")
    marks = f"decimal mark {layout.decimal!r}" + f", thousands {layout.thousands!r}" * bool(layout.thousands)
    return table_of_columns(
        source,
        tuple(header),
        (read_cells(column, layout, sep) for column in columns),
        layout,
        rows=len(columns[0]),
        lines=lines,
        sha256=file.sha256,
        read_as=f"text in {encoding}, separator {shown_separator(sep)}, {marks}" + ", gzip" * file.compressed,
        remarks=tuple(remarks),
        separated=named_separator(sep),
    )


def _blanked(text: str, layout: Layout) -> str:
    """The text with the lines to skip and the comments emptied, so that lines keep their numbers."""
    if layout.skiprows:
        lines = text.split("\n", layout.skiprows)
        text = "\n" * layout.skiprows + (lines[-1] if len(lines) > layout.skiprows else "")
    if layout.comment:
        text = re.sub(rf"(?m)^[ \t]*{re.escape(layout.comment)}.*$", "", text)
    return text


def _refuse_comments(source: str, text: str) -> None:
    """Raises DataError where a table seems to begin with lines of comment."""
    begun = [line.lstrip()[:1] for line in text.lstrip().split("\n", 2)[:2]]
    if len(begun) == 2 and begun[0] == begun[1] and begun[0] in tuple("#%!*"):
        line = text[: len(text) - len(text.lstrip())].count("\n") + 1
        raise DataError(
            f"{source}, line {line}: two lines begin with {begun[0]!r}; if they are comments, add "
            f"--table comment={begun[0]}"
        )


def _without_spaces(text: str, sep: str) -> str:
    """The same table without spaces before quotation marks, which would not count as such."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=sep, lineterminator="\n")
    for cells in csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True):
        writer.writerow(cells) if cells else out.write("\n")
    return out.getvalue()


@dataclass(frozen=True)
class _Text:
    """The rows of a text; before: how many lines of the file come before it."""

    source: str
    body: str
    sep: str
    before: int = 0

    def records(self) -> Iterator[tuple[list[str], int, int]]:
        """The cells of each row that is not empty, its last line, and where the next row begins."""
        stream = io.StringIO(self.body, newline="")
        reader = csv.reader(iter(stream.readline, ""), delimiter=self.sep)
        try:
            for cells in reader:
                if cells:
                    yield cells, self.before + reader.line_num, stream.tell()
        except csv.Error:
            line = self.before + reader.line_num
            raise DataError(
                f"{self.source}, line {line}: a cell that ends here has more than {csv.field_size_limit():,} "
                "characters; perhaps a quotation mark is not closed"
            ) from None


def _header(source: str, first: Sequence[str], line: int, layout: Layout) -> tuple[list[str], list[str]]:
    """The names of the columns, and what is to be said about them."""
    if layout.header is False:
        return [f"column_{k + 1}" for k in range(len(first))], []
    names = [printable(" ".join(name.split())) for name in first]
    numeric = [name for name in names if reads_as_number(name)]
    if layout.header is None and len(numeric) * 2 > sum(map(bool, names)) and numeric:
        raise DataError(
            f"{source}, line {line}: {len(numeric)} of {len(names)} names of columns are numbers, such as "
            f"{short(numeric[0])}; add --table header=no if this line is data (columns are then column_1, "
            "column_2, ...), or header=yes if it names the columns"
        )
    remarks = []
    if numeric and layout.header is None:
        remarks.append(
            f"line {line} was taken for the header although {short(numeric[0])} in it is a number; add "
            "--table header=no if it is data"
        )
    return names, remarks


def _columns(text: _Text, named: int, first: Sequence[str]) -> tuple[list[Any], int]:
    """The columns as pyarrow arrays of text, and how many cells the first row has."""
    import pyarrow as pa
    import pyarrow.csv

    width = len(next(text.records())[0])
    encoded = text.body.encode()
    if width not in (named, named + 1) or named == 1 < width:
        raise DataError(_ragged(text, named, first))
    names = [f"f{k}" for k in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(encoded),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(encoded) + 1),
            parse_options=pyarrow.csv.ParseOptions(delimiter=text.sep, newlines_in_values='"' in text.body),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        ragged = _ragged(text, width, first)
        raise DataError(
            ragged or f"{text.source} cannot be read: {' '.join(str(error).split())[:200]}"
        ) from None
    return [column.combine_chunks() for column in table.columns], width


def _ragged(text: _Text, width: int, first: Sequence[str]) -> str:
    """A message about the first row that has not as many cells as the others; "" where all rows agree."""
    sep = text.sep
    for cells, line, _ in text.records():
        if len(cells) == width:
            continue
        where, what = f"{text.source}, line {line}", f"{len(cells)} cells where {width} are expected"
        for begun in (first[0].strip(), cells[0].strip()):
            if begun[:1] in tuple("#%!*"):
                return (
                    f"{where}: {what}; add --table comment={begun[0]} if lines with {begun[0]} are comments"
                )
        if "\n" in "".join(cells):
            return f"{where}: {what}; a quotation mark opens in this row and is closed in another line"
        if len(first) == 1 < len(cells):
            return (
                f"{where}: {what}, as above; if the table begins here, and what is above are notes, add "
                f"--table skiprows={line - 1}; {named_separator(sep)}"
            )
        return (
            f"{where}: {what}: {short(sep.join(cells))}; a cell with the separator "
            f"in it needs quotation marks; {named_separator(sep)}"
        )
    return ""


def _fitting(
    header: list[str], width: int, columns: Sequence[Any], remarks: list[str]
) -> tuple[list[str], list[str]]:
    """The names for all columns, where rows have a cell more than the header."""
    if width == len(header):
        return header, remarks
    if not any(cell.as_py().strip() for cell in columns[-1]):
        return [*header, ""], remarks
    said = f"rows have one cell more than the header: the first, such as {short(columns[0][0].as_py())}, was "
    return ["", *header], [*remarks, said + "taken for the name of the row, as R writes it"]


def _lines(text: _Text, rows: int) -> Sequence[int]:
    """The line on which each row ends."""
    if text.body.rstrip("\n").count("\n") + 1 == rows and not text.body.startswith("\n"):
        return range(text.before + 1, text.before + 1 + rows)
    found = np.fromiter((line for _, line, _ in text.records()), dtype=np.int64)
    if len(found) != rows:
        raise DataError(
            f"{text.source}: quotation marks are placed so that it is unclear where rows end; write it again "
            "with a program for tables"
        )
    return [int(line) for line in found]


def _with_content(columns: list[Any], lines: Sequence[int]) -> tuple[list[Any], Sequence[int], int]:
    """The rows that have something in some cell, their lines, and how many others there were."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = np.ones(len(columns[0]), dtype=bool)
    for column in columns:
        if not empty.any():
            return columns, lines, 0
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
        empty &= blank.to_numpy(zero_copy_only=False)
    kept = pa.array(~empty)
    left = [line for line, out in zip(lines, empty, strict=True) if not out]
    return [column.filter(kept) for column in columns], left, int(empty.sum())
