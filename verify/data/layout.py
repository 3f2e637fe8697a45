"""How a text file writes its table: the words of `--table`, named as in pandas."""

from __future__ import annotations

import codecs
import shlex
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

from icgd.bounds.letters import ProblemError

_BY_NAME = {
    **{"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"},
    **{"point": ".", "apostrophe": "'"},
}
_YES, _NO = ("yes", "true", "0"), ("no", "none", "false")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The layout of a text file; what is left out is found in the file.

    Raises ProblemError, from `parse`, for an unknown word or an impossible value.
    """

    sep: Annotated[str | None, "what separates cells: a character, tab or space"] = None
    decimal: Annotated[str, "the decimal mark"] = "."
    thousands: Annotated[str, "the mark between groups of three digits, or space or apostrophe"] = ""
    encoding: Annotated[str | None, "of the text, such as cp1252 or utf-16"] = None
    header: Annotated[bool | None, "yes, or no where the first row is data"] = None
    comment: Annotated[str, "what a line of comment begins with"] = ""
    skiprows: Annotated[int, "lines to skip at the top"] = 0
    na_values: Annotated[tuple[str, ...], "cells that mean a missing value, separated by |"] = ()
    dropna: Annotated[bool, "leave out rows with a missing value in a chosen column"] = False

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout in a text of words.

        >>> Layout.parse("sep=; decimal=, na_values=?|-999 dropna").na_values
        ('?', '-999')
        """
        lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
        try:
            words = [word.partition("=") for word in lexer]
        except ValueError:
            raise ProblemError("table", text, "a quotation mark is not closed") from None
        given: dict[str, Any] = {}
        for name, _, value in words:
            if name in given:
                raise ProblemError("table", text, f"{name} is given twice")
            given[name] = _value(name, value)
        layout = cls(**given)
        if layout.thousands and layout.thousands == layout.decimal:
            named = (
                "" if "decimal" in given else "; name the decimal mark as well, as in thousands=. decimal=,"
            )
            raise ProblemError("table", text, f"decimal and thousands are the same mark{named}")
        return layout

    @property
    def of_text(self) -> list[str]:
        """The words given that only make sense in a text file."""
        given = (one.name for one in fields(self) if getattr(self, one.name) != one.default)
        return [name for name in given if name not in ("na_values", "dropna")]


def _value(name: str, value: str) -> object:
    hints = get_type_hints(Layout, include_extras=True)
    if name not in hints:
        known = "; ".join(f"{one}: {get_args(hint)[1]}" for one, hint in hints.items())
        raise ProblemError("table", name, f"there is no such word; the words are {known}")
    if name == "dropna":
        return _one_of(name, value or "yes")
    if not value:
        raise ProblemError("table", name, f"a value is needed, as in {name}=... ({get_args(hints[name])[1]})")
    if name == "header":
        return _one_of(name, value)
    if name == "skiprows":
        if not value.isascii() or not value.isdigit() or len(value) > 9:
            raise ProblemError("skiprows", value, "a number of lines is needed")
        return int(value)
    if name == "na_values":
        return tuple(value.split("|"))
    if name == "encoding":
        try:
            b"aaaa".decode(value)
        except UnicodeDecodeError:
            pass  # it is known, and of longer characters
        except (LookupError, ValueError):
            raise ProblemError("encoding", value, "no encoding of text has that name") from None
        return codecs.lookup(value).name
    value = _BY_NAME.get(value, value)
    if name != "comment" and len(value) != 1:
        raise ProblemError(name, value, "one character is needed, or its name, such as tab or space")
    if name in ("decimal", "thousands") and (value.isalnum() or value in "+-"):
        raise ProblemError(name, value, "a mark is needed, no letter, digit or sign")
    if name == "sep" and value in '"\n\r\0':
        raise ProblemError(name, repr(value), "this character cannot separate cells")
    return value


def _one_of(name: str, value: str) -> bool:
    if value not in (*_YES, *_NO):
        raise ProblemError(name, value, "yes or no is needed")
    return value in _YES
