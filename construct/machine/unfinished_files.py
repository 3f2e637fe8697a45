"""Files and folders that are not whole yet: named so, locked while their run lives, swept once it is dead."""

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
    """A new name in the folder, locked and made; whatever ends this process, its lock ends with it.

    What is still under that name at the end is removed, and what killed runs left in the folder, too.
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
    """Remove what runs that no longer live left in the folder, and nothing else."""
    try:
        paths = list(folder.iterdir())
    except OSError:  # a folder that may be written to and not be read
        return
    for path in paths:
        begun = path.with_name(path.name.removesuffix(".lock"))
        if _NAME.fullmatch(begun.name) and not path.is_symlink():
            with suppress(OSError), locked(begun, wait=False):  # else somebody else's, or of a run that lives
                _remove(begun)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
