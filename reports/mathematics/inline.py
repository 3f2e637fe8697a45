r"""Finds the formulas in plain text, such as w - eta*grad L_n(w) or max(√K, √d), and writes them in LaTeX.

The text is read by a grammar of sums, products, powers, brackets and norms.  What it cannot read stays text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from icgd.reports.mathematics.letters import BLACKBOARD, GREEK, SYMBOLS, Tex
from icgd.reports.mathematics.operators import (
    BRACKETS,
    NAMED_FUNCTIONS,
    PRODUCT_SIGNS,
    RELATIONS,
    SPACED_FUNCTIONS,
    SUM_SIGNS,
)

_TOKEN = re.compile(
    r"(?P<number>\d+(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z][\u0300-\u036f]*(?:[A-Za-z][\u0300-\u036f]*)*)"
    r"|(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)|(?P<lowered>[₀₁₂₃₄₅₆₇₈₉]+)"
    r"|(?P<sign><=|>=|==|->|\+/-|-\+|.)",
    flags=re.DOTALL,
)
_ROUNDED = ("ceil", "floor")
_ARTICLES = ("a", "A")
_ABBREVIATIONS = ("GD", "ID", "OK", "II", "IV", "VI", "ML", "QK")
_ENDS = ("", " ", ")", "]", "}", ",", ";", ".", ":", "=", "_", "‖", "|", "’", "'")
"""What may follow a star that is no product."""
_HATS = {"\u0302": r"\hat", "\u0303": r"\tilde", "\u0304": r"\bar", "\u0307": r"\dot"}
_NUMBERED = re.compile(
    r"(?:Appendix|Appendices|Panel|Option|(?:Figure|Section|Assumption|Table|Theorem|Lemma|Problem|Corollary"
    r"|Proposition|Remark|Definition|Objective|Example)s?|Corollaries) $"
)
_SPACED = re.compile(r"(\\[A-Za-z]+) +(?=[^A-Za-z0-9])")
_SCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉", "0123456789+-0123456789", strict=True))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Read:
    """What was read: its LaTeX, the place after it, and whether it can only be mathematics."""

    tex: str
    end: int
    sure: bool
    matrix: tuple[str, ...] = ()


def formulas(text: str) -> Iterator[str | Tex]:
    r"""The text in pieces: text, and LaTeX of the formulas in it; spaces are kept.

    >>> list(formulas("For a step of 2 in R^2, w - A g(w) <= n/(n+1)."))
    ['For a step of 2 in ', 'R^{2}', ', ', 'w - A\\,g(w) \\le n/(n+1)', '.']
    >>> list(formulas("an N-layer network, Appendix C.6, n_x.csv; L-BFGS took 3 s"))
    ['an N-layer network, Appendix C.6, n_x.csv; L-BFGS took 3 s']
    """
    text = re.sub(r"[^\W\d_]", lambda found: unicodedata.normalize("NFD", found[0]), text)
    reader = _Reader(text)
    here = done = 0
    while here < len(reader.tokens):
        read = None if reader.is_word(here) else reader.formula(here)
        if read is None or not read.sure or not reader.stands_alone(here, read.end):
            here += 1
            continue
        begin, end = reader.tokens[here].start, reader.tokens[read.end - 1].end
        if begin > done:
            yield text[done:begin]
        yield Tex(_SPACED.sub(r"\1", read.tex).strip())
        here, done = read.end, end
    if done < len(text):
        yield text[done:]


class _Reader:
    """A reader of one text by recursive descent; places are indices of tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            _Token(str(found.lastgroup), found[0], found.start(), found.end())
            for found in _TOKEN.finditer(text)
        ]
        self._known: dict[tuple[int, bool], _Read | None] = {}

    def _at(self, here: int) -> _Token:
        return (
            self.tokens[here]
            if here < len(self.tokens)
            else _Token("end", "", len(self.text), len(self.text))
        )

    def _after_spaces(self, here: int) -> int:
        while self._at(here).text == " ":
            here += 1
        return here

    def is_word(self, here: int) -> bool:
        """Whether no formula begins here: at an article, or at the number of a theorem or a figure."""
        token = self._at(here)
        if token.kind == "number":
            return bool(_NUMBERED.search(self.text[: token.start]))
        return self.is_article(here)

    def is_article(self, here: int) -> bool:
        """Whether this is the word a or A, and no letter of a formula."""
        before, after = self.text[: self._at(here).start], self.text[self._at(here).end :]
        if self._at(here).text == "A" and re.search(r"[\w)] $", before):  # only a sentence begins with A
            return False
        return self._at(here).text in _ARTICLES and bool(
            re.match(r" (?:[A-Za-z]|[^ ]*\w)", after) and not re.match(r" (?:[-+−·/∈<>=≤≥~∼]|in )", after)
        )

    def stands_alone(self, here: int, end: int) -> bool:
        """Whether what is read is no part of a word, a file's name or the number of a section."""
        before = self.text[: self.tokens[here].start]
        after = self.text[self.tokens[end - 1].end :]
        if re.search(r"[\w\\.~@#%’'-]$", before) or re.match(r"[\w\\^_@]|[.:]\w|'\w", after):
            return False
        lone = end == here + 1 and self.tokens[here].kind == "name"
        if lone and (_NUMBERED.search(before) or re.match(r"-[^\W\d_]{2}", after)):
            return False
        return not (lone and self.tokens[here].text == "s" and re.search(r"\d $", before))

    def formula(self, here: int) -> _Read | None:
        """Sums that relations join, the longest that can be read from here."""
        return self._joined(here, RELATIONS, self._sum, sure=True)

    def _sum(self, here: int) -> _Read | None:
        token = self._at(here)
        if token.text in SUM_SIGNS and self._at(here + 1).text != " ":
            read = self._joined(here + 1, SUM_SIGNS, self._product)
            sure = read is not None and read.sure
            sign = SUM_SIGNS[token.text] + " " * SUM_SIGNS[token.text].startswith("\\")
            return read and _Read(sign + read.tex, read.end, sure)
        return self._joined(here, SUM_SIGNS, self._product)

    def _joined(
        self, here: int, signs: dict[str, str], part: Callable[[int], _Read | None], *, sure: bool = False
    ) -> _Read | None:
        read = part(here)
        while read is not None:
            sign = self._after_spaces(read.end)
            token = self._at(sign)
            if token.text not in signs:
                return read
            spaced = self._at(sign - 1).text == " ", self._at(sign + 1).text == " "
            following = self._after_spaces(sign + 1)
            if spaced[0] != spaced[1] or (token.text == "-" and not spaced[0] and self._is_word(following)):
                return read
            more = part(following)
            if more is None:
                return read
            # A relation or a sum of numbers alone is read as well in text.
            certain = read.sure or more.sure or (sure and token.text not in ("<", ">", "->", "~"))
            gap = " " if spaced[0] or signs[token.text].startswith("\\") else ""
            read = _Read(f"{read.tex}{gap}{signs[token.text]}{gap}{more.tex}", more.end, certain)
        return None

    def _is_word(self, here: int) -> bool:
        token = self._at(here)
        return token.kind == "name" and len(token.text) > 1 and token.text not in NAMED_FUNCTIONS

    def _product(self, here: int) -> _Read | None:
        read = self._joined(here, PRODUCT_SIGNS, self._factor)
        while read is not None:
            following = self._after_spaces(read.end)
            token, spaced = self._at(following), following > read.end
            if (
                token.kind == "number"
                or token.text in ("[", "{", "|")
                or (spaced and self.is_article(following))
            ):
                return read
            if spaced and token.text == "s" and self._at(read.end - 1).kind == "number":
                return read
            if not spaced and self._at(read.end - 1).kind == "number" and token.text in ("a", "b", "c"):
                return read
            more = self._joined(following, PRODUCT_SIGNS, self._factor)
            # Between brackets a space may separate a remark from what is said.
            if more is None or not more.sure or (spaced and token.text == "(" and not self._is_product(more)):
                return read
            if not self._ends_a_word(more.end):
                return read
            gap = r"\," if spaced else ""
            read = _Read(
                read.tex + gap + (" " if read.tex[-1:].isalpha() and not gap else "") + more.tex,
                more.end,
                True,
            )
        return None

    def _is_product(self, read: _Read) -> bool:
        """Whether a bracket after a space is a factor, no remark such as (n = 2)."""
        return not re.search(r"[=<>]|\\(?:le|ge|in|to)\b", read.tex)

    def _ends_a_word(self, end: int) -> bool:
        """Whether no word or file's name goes on after what was read."""
        one = self._at(end - 1).kind == "name" and self._at(end - 2).text == " "
        after = self.text[self._at(end - 1).end :]
        return not re.match(r"[.:]\w" + (r"|-[^\W\d_]{2}" if one else ""), after)

    def _factor(self, here: int) -> _Read | None:
        base = self._base(here)
        if base is None:
            return None
        tex, end, sure = base.tex, base.end, base.sure
        scripts = {"_": "", "^": ""}
        primes = ""
        while True:
            token = self._at(end)
            if token.text in "_^" and token.text and not scripts[token.text]:
                script = self._script(end + 1)
                if script is None:
                    return None if token.text == "_" else _Read(_scripted(tex, scripts, primes), end, sure)
                scripts[token.text], end, sure = script.tex, script.end, True
            elif (
                token.kind in ("raised", "lowered")
                and not scripts[mark := "^" if token.kind == "raised" else "_"]
            ):
                scripts[mark] = "".join(_SCRIPTS[sign] for sign in token.text)
                end, sure = end + 1, True
            elif token.text == "′" or (token.text == "'" and len(self._at(end - 1).text) == 1):
                # B_r' is the bound on r', in the papers' notation.
                last = self._at(end - 2).text if self._at(end - 1).text == "r" else ""
                if last in scripts and scripts[last] == "r":
                    scripts[last] = "r'"
                else:
                    primes += "'"
                end, sure = end + 1, True
            elif token.text in ("⋆", "*") and not scripts["^"] and self._at(end + 1).text in _ENDS:
                scripts["^"], end, sure = r"\star", end + 1, True
            elif (
                token.text in ("(", "[")
                and base.sure
                and base.end - here == 1
                and self.tokens[here].kind == "name"
            ):
                arguments = self._bracket(end)
                if arguments is None:
                    break
                tex = _scripted(tex, scripts, primes) + arguments.tex
                scripts, primes, end, sure = {"_": "", "^": ""}, "", arguments.end, True
            else:
                break
        if self._at(end).text in ("_", "^") or self._at(end).kind in ("raised", "lowered"):  # such as a_b_c
            return None
        return _Read(_scripted(tex, scripts, primes), end, sure, base.matrix)

    def _script(self, here: int) -> _Read | None:
        token = self._at(here)
        if token.text == "{" and (read := self._list(here + 1, "}")) is not None:
            return _Read(read.tex, read.end + 1, True)
        if token.text == "(" and (read := self._list(here + 1, ")")) is not None:
            return _Read(read.tex, read.end + 1, True)
        if token.text in ("-", "−", "+"):
            read = self._script(here + 1)
            tex, end = (read.tex, read.end) if read else ("", here + 1)
            return _Read(SUM_SIGNS[token.text] + tex, end, True)
        if token.kind == "number":
            end = here + 1
            if token.text == "1" and self._at(end).text == "/" and self._at(end + 1).kind == "number":
                return _Read(f"{token.text}/{self._at(end + 1).text}", end + 2, True)
            return _Read(token.text, end, True)
        if token.kind == "name":
            name = token.text
            if name in ("max", "min"):
                return _Read(rf"\{name}", here + 1, True)
            letters = unicodedata.normalize("NFD", name)
            if len(letters) == 1:
                return _Read(name, here + 1, True)
            if not letters.isascii():
                return None
            italic = name.islower() and len(name) == 2
            return _Read(name if italic else rf"\mathrm{{{name}}}", here + 1, True)
        if token.text in GREEK or token.text in ("ℓ", "⊤", "⋆", "∞", "†", "⊥"):
            return _Read(rf"\{GREEK.get(token.text) or SYMBOLS[token.text]}", here + 1, True)
        return _Read("*", here + 1, True) if token.text == "*" else None

    def _base(self, here: int) -> _Read | None:
        token = self._at(here)
        if token.kind == "number":
            mantissa, _, power = token.text.lower().partition("e")
            if power:
                times = "" if mantissa == "1" else rf"{mantissa} \times "
                return _Read(rf"{times}10^{{{int(power)}}}", here + 1, True)
            return _Read(token.text.replace(",", "{,}"), here + 1, False)
        if token.kind == "name":
            return self._named(here)
        if token.text in GREEK or token.text in ("∇", "∂", "ℓ", "∞", "∅", "∑", "∏", "∫"):
            word = GREEK.get(token.text) or SYMBOLS[token.text]
            return _Read(rf"\{word} ", here + 1, True)
        if token.text in BLACKBOARD:
            return _Read(rf"\mathbf{{{BLACKBOARD[token.text]}}}", here + 1, True)
        if token.text == "√":
            read = self._root(self._after_spaces(here + 1))
            return read and _Read(rf"\sqrt{{{read.tex}}}", read.end, True)
        return self._bracket(here) if token.text in BRACKETS else None

    def _root(self, here: int) -> _Read | None:
        """What stands under a root: a bracket without its brackets, or a factor."""
        if self._at(here).text == "(" and (read := self._list(here + 1, ")")) is not None:
            return _Read(read.tex, read.end + 1, True)
        return self._factor(here)

    def _named(self, here: int) -> _Read | None:
        name = self._at(here).text
        plain = unicodedata.normalize("NFD", name)
        base, marks = plain[0], plain[1:]
        if len(plain) == 1:
            return _Read(name, here + 1, True)
        if marks and all(mark in _HATS for mark in marks):
            for mark in marks:
                base = f"{_HATS[mark]}{{{base}}}"
            return _Read(base, here + 1, True)
        following = self._at(here + 1).text
        if name == "sqrt":
            read = self._root(self._after_spaces(here + 1)) if following in (" ", "(") else None
            return read and _Read(rf"\sqrt{{{read.tex}}}", read.end, True) if read and read.sure else None
        if name in NAMED_FUNCTIONS and following in ("(", "{", "_", "^", "|", "‖"):
            read = self._applied(here, here + 1)
            if read is not None:
                return read
        if name in _ROUNDED and following == "(" and (read := self._list(here + 2, ")")) is not None:
            return _Read(rf"\l{name} {read.tex}\r{name} ", read.end + 1, True)
        if name == "sum" and following == " " and self._at(here + 3).text == "_":
            read = self._product(here + 2)
            return read and _Read(r"\sum " + read.tex, read.end, True)
        if name in SPACED_FUNCTIONS and following == " ":
            read = self._factor(self._after_spaces(here + 1))
            if read and (read.sure or name in ("log", "ln")) and self._at(here + 2).text not in ("a", "A"):
                return _Read(NAMED_FUNCTIONS[name] + read.tex, read.end, True)
            return None
        if name.isascii() and name.isupper() and len(name) < 4 and following == "^":
            return _Read(" ".join(name), here + 1, True)
        # Letters of a product without a space, as in nL_f or 2dK + 1.
        if len(name) == 2 and name.isascii() and name[1].isupper() and name not in _ABBREVIATIONS:
            return _Read(f"{name[0]} {name[1]}", here + 1, following in ("_", "^", "²", "³"))
        if name.isascii() and name[0].isupper() and following == "_":
            return _Read(rf"\mathrm{{{name}}}", here + 1, True)
        return None

    def _applied(self, here: int, end: int) -> _Read | None:
        """A function with its scripts and its arguments in brackets."""
        tex = NAMED_FUNCTIONS[self._at(here).text].rstrip()
        while self._at(end).text in ("_", "^"):
            script = self._script(end + 1)
            if script is None or f"{self._at(end).text}{{" in tex:
                return None
            tex, end = f"{tex}{self._at(end).text}{{{script.tex}}}", script.end
        if self._at(end).text in BRACKETS and (read := self._bracket(end)) is not None:
            return _Read(tex + read.tex, read.end, True)
        read = self._factor(self._after_spaces(end))
        return read and _Read(f"{tex} {read.tex}", read.end, True)

    def _bracket(self, here: int) -> _Read | None:
        token = self._at(here)
        close, left, right = BRACKETS[token.text]
        norm = token.text == "‖"
        if norm and self._at(here + 1).kind == "name" and self._at(here + 2).text == close:
            word, named = self._at(here + 1).text, self._named(here + 1)
            if named is None and not word.isascii():
                return None
            inner = named.tex if named else rf"\mathrm{{{word}}}"
            return _Read(f"{left}{inner}{right}", here + 3, True)
        key = (here, token.text == "|")
        if key not in self._known:
            self._known[key] = self._list(here + 1, close)
        read = self._known[key]
        if read is None:
            return None
        if token.text == "[" and len(read.matrix) > 1 and len({row.count("&") for row in read.matrix}) == 1:
            rows = r" \\ ".join(read.matrix)
            return _Read(rf"\bigl[\begin{{smallmatrix}}{rows}\end{{smallmatrix}}\bigr]", read.end + 1, True)
        sure = read.sure or token.text in "|‖⌈⌊⟨"
        row = (read.tex.replace(", ", " & "),) if token.text == "[" else ()
        return _Read(f"{left}{read.tex}{right}", read.end + 1, sure, row)

    def _list(self, here: int, close: str) -> _Read | None:
        """Formulas with commas or semicolons between them, up to the closing bracket."""
        parts: list[str] = []
        rows: list[str] = []
        sure = False
        at = self._after_spaces(here)
        while True:
            read = self.formula(at)
            if read is None:
                return None
            parts.append(read.tex)
            rows += read.matrix
            sure, at = sure or read.sure, self._after_spaces(read.end)
            if self._at(at).text == close:
                matrix = tuple(rows) if len(rows) == len(parts) else ()
                return _Read(", ".join(parts), at, sure, matrix)
            if self._at(at).text not in (",", ";"):
                return None
            at = self._after_spaces(at + 1)


def _scripted(tex: str, scripts: dict[str, str], primes: str) -> str:
    lower = f"_{{{scripts['_']}}}" if scripts["_"] else ""
    upper = f"^{{{scripts['^']}}}" if scripts["^"] else ""
    base = f"{{{tex.rstrip()}{primes}}}" if primes and upper else tex.rstrip() + primes
    return base + lower + upper if primes or lower or upper else tex
