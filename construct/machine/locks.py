"""File locks for runs that share a folder; a lock ends with its process, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds the lock of a path, which need not exist, for the duration of the context.

    With `wait`, the context is entered without a lock on a file system that has none; without `wait`, OSError
    is raised there, and where another run holds the lock.
    """
    lock = path.with_name(f"{path.name}.lock")
    with ExitStack() as held:
        try:
            if wait:  # where no file can be made, as in /proc, FileLock would try for ever
                TemporaryFile(dir=path.parent).close()
            held.enter_context(FileLock(lock).acquire(blocking=wait))
        except OSError:
            if not wait:
                raise
        try:
            yield
        finally:
            with suppress(OSError):  # on Windows it cannot be removed while in use
                lock.unlink()
