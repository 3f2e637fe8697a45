"""A folder of a run's files that is replaced as a whole, while files of others in it stay."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from icgd.construct.machine.unfinished_files import aside, unfinished

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
    with unfinished(folder.parent, os.mkdir) as made:
        yield made
        names = sorted(map(str, _files(made)))
        (made / LISTED).write_text("\n".join(names), encoding="utf-8", errors="surrogateescape")
        _swap(made, folder)


def check_folder(folder: Path) -> None:
    """Raises OSError where something else than a folder stands in the place of one."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise OSError(errno.ENOTDIR, "it is no folder", str(folder))


def _swap(made: Path, folder: Path) -> None:
    old = aside(made, folder)
    while True:
        try:
            _keep(folder, made)
            os.rename(folder, old)
        except FileNotFoundError:
            pass
        try:
            os.rename(made, folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another run was faster
                with suppress(OSError):
                    os.rename(old, folder)
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


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
