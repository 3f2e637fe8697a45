"""Atomic writing of files: as a whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from icgd.construct.machine.unfinished_files import unfinished


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write a file so that no reader sees part of it, even if interrupted; devices are written directly.

    Text is encoded in UTF-8, with lone surrogates as Python escapes.  Raises OSError with the path.
    """
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: renaming would replace it
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)  # a link is kept and its target written
    except OSError as error:  # the user knows the path, not the temporary file
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path.parent, lambda new: new.touch(exist_ok=False)) as made:
        made.write_bytes(data)
        os.replace(made, path)


def check_writable(path: Path) -> None:
    """Raises OSError, before any work is done, if a file cannot be written here; creates no folder."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, "it cannot be written", str(path))
