"""A lock on a name in a folder, for runs that share the folder; whatever ends a run, its locks end, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """No other run holds the lock of this path meanwhile, whether or not there is anything under it.

    Whoever waits goes on without it on a file system that has no locks; who does not wait meets an OSError
    there, and where another run holds it.
    """
    lock = path.with_name(f"{path.name}.lock")
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(lock).acquire(blocking=wait))
        except OSError:
            if not wait:
                raise
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it once it is free
                lock.unlink()
