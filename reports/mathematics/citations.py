"""Turns sources such as "arXiv:2411.16549, Theorem 1" into LaTeX citations, with their bibliography."""

from __future__ import annotations

import re
from pathlib import Path

from icgd.reports.mathematics.notation import Tex, escape

BIBLIOGRAPHY = Path(__file__).parent / "icgd.bib"

_ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})(?:, ([^;:]+))?")


class Sources:
    r"""The bibliography; citing an arXiv number that is not in it adds an entry without a title.

    >>> print(Sources().cite("arXiv:2411.16549, Theorem 1; constants: icgd"))
    \cite[Theorem 1]{wu2025incontext}; constants: icgd
    >>> print(Sources().cite("Davidson and Szarek 2001"))
    Davidson and Szarek 2001~\cite{davidson2001local}
    """

    def __init__(self) -> None:
        self._text = BIBLIOGRAPHY.read_text(encoding="utf-8")
        self._keys: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        for key, body in re.findall(r"@\w+\{(\w+),(.*?)\n\}", self._text, flags=re.DOTALL):
            fields = dict(re.findall(r"(\w+)\s*= \{(.*)\}", body))
            self._names[fields["author"].split(",")[0], fields["year"]] = key
            for number, _ in _ARXIV.findall(fields.get("note", "")):
                self._keys[number] = key

    def cite(self, source: str) -> Tex:
        """LaTeX of a source such as "arXiv:2411.16549, Theorem 1"; the source icgd means this report."""
        if source == "icgd":
            return Tex("this report")
        made, end = "", 0
        for found in _ARXIV.finditer(source):
            place = f"[{escape(found[2])}]" if found[2] else ""
            made += _between(source[end : found.start()]) + rf"\cite{place}{{{self._key(found[1])}}}"
            end = found.end()
        made += _between(source[end:])
        known = [
            key for (name, year), key in self._names.items() if source.startswith(name) and year in source
        ]
        return Tex(made if end or not known else rf"{made}~\cite{{{known[0]}}}")

    def _key(self, number: str) -> str:
        if number not in self._keys:
            self._keys[number] = key = f"arxiv{number.replace('.', '')}"
            self._text += f"\n@misc{{{key},\n  key   = {{{number}}},\n  title = {{arXiv:{number}}},\n}}\n"
        return self._keys[number]

    def bibliography(self) -> str:
        """The whole bibliography in BibTeX, which may include sources that were not cited."""
        return self._text


def _between(text: str) -> str:
    """The text escaped, with a space at an end kept."""
    bare = text.strip()
    if not bare:
        return " " * bool(text)
    return " " * text[0].isspace() + escape(bare) + " " * text[-1].isspace()
