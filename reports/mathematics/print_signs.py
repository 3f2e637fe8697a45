"""Signs of print in plain text: minus signs, primes, apostrophes, quotation marks and dots of products."""

from __future__ import annotations

import re

_SIGNS = (
    (re.compile(r"`([^`]*)`"), r"\1"),
    (re.compile(r"(?<![\w.])w(['′]?)\.(?=x(?:_|\b))"), r"w\1·"),
    (re.compile(r"(?<=[\w'′)]) \. (?=\w)"), "·"),
    (re.compile(r"(?<![A-Za-z'])([A-Za-z]|relu|tanh)'(?!\w)"), r"\1′"),
    (re.compile(r"(?<=[A-Za-z0-9)])'"), "’"),
    (re.compile(r'"([^"]*)"'), r"“\1”"),
    (re.compile(r"(?<=[\w)′])(?: \* |\*)(?=[\w(])"), "·"),
    (re.compile(r"(?<=\s)-(?=\s)"), "−"),
    (re.compile(r"(?<=\)) x (?=\()"), " × "),
    (re.compile(r"(?<![\w-])([A-Za-z])-(?=\d+(?![\w-]))"), r"\1−"),
    (re.compile(r"(?<![-\w)\]^])-(?=\.?\d|[A-Za-z](?![A-Za-z-]))"), "−"),
)


def printed(text: str) -> str:
    """The text with the signs that print has and a keyboard has not.

    >>> printed("r' and the paper's 'B' on [-1, R_1]: w - 2*eta"), printed('it says "all"')
    ("r′ and the paper’s 'B’ on [−1, R_1]: w − 2·eta", 'it says “all”')
    >>> printed("the (n + 1) x (n + 1) matrix")
    'the (n + 1) × (n + 1) matrix'
    """
    for pattern, sign in _SIGNS:
        text = pattern.sub(sign, text)
    return text
