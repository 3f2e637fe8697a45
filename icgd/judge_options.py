"""What `icgd judge` was asked: every option of every kind of file, as one value."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.tensor_files import TensorHeader
from icgd.verify.search.options import option_words


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """A file with its header, the letters, and the options that were given; None or False: not given.

    began: when the command began, as `time.perf_counter` tells it.
    """

    began: float
    weights: Path
    header: TensorHeader
    letters: Mapping[str, Any]
    given: Mapping[str, Any]
    samples: int | None
    effort: float
    seed: int
    device: str
    out: Path
    reported: bool
    replay_file: Path | None
    json_to: str | None

    def refuse_options(self, kind: str, taken: Iterable[str], letters: Iterable[str] | None = None) -> None:
        """Raises ProblemError for an option, or a letter, that does not belong to files of this kind."""
        known = list(taken)
        for name, value in self.given.items():
            if value not in (None, False) and name not in known:
                why = f"it has no meaning for a file of kind {kind}; its options are {_listed(known)}"
                raise ProblemError(name, value, why)
        for name, value in self.letters.items():
            if letters is not None and name not in letters:
                why = f"it is no letter of a file of kind {kind}; they are {_listed(letters)}"
                raise ProblemError(name, value, why)

    def command(self) -> str:
        """The command that finds out the same about the same file, quoted for a shell."""
        words = ["icgd", "judge", self.weights.as_posix()]
        for name, value in {**self.given, **self.letters}.items():
            option = f"--{name if name in self.letters else name.replace('_', '-')}"
            words += [] if value in (None, False) else option_words(option[2:], value)
        usual = {"samples": None, "effort": 1.0, "seed": 0, "device": "cpu"}
        for name, value in usual.items():
            chosen = getattr(self, name)
            words += [] if chosen == value else [f"--{name}", str(chosen)]
        return shlex.join(words)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
