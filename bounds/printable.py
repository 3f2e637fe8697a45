"""Text from a user as text that may be shown: what a terminal would obey is spelled out."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""The text with every character that is no sign on the page written as Python escapes it.

    So are control sequences, line ends, marks that turn the direction of writing, and halves of characters.

    >>> print(printable("caf\u00e9 \x1b[31m\nred\u202e \ud800"))
    café \x1b[31m\nred\u202e \ud800
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
