"""A folder of a run's files that is replaced as a whole, while files of others in it stay."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from icgd.construct.machine.locks import locked
from icgd.construct.machine.unfinished_files import unfinished

LISTED = ".icgd-files"
"""The file in such a folder that lists the others of its run, a path a line."""


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A new folder to write in, which takes the place of `folder` at the end; after an error nothing changes.

    Whoever looks meets the files of one run, never of two.  Files that no run listed are kept.
    """
    check_folder(folder)
    folder = folder.resolve()  # what a link points to is replaced, not the link
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):  # if this run breaks down, what a killed one had moved aside is in its place again
        pass
    with unfinished(folder.parent, os.mkdir) as made:
        yield made
        names = sorted(map(str, _files(made)))
        (made / LISTED).write_text("\n".join(names), encoding="utf-8", errors="surrogateescape")
        with _alone(folder) as old:
            _keep(folder, made)
            with suppress(FileNotFoundError):
                os.rename(folder, old)
            os.rename(made, folder)


def check_folder(folder: Path) -> None:
    """Raises OSError where something else than a folder stands in the place of one."""
    try:
        is_free = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        is_free = not folder.is_symlink()
    if not is_free:
        raise OSError(errno.ENOTDIR, "it is no folder", str(folder))


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """No other run is in this place meanwhile; gives the name under which what stands in it may wait."""
    old = folder.with_name(f".icgd-was-{folder.name}")
    with locked(folder.with_name(f".icgd-{folder.name}")):
        _settle(old, folder)
        try:
            yield old
        finally:
            _settle(old, folder)


def _settle(old: Path, folder: Path) -> None:
    """What was moved aside is put back, or removed once there is something in its place."""
    if os.path.lexists(folder):
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            os.rename(old, folder)


def _keep(folder: Path, made: Path) -> None:
    """The files in the folder that no run listed, in the new one, too."""
    listed = folder / LISTED
    own = listed.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if listed.exists() else []
    for name in _files(folder):
        if str(name) in own or name == Path(LISTED) or os.path.lexists(made / name):
            continue
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, made / name, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a system without links, or without links to links
            shutil.copy2(folder / name, made / name, follow_symlinks=False)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in (*files, *links):
            yield (Path(root) / name).relative_to(folder)
