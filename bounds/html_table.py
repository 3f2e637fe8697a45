"""Small HTML tables by which objects show themselves in a notebook; pages of reports have their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from icgd.bounds.printable import rounded

_SHOWN = 60
"""The most rows of a table in a notebook."""

_KEY = 60
"""The longest text in a first column that is not broken into lines."""


def html_table(headings: Sequence[str], rows: Iterable[Iterable[object]], *, shown: int = _SHOWN) -> str:
    """A table for notebooks: texts on the left, numbers on the right, at most `shown` rows.

    A cell that is HTML already, such as a Markup of markupsafe, is taken as it is.

    >>> html_table(["claim"], [["a<b"]])[-67:]
    '"text-align:left;white-space:nowrap">a&lt;b</td></tr></table></div>'
    """
    held = [list(row) for row in rows]
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = "".join(
        f"<tr>{''.join(_cell(value, first=index == 0) for index, value in enumerate(row))}</tr>"
        for row in held[:shown]
    )
    more = f"<p>{len(held) - shown:,} more rows</p>" if len(held) > shown else ""
    return f'<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>{more}'


def _cell(value: object, *, first: bool) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"<td>{value_in_words(value)}</td>"
    text = "" if value is None else str(value)
    style = "text-align:left" + ";white-space:nowrap" * (first and len(text) <= _KEY)
    return f'<td style="{style}">{value.__html__() if hasattr(value, "__html__") else escape(text)}</td>'


def value_in_words(value: float, *, up: bool = False) -> str:
    """A number for people, with four digits unless it is whole; whole ones grouped, or as a power of ten.

    up: rounded up, as a bound must be.

    >>> value_in_words(0.20001, up=True), value_in_words(0.20001)
    ('0.2001', '0.2')
    >>> value_in_words(1219433928), value_in_words(0.0047331), value_in_words(10**400)
    ('1,219,433,928', '0.004733', 'about 1e+400')
    """
    if isinstance(value, int) and abs(value) >= 10**300:
        power, part = divmod(math.log10(abs(value)), 1)
        return f"about {'-' * (value < 0)}{10**part:.4g}e+{power:.0f}"
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:,}"
    return rounded(value, up=up)
