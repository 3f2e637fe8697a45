"""What every theorem's transformer can do: be built from a problem, be counted, and be written to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Model:
    """How a transformer is made, counted off its tensors, and written to a file that anyone can read.

    build: takes the problem (and `construction=`, where the theorem has several).
    census: the sizes of what was built, by name.  save: writes its matrices.
    """

    build: Callable[..., Any]
    census: Callable[[Any], Mapping[str, int | float]]
    save: Callable[[Any, Path], None]
