"""JSON files: read with limits and clear errors, written so that every parser accepts them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file

MOST_BYTES = 2**28
"""The largest file that is read."""

MOST_LEVELS = 40
"""How deep lists and objects may be nested: a certificate is 7 deep, a report 9."""


def load_json(path: Path | str, field: str) -> Any:
    """The content of a JSON file; raises ProblemError, which names `field`, if it cannot be read.

    It must be a regular file of at most MOST_BYTES, in UTF-8, at most MOST_LEVELS deep, without lone
    surrogates, names given twice, and numbers that a float cannot hold.
    """
    text = _text(Path(path), field)
    try:
        found = json.loads(
            text, object_pairs_hook=named_once, parse_constant=_no_number, parse_float=_finite_float
        )
        if "\\ud" in text or "\\uD" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ProblemError(field, path, "it contains half a character (a lone surrogate)") from None
    except Unfit as wrong:
        raise ProblemError(field, path, f"it is JSON that is not read: {wrong}") from None
    except json.JSONDecodeError as wrong:
        why = f"it is not a JSON file (line {wrong.lineno}, column {wrong.colno})"
        raise ProblemError(field, path, why) from None
    except (ValueError, RecursionError):
        raise ProblemError(field, path, "it is not a JSON file") from None
    if _levels(text) > MOST_LEVELS:
        raise ProblemError(field, path, f"it is nested more than {MOST_LEVELS} levels deep")
    return found


class Unfit(ValueError):
    """What JSON can express, but different readers read differently."""


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises `Unfit` where a name is given twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unfit(f"it has the name {twice[:60]!r} twice in one place")
    return found


def _no_number(word: str) -> Any:
    raise Unfit(f"{word} is no number of JSON")


def _finite_float(digits: str) -> float:
    found = float(digits)
    if math.isinf(found):
        raise Unfit(f"the number {digits[:40]} is larger than any float")
    return found


_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]')


def _levels(text: str) -> int:
    """How deep a text, which is JSON, is nested."""
    deep = most = 0
    for found in _BRACKET.finditer(text):
        sign = text[found.start()]
        deep += (sign in "[{") - (sign in "]}")
        most = max(most, deep)
    return most


def _text(path: Path, field: str) -> str:
    with regular_file(path, field) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ProblemError(field, path, f"it is larger than {MOST_BYTES // 2**20} MiB, the most that is read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ProblemError(field, path, "it is not text in UTF-8") from None


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that every parser accepts: ASCII, no lone surrogates, inf and nan as strings."""
    try:
        text = json.dumps(value, indent=indent, allow_nan=False)
    except (TypeError, ValueError):
        text = ""
    half = "\\ud" in text  # perhaps: valid surrogate pairs begin like this, too
    return json.dumps(finite(value), indent=indent, allow_nan=False) if half or not text else text


def finite(value: Any) -> Any:
    """The value in JSON types: inf and nan as strings, lone surrogates as Python escapes.

    >>> finite({1: (float("inf"), 0.5, None, True)})
    {'1': ['inf', 0.5, None, True]}
    """
    if isinstance(value, Mapping):
        return {_escaped(str(key)): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        plain = float(value)
        return plain if math.isfinite(plain) else str(plain)
    return _escaped(str(value))


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
