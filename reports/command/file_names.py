"""Refusal of an output onto a file that the same command reads or writes, which would be lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from icgd.bounds.letters import ProblemError

OF_A_RUN = ("certificate-*.json", "counterexample-*.json")
"""Files that a run writes into its folder under names of its own, as patterns."""

OF_A_REPORT = (*OF_A_RUN, "report.*", "icgd-*.tex")
"""The same for the folder of a report."""


def refuse_same_file(written: Mapping[str, str], others: Mapping[str, str]) -> None:
    """Raise ProblemError where an option names as output what another option or argument names, too.

    written: name of the option -> the path that it was given; others: likewise, those written among them.
    """
    for name, path in written.items():
        for other, taken in others.items():
            if other != name and Path(path).resolve() == Path(taken).resolve():
                raise ProblemError(
                    name, path, f"it is the file of {other}, which would be lost; name another"
                )


def refuse_own_name(json_to: str | None, folder: Path, patterns: Iterable[str]) -> None:
    """Raise ProblemError where --json names a file that the command itself writes in this folder.

    patterns: of the names of those files.
    """
    if json_to in (None, "-"):
        return
    path = Path(str(json_to)).resolve()
    if path.parent == folder.resolve() and any(fnmatch(path.name, one) for one in patterns):
        why = "a file of this name is written there by the command itself; name another"
        raise ProblemError("json", json_to, why)
