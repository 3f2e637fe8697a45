"""Numbers and other values as markup: printed numbers are rounded, and their elements have every digit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from icgd.bounds.printable import in_groups
from icgd.reports.document.numbers import Quantity, cell_rounding, grouped, place_of_constant, quantities
from icgd.reports.document.shape import AuditDocument
from icgd.reports.mathematics.mathml import prose


def shown(value: object, text: Callable[[str], Markup] = escape) -> Markup:
    """A value of the document as markup: a number is rounded, with all its digits in attributes.

    text: how a string is shown.

    >>> print(shown(0.0047784114), shown(None), shown("<b>"))
    <data value="0.0047784114" title="0.0047784114">0.004778</data> – &lt;b&gt;
    """
    if value is None:
        return Markup("–")
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Markup(", ").join(shown(one, text) for one in value)
    if isinstance(value, int | float):
        return _data(value, grouped(value))
    return text(str(value))


def cell(value: object) -> Markup:
    """A value as in a table of results, where strings may hold mathematics.

    >>> print(cell("C^4"))
    <math><msup><mi>C</mi><mn>4</mn></msup></math>
    """
    return shown(value, prose)


def exact(value: object) -> Markup:
    """A number with every digit, such as the end of an enclosing interval, which must not be rounded."""
    return _data(value, repr(value)) if isinstance(value, int | float) else shown(value)


def cell_in(value: object, column: str, row: Sequence[object]) -> Markup:
    """A cell of a table; a bound, as its column or its row says, is rounded to its safe side."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _data(value, grouped(value, **cell_rounding(column, row)))
    return cell(value)


def raised(value: float) -> Markup:
    """An upper bound, rounded up."""
    return _data(value, grouped(value, up=True))


class PageNumbers:
    """The named numbers; the page gives a number its name as id where it shows it first."""

    def __init__(self, document: AuditDocument) -> None:
        self.all = quantities(document)
        self._at = {one.place: one for one in self.all}
        self._placed: set[str] = set()

    def at(self, value: object, *place: str) -> Markup:
        """The value at a place of the document, with its name if it is a named number; a text may be one."""
        quantity = self._at.get(" ".join(place))
        if quantity is not None:
            return self.named(quantity)
        return cell_in(in_groups(value) if isinstance(value, str) else value, place[-1], ())

    def constant(self, value: object, theorem: str, name: str, bound: str) -> Markup:
        """The value of a constant of a bound, with its name if it has one."""
        return self.at(value, place_of_constant(self._at, theorem, name, bound))

    def named(self, quantity: Quantity) -> Markup:
        """The number, with its name as id unless the page already has that id."""
        new = quantity.macro not in self._placed
        self._placed.add(quantity.macro)
        text = grouped(quantity.value, up=quantity.up, down=quantity.down)
        return _data(quantity.value, text, quantity.macro, identify=new)


def _data(value: float, text: str, macro: str = "", *, identify: bool = False) -> Markup:
    digits = repr(value)
    attributes = Markup(' id="{}"').format(macro) if identify else Markup("")
    attributes += Markup(' value="{}"').format(digits)
    hint = " = ".join(word for word in (f"\\{macro}" if macro else "", digits) if word)
    if macro or digits != text.replace(",", ""):
        attributes += Markup(' title="{}"').format(hint)
    return Markup("<data{}>{}</data>").format(attributes, text)
