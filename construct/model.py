"""How a theorem's transformer is built from a problem, counted, and saved: one `Model` per theorem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Model:
    """How one theorem's transformer is built, counted from its tensors, and saved.

    build: takes the problem (and `construction=`, where the theorem has several).
    census: the sizes of what was built, by name.  save: writes its matrices; with a third
    argument, where there are certificates of them, the digest of one.
    """

    build: Callable[..., Any]
    census: Callable[[Any], Mapping[str, int | float]]
    save: Callable[..., None]
