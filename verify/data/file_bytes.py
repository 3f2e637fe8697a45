"""The bytes of a table's file, and its text: local files only, sizes limited, encodings told apart."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path

from icgd.bounds.estimate import bytes_text
from icgd.construct.machine.memory import available_bytes
from icgd.verify.data.layout import Layout
from icgd.verify.data.table import DataError

_MOST_BYTES = 2**31 - 2**20
"""The longest file that is read, decompressed; about 50 million rows of four numbers."""

_PER_BYTE = 20
"""Bytes of memory for each byte of a file: its text twice, its cells, and their numbers."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_OTHER_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive: save the sheet as CSV (UTF-8), or extract the file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV (UTF-8)"),
    (b"BZh", "compressed with bzip2: decompress it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz: decompress it, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: decompress it, or compress it with gzip"),
    (b"\x89HDF", "an HDF5 file: write the table as CSV or Parquet"),
    (b"\x93NUMPY", "a numpy array without names: write it as CSV or Parquet"),
    (b"SQLite", "a database: write the table as CSV or Parquet"),
    (b"FEA1", "a Feather file of version 1: write it again as Feather of version 2, or as Parquet"),
    (b"%PDF", "a PDF: write the table as CSV"),
)


@dataclass(frozen=True)
class FileBytes:
    """The content of a file, decompressed.  sha256: of the file as it lies on the disk."""

    source: str
    content: bytes
    sha256: str
    compressed: bool = False


def read_file(source: str, known: str) -> FileBytes:
    """The bytes of a file on this machine; known: what else could be named, for the message.

    Raises DataError where it cannot be read, is larger than memory allows, or is of another kind.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
        raise DataError(f"{source}: only files on this machine are read; download it first")
    path = Path(source)
    try:
        about = path.stat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISFIFO(about.st_mode)):
            what = "a folder" if stat.S_ISDIR(about.st_mode) else "a device"
            raise DataError(f"{source} is {what}, not a file with a table")
        _refuse_size(source, about.st_size)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        hint = f"give a CSV, Parquet or Arrow file, or {known}"
        raise DataError(f"there is no file {source}; {hint}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    digest = hashlib.sha256(content).hexdigest()
    compressed = content.startswith(b"\x1f\x8b")
    if compressed:
        content = _decompressed(source, content)
    _refuse_size(source, len(content))
    for mark, what in _OTHER_KINDS:
        if content.startswith(mark):
            raise DataError(f"{source} is {what}")
    return FileBytes(source, content, digest, compressed)


def _refuse_size(source: str, size: int) -> None:
    most = min(_MOST_BYTES, available_bytes() // _PER_BYTE)
    if size > most:
        raise DataError(
            f"{source} has {bytes_text(size)}, and at most {bytes_text(most)} can be read here; keep only "
            "the columns and rows that are needed"
        )


def _decompressed(source: str, content: bytes) -> bytes:
    """The content of a gzip file, read only as far as memory allows."""
    most = min(_MOST_BYTES, available_bytes() // _PER_BYTE)
    parts, size = [], 0
    try:
        with gzip.open(io.BytesIO(content)) as file:
            while part := file.read(1 << 22):
                parts.append(part)
                size += len(part)
                if size > most:
                    _refuse_size(source, size)
    except (EOFError, OSError, zlib.error):
        raise DataError(f"{source} is a broken gzip file; copy or compress it again") from None
    return b"".join(parts)


def decoded(file: FileBytes, layout: Layout) -> tuple[str, str]:
    """The text of a file with one character for every end of line, and the name of its encoding.

    By default UTF-8, or what a mark at the beginning says.  Raises DataError, naming the line and the option
    that helps.
    """
    marked = next((name for mark, name in _MARKS if file.content.startswith(mark)), None)
    encoding = layout.encoding or marked or "utf-8"
    if encoding == "utf-8" and marked == "utf-8-sig":
        encoding = marked
    try:
        text = file.content.decode(encoding)
    except UnicodeDecodeError as error:
        line = file.content[: error.start].count(b"\n") + 1
        here = file.content[error.start : error.start + 1]
        hint = "add --table encoding=cp1252 if it comes from Excel or an older Windows program"
        if layout.encoding:
            hint = "name another encoding with --table encoding=..."
        raise DataError(
            f"{file.source}, line {line}: the byte 0x{here.hex()} is no text in {encoding}; {hint}"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{file.source}, line {line}: there is a zero byte, so it is not plain text; if it is UTF-16, "
            "add --table encoding=utf-16-le"
        )
    return text, encoding
