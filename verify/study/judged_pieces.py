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
            return found["value"] if found["key"] == self.key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, folder: Path) -> Any:
        """Compute the value and write it, as a whole or not at all; returns it as it will be read."""
        text = json.dumps(self.compute())
        write_atomically(self.file(folder), f'{{"key": "{self.key}", "value": {text}}}\n')
        return json.loads(text)


def judge_pieces(
    pieces: Iterable[JudgedPiece],
    folder: Path,
    progress: Progress = silent,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """The values of all pieces by name, in their order; None where `stop` said so, what was computed kept.

    Progress counts the seconds of those that are still to be computed, so that time left is told of them.
    """
    asked = list(pieces)
    found = {piece.name: piece.kept(folder) for piece in asked}
    left = [piece for piece in asked if found[piece.name] is None]
    if left:
        seconds = sum(piece.seconds for piece in left)
        with progress("judge", seconds, seconds) as advance:
            for piece in left:
                if stop():
                    return None
                found[piece.name] = piece.keep(folder)
                advance(piece.seconds)
    return found


def seconds_left(pieces: Iterable[JudgedPiece], folder: Path) -> float:
    """About how long those take that are not kept, whatever of."""
    return sum(piece.seconds for piece in pieces if not piece.file(folder).is_file())
