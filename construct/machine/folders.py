"""Replacement of an output folder as a whole; files in it that no run wrote are kept."""

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
"""The file in an output folder that lists the other files of its run, one path per line."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to write in, which replaces `folder` at the end; after an error nothing changes.

    A reader always finds the files of one run, never of two.  Files that no run listed are kept.
    """
    check_folder(folder)
    folder = folder.resolve()  # a link is kept and its target replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):  # restores what a killed run had moved aside, should this run fail
        pass
    with unfinished(folder.parent, os.mkdir) as made:
        yield made
        names = sorted(map(str, _files(made)))
        (made / LISTED).write_text("\n".join(names), encoding="utf-8", errors="surrogateescape")
        with _exclusive(folder) as old:
            _keep_unlisted(folder, made)
            with suppress(FileNotFoundError):
                os.rename(folder, old)
            os.rename(made, folder)


def check_folder(folder: Path) -> None:
    """Raises OSError if something other than a folder exists at this path."""
    try:
        is_free = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        is_free = not folder.is_symlink()
    if not is_free:
        raise OSError(errno.ENOTDIR, "it is not a folder", str(folder))


@contextmanager
def _exclusive(folder: Path) -> Iterator[Path]:
    """Locks the folder against other runs; gives the name to which the old folder may be moved."""
    old = folder.with_name(f".icgd-was-{folder.name}")
    with locked(folder.with_name(f".icgd-{folder.name}")):
        _restore(old, folder)
        try:
            yield old
        finally:
            _restore(old, folder)


def _restore(old: Path, folder: Path) -> None:
    """Moves the old folder back, or removes it if a new one has replaced it."""
    if os.path.lexists(folder):
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            os.rename(old, folder)


def _keep_unlisted(folder: Path, made: Path) -> None:
    """Links or copies the files of the folder that no run listed into the new one."""
    listed = folder / LISTED
    own = listed.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if listed.exists() else []
    for name in _files(folder):
        if str(name) in own or name == Path(LISTED) or os.path.lexists(made / name):
            continue
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, made / name, follow_symlinks=False)
        except (OSError, NotImplementedError):  # the system has no links, or no links to links
            shutil.copy2(folder / name, made / name, follow_symlinks=False)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in (*files, *links):
            yield (Path(root) / name).relative_to(folder)
