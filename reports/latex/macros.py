"""Prints the numbers of a document in LaTeX: named numbers as macros, all others rounded in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import in_groups
from icgd.reports.document.numbers import (
    Quantity,
    beginning_of,
    digits,
    place_of_constant,
    quantities,
    rounding_of,
)
from icgd.reports.document.shape import AuditDocument, BoundDocument
from icgd.reports.mathematics.notation import Tex, command, escape

PREFIX = "icgd"
"""How the names of macros begin, unless a user asks for another beginning."""


def check_prefix(prefix: str) -> str:
    """The prefix itself; raises ProblemError where TeX could not define macros whose names begin with it."""
    if not re.fullmatch(r"[A-Za-z]{1,30}", prefix):
        why = "a macro of TeX is named by letters alone: take 1 to 30 letters from a to z, such as small"
        raise ProblemError("prefix", prefix, why)
    if prefix.startswith("end"):
        raise ProblemError("prefix", prefix, "LaTeX keeps names that begin with end: take other letters")
    return prefix


def with_prefix(macro: str, prefix: str) -> str:
    """The name of a macro with another beginning in place of icgd.

    >>> with_prefix("icgdHeads", "small")
    'smallHeads'
    """
    return prefix + macro.removeprefix(PREFIX)


def number(value: object, *, up: bool = False, down: bool = False) -> Tex:
    r"""A value of the document as LaTeX; icgd.reports.document.numbers rounds floats.

    >>> number(0.0047784), number(None), number("inf"), number(True)
    ('\\num{0.004778}', '--', '\\ensuremath{\\infty}', 'yes')
    """
    if value is None:
        return Tex("--")
    if isinstance(value, bool):
        return Tex("yes" if value else "no")
    if not isinstance(value, int | float):
        return Tex(r"\ensuremath{\infty}") if value == "inf" else escape(value)
    shown = digits(value, up=up, down=down)
    if shown.lstrip("-") in ("inf", "nan"):
        return Tex(r"\ensuremath{" + shown.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}") + "}")
    if len(shown) > 24:
        return Tex(re.sub(r"(?<=\d)(?=(\d{3})+$)", r",\\allowbreak{}", shown))
    return Tex(rf"\num{{{shown}}}")


def exact(value: object) -> Tex:
    """A float with every digit, such as the end of an enclosing interval, which must not be rounded."""
    return Tex(rf"\num{{{value!r}}}") if isinstance(value, int | float) else escape(value)


class NamedNumbers:
    """The named numbers of a document, by their place in it; prefix: how the names of their macros begin."""

    def __init__(self, document: AuditDocument, prefix: str = PREFIX) -> None:
        self.all = tuple(replace(one, macro=with_prefix(one.macro, prefix)) for one in quantities(document))
        self._places = {one.place: one for one in self.all}

    @property
    def groups(self) -> Iterator[tuple[str, list[tuple[str, Tex]]]]:
        """For each section of the document: the common start of its names, and (rest of the name, value)."""
        for _, group in groupby(self.all, key=lambda one: one.place.split()[:2]):
            named = list(group)
            start = beginning([one.macro for one in named])
            yield (
                "\\" + start,
                [(one.macro.removeprefix(start), macro(one)) for one in named],
            )

    def at(self, place: str, value: object) -> Tex:
        """The macro of the number at a place; the value itself if it has no name."""
        found = self._places.get(place)
        if isinstance(value, str) and in_groups(value) != value:
            return Tex(rf"\num{{{value}}}")  # siunitx makes the groups
        if found is None or found.value != value:
            return number(value, **rounding_of(place.split(" ", 2)[-1]))
        return macro(found)

    def constant(self, theorem: str, name: str, bound: str, value: object) -> Tex:
        """The macro of a constant of a bound; the value itself if it has no name."""
        return self.at(place_of_constant(self._places, theorem, name, bound), value)

    def bound(self, theorem: str, key: str, claim: BoundDocument) -> Tex:
        """The value of a claim's bound, as a macro if this part or another part of the theorem names it."""
        places = (f"{theorem} bounds {key}", *(p for p in self._places if p.endswith(f" bounds {key}")))
        named = [self._places[place] for place in places if place in self._places]
        same = [one for one in named if one.value == claim["value"]]
        return macro(same[0]) if same else number(claim["value"], up=claim["relation"] == "<=")


def words(document: AuditDocument, prefix: str = PREFIX) -> Iterator[tuple[str, Tex, str]]:
    r"""Macros for the provenance of the numbers: name, text, and what it is; hashes may break anywhere.

    Always \icgdSeed, \icgdCommand and \icgdVersion, with the prefix for icgd; also the hashes of each
    certificate.
    """
    yield f"{prefix}Seed", escape(document.get("seed", 0)), "seed"
    yield f"{prefix}Command", command(document.get("command") or "icgd"), "command"
    yield f"{prefix}Version", escape((document.get("versions") or {}).get("icgd", "")), "versions icgd"
    for theorem, part in document["theorems"].items():
        begin = with_prefix(beginning_of(theorem), prefix)
        hashes, certificate = part.get("hashes"), part.get("certificate")
        if hashes:
            file = command(hashes["certificate"])
            yield f"{begin}CertificateHash", file, f"{theorem}: SHA-256 of the certificate's file"
        if hashed := hashes or certificate:
            weights = command(hashed["weights"])
            yield f"{begin}WeightsHash", weights, f"{theorem}: SHA-256 of the weights that it certifies"


def beginning(names: Sequence[str]) -> str:
    """The common start of names in camel case, cut between words.

    >>> beginning(["icgdPlanUnits", "icgdPlanUnitsBefore"]), beginning(["icgdLettern", "icgdLetterN"])
    ('icgdPlan', 'icgdLetter')
    """
    start = min(names)
    while not all(name.startswith(start) for name in names):
        start = start[:-1]
    while start:
        ends = [name.removeprefix(start) for name in names]
        letters = start.endswith(("Letter", "Constant"))
        if all(end and (end[0].isupper() or letters) for end in ends) and not start[-1].isupper():
            break
        start = start[:-1]
    return start


def macro(one: Quantity) -> Tex:
    """The macro that prints a number."""
    return Tex(f"\\{one.macro}{{}}")
