"""What is safe and short to show: control characters are escaped, long fields cut, numbers rounded."""

from __future__ import annotations

import re
from dataclasses import fields
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
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


def rounded(value: float, digits: int = 4, *, up: bool = False, down: bool = False) -> str:
    """A number to so many digits: up, as an upper bound must be, down, as a lower one, or to the nearest.

    A bound that misses a short number by less than 1e-8 of itself has ten digits: 2 and a bit is not 2.001.

    >>> rounded(0.0047784114), rounded(0.0047784114, up=True), rounded(15.350216, 6, up=True)
    ('0.004778', '0.004779', '15.3503')
    >>> rounded(11.992768, down=True), rounded(0.1 + 0.2, up=True), rounded(2.0000000020000006, up=True)
    ('11.99', '0.3', '2.000000003')
    """
    short = f"{value:.{digits}g}"
    near = abs(value) * 2.0**-50  # a bound that is short in decimals stays short
    if (up and float(short) < value - near) or (down and float(short) > value + near):
        places = max(digits, 10) if abs(float(short) - value) < 1e-8 * abs(value) else digits
        toward = Context(prec=places, rounding=ROUND_CEILING if up else ROUND_FLOOR)
        short = f"{float(toward.create_decimal_from_float(value)):.{places}g}"
    return short


def in_groups(text: str) -> str:
    """A number with its thousands in groups; another text, such as a fraction or a power of ten, as it is.

    >>> in_groups("59049"), in_groups("-1234567.25"), in_groups("999"), in_groups("59049/2")
    ('59,049', '-1,234,567.25', '999', '59049/2')
    """
    found = re.fullmatch(r"(-?\d{4,})(\.\d+)?", text)
    return f"{int(found[1]):,}{found[2] or ''}" if found else text


def as_written(value: object) -> str:
    """A value as a person writes it on a command line: a number exactly, with no sign that it does not need.

    >>> as_written(0.0), as_written(0.05), as_written(0.0001), as_written(1e22), as_written("auto")
    ('0', '0.05', '1e-4', '1e22', 'auto')
    """
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e16:
        return str(value).removesuffix(".0")
    return f"{Decimal(str(value)):e}".replace("+", "")


class Brief:
    """A dataclass that shows itself in one line however much it holds; it is declared with `repr=False`."""

    __slots__ = ()

    def __repr__(self) -> str:
        held = ((one.name, getattr(self, one.name)) for one in fields(self) if one.repr)  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={printable(' '.join(_CUT.repr(value).split()))}" for name, value in held)
        return f"{type(self).__name__}({shown})"
