"""Names of layers in files of weights: so many digits that their order as text is that of the layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from icgd.bounds.letters import ProblemError

_LAYER = re.compile(r"layer\.(\d{2,})(\..*)?", re.DOTALL)

Held = TypeVar("Held")


def layer_names(count: int) -> list[str]:
    """The names of so many layers, with two digits or as many as the last one needs.

    >>> layer_names(2), layer_names(101)[-1], layer_names(101)[7]
    (['layer.00', 'layer.01'], 'layer.100', 'layer.007')
    """
    digits = max(2, len(str(count - 1)))
    return [f"layer.{index:0{digits}d}" for index in range(count)]


def two_digits(name: str) -> str:
    """The name of a layer, or of a part of one, with as few digits as there may be, but two.

    >>> two_digits("layer.007.Q"), two_digits("layer.100"), two_digits("other.1")
    ('layer.07.Q', 'layer.100', 'other.1')
    """
    found = _LAYER.fullmatch(name)
    return f"layer.{int(found[1]):02d}{found[2] or ''}" if found else name


def in_two_digits(tensors: Mapping[str, Held]) -> dict[str, Held]:
    """The same under the names of `two_digits`; raises ProblemError where two become one."""
    found: dict[str, Held] = {}
    for name, tensor in tensors.items():
        if two_digits(name) in found:
            raise ProblemError("tensor", name, "the file has this layer twice, with and without a leading 0")
        found[two_digits(name)] = tensor
    return found
