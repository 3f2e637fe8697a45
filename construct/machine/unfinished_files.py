"""Files and folders that are not whole yet: named so, locked while their run lives, swept once it is dead."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

_NAME = re.compile(r"(?P<begun>\.icgd-[0-9a-f]{16})(?:\.lock|-was-(?P<place>.+))?", flags=re.DOTALL)


@contextmanager
def unfinished(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new name in the folder, locked and made; whatever ends this process, its lock ends with it.

    What is still under that name at the end is removed, and what killed runs left in the folder, too.
    """
    sweep(folder)
    path = folder / f".icgd-{secrets.token_hex(8)}"
    with ExitStack() as held:
        with suppress(OSError):  # a file system without locks: then no sweep can lock it either
            held.enter_context(_locked(path, wait=True))
        try:
            make(path)
            yield path
        finally:
            _remove(path)


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
        # Somebody else's, or locked by a run that lives, or swept by another run.
        with suppress(OSError), _locked(folder / found["begun"], wait=False):
            if found["place"] and not os.path.lexists(folder / found["place"]):
                os.rename(path, folder / found["place"])
            else:
                _remove(path)


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock of a name, which is a file of its own; raises OSError where another run holds it."""
    lock = path.with_name(f"{path.name}.lock")
    held = FileLock(lock).acquire(blocking=wait)
    try:
        with held:
            yield
    finally:
        with suppress(OSError):  # swept by another run, or being looked at by one
            lock.unlink()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
