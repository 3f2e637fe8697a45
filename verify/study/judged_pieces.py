"""The judging of a study in pieces, kept as they end: what was ended goes on, with the same result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from icgd.bounds.progress import Progress, silent
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.locks import locked
from icgd.verify.sweeps.release import release


@dataclass(frozen=True, eq=False)
class JudgedPiece:
    """A part of the judging that shares nothing with the others.

    name: of its file.  inputs: what decides its value besides the release and the threads, as plain values.
    seconds: about how long it takes.  compute: its value, as JSON has values.
    """

    name: str
    inputs: Mapping[str, Any]
    seconds: float
    compute: Callable[[], Any]

    @property
    def key(self) -> str:
        """Of everything that decides the value; sums are taken in another order by other threads."""
        decides = [dict(self.inputs), release(), torch.get_num_threads()]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def file(self, folder: Path) -> Path:
        """Where its value is kept, below the folder of a study."""
        return folder / "judged" / f"{self.name.replace(' ', '-')}.json"

    def kept(self, folder: Path) -> Any:
        """Its value as it was kept; None where there is none, of other inputs or from a damaged file."""
        try:
            found = json.loads(self.file(folder).read_text(encoding="utf-8"))
            whole = found["key"] == self.key and found["sha256"] == _checksum(json.dumps(found["value"]))
            return found["value"] if whole else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def keep(self, folder: Path) -> Any:
        """Compute the value and write it, as a whole or not at all; returns it as it will be read.

        Where a folder is in the place of the file, it is not written.
        """
        text, file = json.dumps(self.compute()), self.file(folder)
        if not file.is_dir():
            checked = f'"key": "{self.key}", "sha256": "{_checksum(text)}"'
            write_atomically(file, f'{{{checked}, "value": {text}}}\n')
        return json.loads(text)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def judge_pieces(
    pieces: Iterable[JudgedPiece],
    folder: Path,
    progress: Progress = silent,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """The values of all pieces by name, in their order; None where `stop` said so, what was computed kept.

    One piece is had before `stop` is asked, so that runs of any length come to an end.  What another
    process in the folder computed meanwhile is not computed again: one computes while the others wait.
    Progress counts the seconds of those that are still to be computed, so that time left is told of them.
    """
    asked = list(pieces)
    found = {piece.name: piece.kept(folder) for piece in asked}
    left = [piece for piece in asked if found[piece.name] is None]
    if left:
        seconds = sum(piece.seconds for piece in left)
        with progress("judge", seconds, seconds) as advance:
            for number, piece in enumerate(left):
                if number and stop():
                    return None
                folder.mkdir(parents=True, exist_ok=True)
                with locked(folder / "judging"):
                    if (value := piece.kept(folder)) is None:
                        value = piece.keep(folder)
                found[piece.name] = value
                advance(piece.seconds)
    return found


def seconds_left(pieces: Iterable[JudgedPiece], folder: Path) -> float:
    """About how long those take that are not kept; one of other inputs or another release counts as kept."""
    return sum(piece.seconds for piece in pieces if not piece.file(folder).is_file())
