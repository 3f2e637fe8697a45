r"""Converts LaTeX to MathML, so that an HTML page shows formulas without a script or an external font."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from xml.etree.ElementTree import Element

from latex2mathml.converter import Converter
from markupsafe import Markup, escape

from icgd.reports.mathematics import notation
from icgd.reports.mathematics.print_signs import printed

# fmt: off
_SHOWN = frozenset({
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "mpadded",
    "msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd",
})
"""Elements allowed in a formula; a formula with any other element is shown as LaTeX source."""

_KEPT = frozenset({
    "display", "displaystyle", "scriptlevel", "mathvariant", "stretchy", "fence", "form", "accent",
    "accentunder", "linethickness", "width", "lspace", "rspace", "minsize", "maxsize",
})
# fmt: on
_PARTS = {
    "mfrac": 2,
    "mroot": 2,
    "msub": 2,
    "msup": 2,
    "munder": 2,
    "mover": 2,
    "msubsup": 3,
    "munderover": 3,
}
_TALL = frozenset({"mfrac", "msqrt", "mroot", "munder", "mover", "munderover", "mtable"})
_FUNCTIONS = {"max": "0", "min": "0", "ln": "0.167em", "log": "0.167em", "exp": "0", "tr": "0.167em"}
"""Names of functions, which get a space before them, and the width of the space after them."""

_WORDS = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}")
_NOT_WORDS = re.compile(r"\\(text|mathrm|operatorname)\{[^{}]*\}|\\[A-Za-z]+")


@lru_cache(maxsize=4096)
def math(latex: str, *, block: bool = False) -> Markup:
    r"""The formula as MathML, or its LaTeX source in a code element if the conversion fails.

    >>> print(math("N + 4"))
    <math><mi>N</mi><mo>+</mo><mn>4</mn></math>
    >>> print(math(r"\frac{a"), math(r"\href{https://x.org}{x}"))
    <code>\frac{a</code> <math><mi>x</mi></math>
    """
    try:
        tree = Converter(display="block" if block else "inline").convert_to_element(notation.tidy(latex))
        return Markup(_written(tree))
    except Exception:  # the converter raises exceptions of many types
        return Markup("<code>{}</code>").format(latex)


def prose(text: str) -> Markup:
    r"""A text with formulas between dollars; with an odd number of dollars, all of it is text.

    >>> print(prose("at most $K$ <b>"), prose("5 $"))
    at most <math><mi>K</mi></math> &lt;b&gt; 5 $
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(math(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def worded(text: str) -> Markup:
    """A plain text with its mathematics set as such and with the signs of print; a formula does not break.

    >>> print(worded("at most eta*eps on [-1, 1]"), worded("C^4"))
    at most η·ε on [−1, 1] <span class="whole"><math><msup><mi>C</mi><mn>4</mn></msup></math></span>
    """
    return Markup(" ").join(map(_worded, notation.as_typed(notation.spelled(printed(text))).split()))


_RELATIONS = {r"\le": "≤", r"\ge": "≥", r"\to": "→", r"\pm": "±"}
"""As text, between the spaces of the text; a formula would add its own."""


def _based(latex: str) -> str:
    return f"{{}}{latex}" if latex.startswith("^") else latex


def _worded(word: str) -> Markup:
    parts = list(notation.pieces(word))
    made = Markup("").join(
        part if not isinstance(part, notation.Tex) else _RELATIONS.get(part) or math(_based(part))
        for part in parts
    )
    formula = any(isinstance(part, notation.Tex) for part in parts) or re.search(r"\d+e-\d", word)
    return Markup('<span class="whole">{}</span>').format(made) if formula else made


def statement(text: str) -> Markup:
    r"""A claim's statement: prose, or a bare formula without dollars and words.

    >>> print(statement("K^2"), statement("no formula here"))
    <math><msup><mi>K</mi><mn>2</mn></msup></math> no formula here
    """
    alone = "$" not in text and not _WORDS.search(_NOT_WORDS.sub("", text))
    return math(text) if alone else prose(text)


def symbol(name: str) -> Markup:
    """A letter of a theorem, or a symbol of a bound by its sympy name; a longer word stays text.

    >>> print(symbol("B_x"), symbol("activation"))
    <math><msub><mi>B</mi><mi>x</mi></msub></math> activation
    """
    latex = notation.symbol("epsilon" if name == "eps" else name)
    return escape(name) if re.fullmatch(r"\\mathrm\{[^{}]*\}", latex) else math(latex)


def _written(element: Element, *, tall: bool = True) -> str:
    """The element as markup: only allowed elements and attributes, all text escaped.

    tall: whether brackets must stretch to the height of their content.
    """
    tag, children = element.tag, list(element)
    if tag not in _SHOWN or len(children) != _PARTS.get(tag, len(children)):
        raise ValueError(f"{tag} with {len(children)} parts is no element of a formula")
    if tag == "mrow" and len(children) == 1:
        return _written(children[0])
    if tag == "math" and len(children) == 1 and children[0].tag == "mrow":
        return _written_as(element, _row(children[0]))
    if tag == "mo" and element.get("fence") == "true" and not tall:
        return f'<mo stretchy="false">{_text(element)}</mo>'
    if tag in ("mi", "mo") and _text(element) in _FUNCTIONS:
        return f'<mo lspace="0.167em" rspace="{_FUNCTIONS[_text(element)]}">{_text(element)}</mo>'
    if tag == "mrow" and len(children) > 1 and all(c.get("mathvariant") == "normal" for c in children):
        word = Element("mi")
        word.text = "".join(map(_text, children))
        return _written(word)
    if tag == "mi" and _text(element) in tuple("⌊⌋⌈⌉"):
        return f'<mo stretchy="false">{_text(element)}</mo>'
    return _written_as(element, _text(element) + _row(element))


def _row(element: Element) -> str:
    tall = any(one.tag in _TALL for one in element.iter())
    return "".join(_written(child, tall=tall) for child in element)


def _written_as(element: Element, inner: str) -> str:
    kept = "".join(
        f' {key}="{html.escape(value)}"'
        for key, value in element.attrib.items()
        if key in _KEPT and (key, value) != ("display", "inline")
    )
    return f"<{element.tag}{kept}>{inner}</{element.tag}>"


def _text(element: Element) -> str:
    # The converter's text holds character references, which must be decoded before they are escaped.
    return html.escape(html.unescape(element.text or ""))
