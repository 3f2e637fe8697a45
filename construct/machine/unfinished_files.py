"""Temporary files and folders: locked while their run lives, removed once it has ended."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from icgd.construct.machine.locks import locked

_NAME = re.compile(r"\.icgd-[0-9a-f]{16}")


@contextmanager
def unfinished(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Makes a temporary path in the folder, locked until the context or this process ends.

    Whatever is still at the path at the end is removed, and so is what killed runs left in the folder.
    """
    sweep_unfinished(folder)
    path = folder / f".icgd-{secrets.token_hex(8)}"
    with locked(path):
        try:
            make(path)
            yield path
        finally:
            _remove(path)


def sweep_unfinished(folder: Path) -> None:
    """Remove what ended runs left in the folder, and nothing else."""
    try:
        paths = list(folder.iterdir())
    except OSError:  # the folder may be writable but not readable
        return
    for path in paths:
        begun = path.with_name(path.name.removesuffix(".lock"))
        if _NAME.fullmatch(begun.name) and not path.is_symlink():
            with suppress(OSError), locked(begun, wait=False):  # in use, or of another user
                _remove(begun)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
