"""Text from a user made safe to show: control characters are escaped."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""The text with every character that is not printable replaced by its Python escape.

    This covers control sequences, line ends, marks of writing direction and lone surrogates.

    >>> print(printable("caf\u00e9 \x1b[31m\nred\u202e \ud800"))
    café \x1b[31m\nred\u202e \ud800
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
