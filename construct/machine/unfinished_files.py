"""Files and folders that are not whole yet: named so, locked while their run lives, swept once it is dead."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"\.icgd-[0-9a-f]{16}(?:-was-(?P<place>.+))?", flags=re.DOTALL)


@contextmanager
def unfinished(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new name in the folder, made and locked; whatever ends this process, its lock ends with it.

    What is still under that name at the end is removed, and what killed runs left in the folder, too.
    """
    sweep(folder)
    path, lock = _claimed(folder, make)
    try:
        yield path
    finally:
        _remove(path)
        os.close(lock)


def aside(path: Path, place: Path) -> Path:
    """The name beside `path` under which what stood in a place waits for its end: a sweep may put it back."""
    return path.with_name(f"{path.name}-was-{place.name}")


def sweep(folder: Path) -> None:
    """Remove what runs that no longer live left in the folder, and nothing else.

    What a run had moved aside, and was killed before it put something in the place, is put back.
    """
    try:
        paths = list(folder.iterdir())
    except OSError:  # a folder that may be written to and not be read
        return
    for path in paths:
        found = _NAME.fullmatch(path.name)
        if found is None or path.is_symlink():
            continue
        with suppress(OSError):  # somebody else's, or locked by a run that lives
            lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if found["place"] and not os.path.lexists(folder / found["place"]):
                    os.rename(path, folder / found["place"])
                else:
                    _remove(path)
            finally:
                os.close(lock)


def _claimed(folder: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        path = folder / f".icgd-{secrets.token_hex(8)}"
        make(path)
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # a sweep met it before it was locked
            continue
        with suppress(OSError):  # a file system without locks: then no sweep can lock it either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return path, lock
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
