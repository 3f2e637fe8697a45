r"""Converts LaTeX to MathML, so that an HTML page shows formulas without a script or an external font."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from xml.etree.ElementTree import Element

from latex2mathml.converter import Converter
from markupsafe import Markup, escape

from icgd.reports.mathematics import notation
from icgd.reports.mathematics.inline import formulas
from icgd.reports.mathematics.letters import Tex
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
    r"""A text with formulas between dollars, or, with an odd number of dollars, plain text; see `worded`.

    >>> print(prose("at most $K$ <div>"), prose("5 $"))
    at most <math><mi>K</mi></math> &lt;div&gt; 5 $
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        return worded(text)
    return Markup("").join(math(part) if index % 2 else _between(part) for index, part in enumerate(parts))


def _between(text: str) -> Markup:
    """A text between formulas, with the spaces at its ends."""
    ends = [" " * (text != cut) for cut in (text.lstrip(), text.rstrip())]
    return Markup("{}{}{}").format(ends[0], worded(text), ends[1]) if text.strip() else escape(text)


def worded(text: str) -> Markup:
    r"""A plain text with its formulas as MathML and with the signs of print.

    >>> print(worded("at most eta*eps"), worded("C^4, <div>"), sep="\n")
    at most <math><mi>η</mi><mo>·</mo><mi>ε</mi></math>
    <math><msup><mi>C</mi><mn>4</mn></msup></math>, &lt;div&gt;
    """
    plain = " ".join(notation.as_typed(notation.spelled(printed(text))).split())
    return Markup("").join(
        Markup("<wbr>").join(map(_line, _lines(part)))
        if isinstance(part, Tex)
        else escape(_SIGN.sub(lambda sign: _SIGNS[sign[0]], unicodedata.normalize("NFC", part)))
        for part in formulas(plain)
    )


_SIGNS = {"<=": "≤", ">=": "≥", "->": "→", "==": "="}
_SIGN = re.compile("|".join(_SIGNS))
"""Signs that stand between words, and so in no formula."""

_LONG, _LONGEST = 24, 48
"""A formula of more characters may break before its relations; a longer one may not fit a phone."""


def _line(latex: str) -> Markup:
    """A formula, in a box that scrolls where it is wider than the screen."""
    made = math(latex)
    return Markup('<span class="scroll long">{}</span>').format(made) if len(latex) > _LONGEST else made


_RELATION = re.compile(r" (?=(?:[=<>]|\\(?:le|ge|to|approx|sim|in)(?![a-z])) )")


def _lines(latex: str) -> list[str]:
    r"""The formula in pieces between which a line may break, as no browser breaks MathML.

    >>> _lines(r"|f_{l}(x_{q}) - y| \le C\,\rho^{l}"), _lines("x = 1")
    (['|f_{l}(x_{q}) - y|', '{}\\le C\\,\\rho^{l}'], ['x = 1'])
    """
    first, *others = _RELATION.split(latex) if len(latex) > _LONG else [latex]
    pieces = [first, *(f"{{}}{piece}" for piece in others)]  # so that its relation has both its spaces
    whole = all(piece.count(a) == piece.count(b) for piece in pieces for a, b in ("()", "[]", "{}"))
    return pieces if whole else [latex]


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
    if tag == "mo" and _text(element) == "/":
        return '<mo lspace="0" rspace="0">/</mo>'
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
