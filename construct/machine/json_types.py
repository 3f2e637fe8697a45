"""Content of JSON files held against a type: dictionaries with typed keys, lists, words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_MOST = 120
"""The most signs of a place or a message that are shown."""

_WORDS = {
    "dict_type": "it should be an object of names and values",
    "list_type": "it should be a list",
    "string_type": "it should be a text",
    "float_type": "it should be a number",
    "int_type": "it should be a whole number",
    "bool_type": "it should be true or false",
    "missing": "it is missing",
}
"""What the commonest misfits should be."""


@lru_cache
def _validator(kind: Any) -> Any:
    from pydantic import TypeAdapter  # takes a fifth of a second to load

    return TypeAdapter(kind)


def misfit(value: Any, kind: Any, *, lacking: bool = False) -> str | None:
    """The first place where a value is not of its type, and what it should be there; None where it is.

    kind: such as a TypedDict.  lacking: whether keys may be missing.
    """
    from pydantic import ValidationError

    try:
        _validator(kind).validate_python(value, strict=True)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            if not (lacking and one["type"] == "missing"):
                place = " ".join(_place(value, one["loc"], missing=one["type"] == "missing"))
                said = _WORDS.get(one["type"], one["msg"].replace("Input", "it", 1))
                return f"{place[:_MOST]}: {said[:_MOST]}" if place else said[:_MOST]
    return None


def _place(value: Any, way: tuple[int | str, ...], *, missing: bool) -> list[str]:
    """The part of a way that leads into the value; the rest of it names the kinds that were tried."""
    found: list[str] = []
    for step in way:
        inside = isinstance(value, Mapping) and step in value
        inside |= isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not inside:
            return [*found, str(step)] if missing else found
        value = value[step]
        found.append(str(step))
    return found
