r"""Converts plain text and names of symbols to LaTeX, escaped so that no text can break a document."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile

from icgd.reports.mathematics.allowed import is_mathematics
from icgd.reports.mathematics.inline import formulas
from icgd.reports.mathematics.letters import BLACKBOARD, GREEK, SYMBOLS
from icgd.reports.mathematics.letters import Tex as Tex

_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": r"\icgdquote{}",
    "`": r"\textasciigrave{}",
    # Directly after the \\ of a row, TeX would read these as its arguments.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    # Two of these in a row would become a dash or a quotation mark.
    "-": "-{}",
    ",": ",{}",
}

_LETTERS = {
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "¶": r"\P{}", "°": r"\textdegree{}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "…": r"\dots{}", "•": r"\textbullet{}",
    "€": r"\texteuro{}", "£": r"\pounds{}", "\u2010": "-{}", "\u2011": "-{}", "\u00ad": "", "\u200b": "",
}  # fmt: skip

_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327",
        "`'^~=u.\"rHvc",
        strict=True,
    )
)
_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "₀₁₂₃₄₅₆₇₈₉₊₋"

_SIGNS = {"<=": r"\le", ">=": r"\ge", "==": "=", "->": r"\to", "+/-": r"\pm"}
_INLINE = re.compile(
    "(?P<sign>" + "|".join(map(re.escape, _SIGNS)) + ")"
    r"|(?<![\w\\.~])(?P<base>[A-Za-zα-ωΓ-Ωϵ])_(?P<lower>min|max|out|GD|ℓ|[A-Za-z0-9]{1,2})"
    r"(?:\^(?P<raised>-?1/\d+|-?[A-Za-z0-9]+))?(?![\w\\/^]|\.\w)"
    r"|(?<![\w\\.~])(?P<letter>[A-Za-z])\^(?P<exponent>\d+)(?!\w|\.\w)"
    r"|(?<=[A-Za-zα-ω)])\^(?P<power>-?1/\d+|-?[A-Za-z0-9]+)(?!\w|\.\w)"
)
"""What can only be mathematics: a relation, an indexed letter, a power of a letter or of a bracket."""

_SPELLED = {
    "eta": "η",
    "eps": "ε",
    "epsilon": "ε",
    "lambda": "λ",
    "Lambda": "Λ",
    "mu": "μ",
    "kappa": "κ",
    "rho": "ρ",
    "Omega": "Ω",
}
_WORDS = re.compile(
    r"(?<![\w\\.])(?<!--)("
    + "|".join(_SPELLED)
    + r")(?=_(?:min|max|[A-Za-z])\b|_[+-](?![\w+-])|_\{|(?![\w\\]|\.\w|[/-]\w\w))"
)

_INDEXED = re.compile(r"(?<![^\W_])([A-Za-z])([⁰¹²³⁴⁵⁶⁷⁸⁹]+|[₀₁₂₃₄₅₆₇₈₉]+)(?!\w)")
_TYPED = {ord(one): str(value) for row in ("⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉") for value, one in enumerate(row)}

_LONG, _RUN, _WORD = 16, 12, 24
"""A word longer than _LONG may be broken after punctuation, and after any _RUN letters in a row."""


def escape(text: object) -> Tex:
    r"""Any text as LaTeX for a paragraph: ASCII, special characters escaped, long words breakable.

    Mathematics in plain text is typeset as in the papers: norm2(w), eta, B_x, S^-1, <=.

    >>> print(escape("50% of n_x.csv & -1"), escape("ε ≥ x²"), escape("norm2(v_jk) <= 2"), sep="\n")
    50\% of n\_x.csv \& \mbox{-}1
    \ensuremath{\varepsilon\ge x^{2}}
    \ensuremath{\Vert v_{jk}\Vert_{2} \le 2}
    """
    return text if isinstance(text, Tex) else _escaped(str(text))


@lru_cache(maxsize=20_000)  # a report shows most of its texts again in the fragments for papers
def _escaped(text: str) -> Tex:
    plain = " ".join(as_typed(spelled(text)).split())
    return Tex(
        "".join(
            rf"\ensuremath{{{part}}}" if isinstance(part, Tex) else _words(part) for part in formulas(plain)
        )
    )


def without_mathematics(text: object) -> Tex:
    """Words as LaTeX in which no letter stands for a quantity.

    >>> print(without_mathematics("v3, with appendices A to G"))
    v3,{} with appendices A to G
    """
    return Tex(" ".join(map(_word, str(text).split())))


def spelled(text: str) -> str:
    """The text with Greek letters for their names, and with bars for norms.

    >>> spelled("norm2(err) <= eta*eps"), spelled("∥K∥_2")
    ('‖err‖₂ <= η*ε', '‖K‖₂')
    >>> spelled("max(lambda_-, lambda_+ - 2/eta)")
    'max(λ_-, λ_+ - 2/η)'
    """
    return _WORDS.sub(lambda found: _SPELLED[found[1]], _norms(text))


def as_typed(text: str) -> str:
    """The text with C^4 and x_1 for C⁴ and x₁, so that they are set as mathematics.

    >>> as_typed("C⁴, x₁ and 10⁻³")
    'C^4, x_1 and 10⁻³'
    """
    return _INDEXED.sub(_typed, text)


def code(text: object) -> Tex:
    """A name, path or hash in typewriter, every character as it is, with places where it may break."""
    return Tex(r"\texttt{" + " ".join(map(_word, str(text).split())) + "}")


def claim_key(key: object) -> Tex:
    r"""The key of a claim in typewriter, which breaks after a slash, and between words only if it is long.

    >>> print(claim_key("looped/examples-before"))
    \texttt{looped/\icgdword{}examples-{}before}
    """
    parts = re.split(r"(?<=/)(?=.)", str(key))
    words = [word for part in parts for word in (re.split(r"(?<=-)", part) if len(part) > _WORD else [part])]
    # A longer word would not fit a column.
    shown = ("".join(map(_character, word)) if len(word) <= _WORD else _word(word) for word in words)
    return Tex(r"\texttt{" + r"\icgdword{}".join(shown) + "}")


def command(text: object) -> Tex:
    r"""A command in typewriter that may break anywhere; cut short if LaTeX cannot print all its characters.

    >>> print(command("icgd audit --inputs 日"))
    \texttt{icgd audit} (names not printable here: see \texttt{report.json})
    """
    words = str(text).split(" ")
    if not is_printable(str(text)):
        start = list(takewhile(lambda word: is_printable(word) and not word.startswith("-"), words))
        return Tex(rf"{code(' '.join(start))} (names not printable here: see {code('report.json')})")
    return Tex(r"\texttt{" + " ".join(r"\icgdbreak{}".join(map(_character, word)) for word in words) + "}")


def is_printable(text: str) -> bool:
    """Whether LaTeX can print every character as a reader would type it."""
    return not any("U+" in _character(character) for character in text if not character.isascii())


def _typed(found: re.Match[str]) -> str:
    return found[1] + ("^" if found[2][0] in _RAISED else "_") + found[2].translate(_TYPED)


def _norms(text: str) -> str:
    """The text with norm2(..) written with bars, and with a lowered 2 after any norm."""
    text = re.sub(r"‖_2\b", "‖₂", text.replace("∥", "‖"))
    while found := re.search(r"\bnorm([12])\(((?:[^()]|\([^()]*\))*)\)", text):
        text = f"{text[: found.start()]}‖{found[2]}‖{'₁₂'[found[1] == '2']}{text[found.end() :]}"
    return text


def _words(text: str) -> str:
    """Words between formulas, with the spaces at their ends."""
    made = " ".join(map(_set, text.split()))
    return " " * text[:1].isspace() + made + " " * (text[-1:].isspace() and bool(made))


def _set(word: str) -> str:
    """A word with its mathematics typeset in math mode."""
    return "".join(
        rf"\ensuremath{{{part}}}" if isinstance(part, Tex) else _word(part) for part in pieces(word)
    )


def pieces(word: str) -> Iterator[str | Tex]:
    r"""A word in pieces: text, and LaTeX of what can only be mathematics.

    >>> list(pieces("[-R_1,C^4)")), list(pieces("A_ℓ"))
    (['[-', 'R_{1}', ',', 'C^{4}', ')'], ['A_{\\ell}'])
    """
    end = 0
    for found in _INLINE.finditer(word):
        if found.start() > end:
            yield word[end : found.start()]
        yield Tex(_inline(found))
        end = found.end()
    if end < len(word):
        yield word[end:]


def _inline(found: re.Match[str]) -> str:
    if found["sign"]:
        return _SIGNS[found["sign"]]
    if found["letter"]:
        return f"{found['letter']}^{{{found['exponent']}}}"
    if found["power"]:
        return f"^{{{found['power']}}}"
    base = "\\" + GREEK[found["base"]] if found["base"] in GREEK else found["base"]
    lower = found["lower"]
    index = lower if lower.isascii() and lower.islower() and len(lower) < 3 else _lower(lower)
    raised = f"^{{{found['raised']}}}" if found["raised"] else ""
    return rf"{base}_{{{index}}}{raised}"


def _word(word: str) -> str:
    made: list[str] = []
    run, word = 0, unicodedata.normalize("NFC", word)
    for here, character in enumerate(word):
        if character in _ACCENTS and made and word[here - 1].isascii() and word[here - 1].isalpha():
            made[-1] = f"\\{_ACCENTS[character]}{{{made[-1]}}}"  # no letter with this accent exists
            continue
        # A line must not end between a minus sign and its number.
        minus = here == 0 and character == "-" and word[1:2].isdigit()
        made.append(r"\mbox{-}" if minus else _character(character))
        hump = character.islower() and word[here + 1 : here + 2].isupper()
        run = run + 1 if character.isalnum() and not hump else 0
        within = character in ".," and word[here + 1 : here + 2].isdigit()
        ends = run == 0 and character not in "([{<-" and not within
        if len(word) > _LONG and here < len(word) - 1 and (ends or run > _RUN):
            made.append(r"\allowbreak{}")
    return "".join(made)


def _character(character: str) -> str:
    if character in _ASCII:
        return _ASCII[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if character in _LETTERS:
        return _LETTERS[character]
    if character == "\N{MINUS SIGN}":
        return r"\ensuremath{-}"
    if character == "\N{PRIME}":
        return r"\ensuremath{'}"
    if name := GREEK.get(character) or SYMBOLS.get(character):
        return rf"\ensuremath{{\{name}}}"
    if character in BLACKBOARD:
        return r"\ensuremath{\mathbf{" + BLACKBOARD[character] + "}}"
    for row, mark in ((_RAISED, "^"), (_LOWERED, "_")):
        if character in row:
            return r"\ensuremath{" + mark + "{" + "0123456789+-"[row.index(character)] + "}}"
    return _foreign(character)


def _foreign(character: str) -> str:
    base, *marks = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and marks and all(mark in _ACCENTS for mark in marks):
        for mark in marks:
            base = f"\\{_ACCENTS[mark]}{{{base}}}"
        return base
    plain = unicodedata.normalize("NFKC", character)
    if plain.isascii():
        return "".join(map(_character, plain))
    if unicodedata.category(character)[0] in "CZ":
        return " " if unicodedata.category(character) != "Cf" else ""
    return rf"\texttt{{U+{ord(character):04X}}}"


_NAMES = frozenset(GREEK.values()) | {"ell"}


def symbol(name: str) -> Tex:
    r"""The name of a constant in math mode, as the papers print it.

    >>> symbol("epsilon_*"), symbol("d_{out}"), symbol("A_{r'N}"), symbol("m_dr1"), symbol("lambda1")
    ('\\varepsilon_{*}', 'd_{\\mathrm{out}}', "A_{r',N}", "m_{r',1}", '\\lambda_{1}')
    >>> symbol("E_s^{r'}")
    "E_{s}^{r'}"
    """
    base, _, lower = name.partition("_")
    lower, _, raised = lower.partition("^")
    if not lower and (numbered := re.fullmatch(r"([A-Za-z]+)(\d+)", base)):
        base, lower = numbered.groups()
    head = _head(base)
    lower = lower.strip("{}")
    above = f"^{{{_lower(raised.strip('{}'))}}}" if raised else ""
    return Tex(f"{head}_{{{_lower(lower)}}}{above}" if lower else head)


def quantity(name: str) -> Tex:
    r"""The quantity of a claim, such as step_error or lambda_max, in math mode."""
    return symbol(name) if name.partition("_")[0] in _NAMES else Tex(rf"\text{{{spoken(name)}}}")


def spoken(name: str) -> Tex:
    r"""The name of a quantity in words, as a colleague would say it.

    >>> spoken("mlp_width"), spoken("least_norm_1"), spoken("dr_error")
    ('MLP width', 'least norm,{} 1-{}norms', "error in \\ensuremath{r'}")
    """
    if found := re.fullmatch(r"(least_)?norm(_1)?", name):
        return escape(f"{'least ' if found[1] else ''}norm, {'1' if found[2] else '2'}-norms")
    if found := re.fullmatch(r"(p|r|dr|u|s)_error", name):
        return escape(f"error in {found[1].replace('dr', 'r′')}")
    return escape(name.replace("_", " ").replace("mlp", "MLP"))


def _head(base: str) -> str:
    if base == "epsilon":
        return r"\varepsilon"
    if base in _NAMES:
        return "\\" + base
    return (
        base if len(base) == 1 and base.isascii() and base.isalnum() else r"\mathrm{" + _upright(base) + "}"
    )


def _lower(lower: str) -> str:
    if layered := re.fullmatch(r"(d?)r('?)(N|\d*)", lower):
        derived, dashed, index = layered.groups()
        return ("r'" if derived or dashed else "r") + (f",{index}" if index else "")
    if product := re.fullmatch(r"x(\d+)", lower):
        return rf"\times,{product[1]}"
    if lower in ("max", "min"):
        return "\\" + lower
    if lower in SYMBOLS:
        return "\\" + SYMBOLS[lower]
    if lower == "*" or (lower.isascii() and lower.isdigit()):
        return lower
    return _head(lower)


def _upright(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9'.,+-]", " ", text).strip()


_TIDY = (
    (re.compile(r"\\epsilon(?![A-Za-z])"), r"\\varepsilon"),
    (re.compile(r"_\{(out|max|min)\}"), lambda found: f"_{{{_lower(found[1])}}}"),
    (re.compile(r"\\log\{\\left\((\d+) *\\right\)\}"), r"\\ln \1"),
    (re.compile(r"\\log(?![A-Za-z])"), r"\\ln"),
    (re.compile(r"_\{(d?r'?(?:N|\d+)|x\d+)\}"), lambda found: f"_{{{_lower(found[1])}}}"),
)  # fmt: skip


def tidy(latex: str) -> str:
    r"""LaTeX from sympy or from a statement, with symbols changed to the papers' letters.

    >>> tidy(r"\epsilon^{2} d_{out} \log{\left(2 \right)}")
    '\\varepsilon^{2} d_{\\mathrm{out}} \\ln 2'
    """
    for pattern, replacement in _TIDY:
        latex = pattern.sub(replacement, latex)
    return latex


def displayed(latex: str) -> Tex:
    r"""A formula for math mode; if it is not pure mathematics, its source characters in typewriter.

    >>> displayed(r"K \le 2"), displayed(r"\input{x}")
    ('K \\le 2', '\\text{\\texttt{\\textbackslash{}input\\{x\\}}}')
    """
    if is_mathematics(latex) and "$" not in latex:
        return Tex(tidy(latex))
    return Tex(rf"\text{{{code(latex)}}}")


def statement(text: str) -> Tex:
    r"""A claim's statement, which is LaTeX text with $..$ or a bare formula; any other text is escaped.

    >>> statement("$L$ steps"), statement(r"2 \le x"), statement("100% sure")
    ('$L$ steps', '$2 \\le x$', '100\\% sure')
    """
    if not is_mathematics(text):
        return escape(text)
    if "$" in text:
        return Tex(tidy(text))
    return Tex(f"${tidy(text)}$") if re.search(r"[\\^_=]", text) else escape(text)
