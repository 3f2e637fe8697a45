"""What is safe and short to show: control characters are escaped, long fields cut."""

from __future__ import annotations

from dataclasses import fields
from reprlib import Repr

_CUT = Repr()
_CUT.maxlevel = _CUT.maxtuple = _CUT.maxlist = _CUT.maxdict = 2
_CUT.maxstring, _CUT.maxother = 60, 80


def printable(text: object) -> str:
    r"""The text with every character that is not printable replaced by its Python escape.

    This covers control sequences, line ends, marks of writing direction and lone surrogates.

    >>> print(printable("caf\u00e9 \x1b[31m\nred\u202e \ud800"))
    café \x1b[31m\nred\u202e \ud800
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))


class Brief:
    """A dataclass that shows itself in one line however much it holds; it is declared with `repr=False`."""

    __slots__ = ()

    def __repr__(self) -> str:
        held = ((one.name, getattr(self, one.name)) for one in fields(self) if one.repr)  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={printable(' '.join(_CUT.repr(value).split()))}" for name, value in held)
        return f"{type(self).__name__}({shown})"
