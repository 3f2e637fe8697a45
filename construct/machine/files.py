"""Files: written as a whole or not at all, and read only where they are regular files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.unfinished_files import unfinished

# O_NONBLOCK avoids waiting for a pipe; Windows lacks it, but needs O_BINARY.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def regular_file(path: Path, field: str) -> Iterator[BinaryIO]:
    """A file open for reading; raises ProblemError, which names `field`, if it cannot be read."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ProblemError(field, path, "it is a pipe or a device, and a file is needed")
            yield file
    except IsADirectoryError:
        raise ProblemError(field, path, "it is a folder, and a file is needed") from None
    except FileNotFoundError:
        raise ProblemError(field, path, "there is no such file") from None
    except OSError as error:
        raise ProblemError(field, path, f"it cannot be read ({error.strerror})") from None


def write_atomically(path: Path | str, text: str | bytes) -> None:
    """Write a file so that no reader sees part of it, even if interrupted; devices are written directly.

    Text is encoded in UTF-8, with lone surrogates as Python escapes.  Raises OSError with the path.
    """
    path, data = Path(path), text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
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


def check_writable(path: Path, named: Path | None = None) -> None:
    """Raises OSError, before any work is done, if a file cannot be written here; creates no folder.

    named: what the user typed, where that is not the path, such as the folder of the file.
    """
    whole = path.resolve()  # as it will be written: missing/.. is a folder
    folder = next((parent for parent in whole.parents if parent.exists()), whole)
    if path.exists() and not path.is_file() and not path.is_dir():  # written to directly
        return
    why = "it is a folder, and a file is needed" if whole.is_dir() else ""
    if not folder.is_dir():
        why = f"{'it' if folder == (named or path).resolve() else folder} is a file, and a folder is needed"
    try:
        with TemporaryFile(dir=folder) if not why else nullcontext():  # /proc grants permission, and no file
            pass
    except OSError as error:
        why = f"no file can be made in {folder} ({error.strerror})"
    if why:
        raise OSError(errno.EACCES, f"it cannot be written: {why}; name another place", str(named or path))
