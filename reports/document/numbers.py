"""Names and rounding of every number in a document: one name is its LaTeX macro, HTML id and JSON key."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypedDict, TypeGuard

from icgd.bounds.printable import in_groups, rounded
from icgd.reports.document.shape import AuditDocument, DocumentNumber, NumberSection, TheoremDocument
from icgd.reports.document.step_bound import is_checked

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_FIRST = "relu-icgd/lean"
"""The construction whose numbers need no prefix: \\icgdHeads are its heads."""

_SECTIONS: Mapping[NumberSection, str] = {
    "problem": "Letter",
    "census": "",
    "step_error": "Error",
    "plan": "Plan",
    "certificate": "Certificate",
}

_UPPER = re.compile(
    r"\b(bound|certified|proved|recurrence)\b"
    r"|^(at most|Lipschitz constant|Gauss-Newton part|rest|certain|float32)$"
)
_LOWER = re.compile(r"\b(least|lower)\b")
_CHOSEN = re.compile(r"^(step size|weight near|tolerance|least range)\b")
"""What names say: of upper bounds; of lower bounds among these; of constants that are no bounds."""


class Rounding(TypedDict):
    """How a number must be rounded: up, as an upper bound, or down, as a lower bound; neither: to nearest."""

    up: bool
    down: bool


NEAREST: Rounding = {"up": False, "down": False}


def rounding_of(name: str) -> Rounding:
    """How a number of this name is rounded, which is a key or the heading of a column.

    >>> rounding_of("coarse_certified"), rounding_of("least eigenvalue, proved")
    ({'up': True, 'down': False}, {'up': False, 'down': True})
    >>> rounding_of("sampled")
    {'up': False, 'down': False}
    """
    spaced = name.replace("_", " ")
    bounds, lower = bool(_UPPER.search(spaced)), bool(_LOWER.search(spaced))
    return {"up": bounds and not lower, "down": bounds and lower}


def cell_rounding(column: str, row: Sequence[object]) -> Rounding:
    """How a cell of a table is rounded, by the heading of its column or, if that does not say, of its row.

    >>> cell_rounding("repaired bound", ["E_s^r", 1319.0, 1319.4, "coefficient of eps_r"])
    {'up': True, 'down': False}
    >>> cell_rounding("repaired bound", ["eps_r", 2.7e-06, 1.9e-06, "tolerance of one function"])
    {'up': False, 'down': False}
    """
    if any(isinstance(one, str) and _CHOSEN.search(one) for one in row):  # chosen, so no bound
        return NEAREST
    of_column = rounding_of(column)
    return of_column if of_column != NEAREST or not row else rounding_of(str(row[0]))


@dataclass(frozen=True)
class Quantity:
    """A number with a name.

    macro: its name, letters only, such as icgdHeads.  place: its path in the document, for readers.
    up: whether it is an upper bound; those are rounded up.  down: whether it is a lower bound.
    """

    macro: str
    place: str
    value: int | float
    up: bool = False
    down: bool = False

    @property
    def digits(self) -> str:
        """The number as it is printed everywhere."""
        return digits(self.value, up=self.up, down=self.down)


def digits(value: DocumentNumber, *, up: bool = False, down: bool = False) -> str:
    """Whole numbers in full, others to four digits; no other rounding happens when a document is printed.

    up: round up, as upper bounds must be.  down: round down, as lower bounds must be.  A bound that misses a
    short number by less than 1e-8 of itself has ten digits, so that 2 and a margin is not printed as 2.001.

    >>> digits(1219433928), digits(0.0047784114), digits(51.43894), digits(1e-13), digits(float("inf"))
    ('1219433928', '0.004778', '51.44', '1e-13', 'inf')
    >>> digits(0.0047784114, up=True), digits(0.05, up=True)
    ('0.004779', '0.05')
    >>> digits(-11.992768, down=True), digits(2.0000000020000006, up=True)
    ('-12', '2.000000003')
    """
    if isinstance(value, int | str) or not math.isfinite(value):
        return str(value)
    mantissa, _, exponent = rounded(value, up=up, down=down).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def grouped(value: DocumentNumber, *, up: bool = False, down: bool = False) -> str:
    """The same digits with thousands in groups, as siunitx prints them in LaTeX.

    >>> grouped(1219433928), grouped(1062.77), grouped(-1234.5, up=True), grouped(0.0047784114, up=True)
    ('1,219,433,928', '1,063', '-1,234', '0.004779')
    """
    return in_groups(digits(value, up=up, down=down))


def quantities(document: AuditDocument) -> tuple[Quantity, ...]:
    """The numbers of a report's document, each with a unique name.

    document: from icgd.reports.document.document.audit_document.  Raises ValueError for a name used twice.
    """
    found = tuple(_quantities(document))
    names = [one.macro for one in found]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"two numbers are called {', '.join(twice)}")
    return found


def _quantities(document: AuditDocument) -> Iterator[Quantity]:
    shown: set[str] = set()
    for theorem, part in document["theorems"].items():
        short = theorem.removeprefix("relu-icgd/")
        prefix = beginning_of(theorem)
        chosen = part.get("chosen") or {}
        for section, title in _SECTIONS.items():
            for key, posed in (part.get(section) or {}).items():
                if key == "certified" and not is_checked(part):
                    continue  # a bound that no checker accepted is not certified, whatever the document says
                # For a letter that was left to the theorem, print the value that the theorem chose.
                value = chosen.get(key, posed) if section == "problem" else posed
                # Names of letters keep their case, to distinguish n from N.
                letter = key if len(key) == 1 and key.isascii() and key.isalpha() else _camel(key)
                name = prefix + title + letter
                if is_number(value):
                    rounding = NEAREST if section == "problem" else rounding_of(key)
                    yield Quantity(name, f"{theorem} {section} {key}", value, **rounding)
        for key, claim in part["bounds"].items():
            own = key.removeprefix(f"{theorem.split('/')[0]}/")
            if key not in shown:
                of_block = own.startswith(f"{short}/")
                name = prefix + "Bound" + _camel(own.removeprefix(f"{short}/"), also=of_block)
                if is_number(claim["value"]):
                    upper = claim["relation"] == "<="
                    yield Quantity(name, f"{theorem} bounds {key}", claim["value"], upper)
        yield from _constants(theorem, part, prefix, shown)
        shown |= part["bounds"].keys()
    for entry in document.get("findings", ()):
        for key, value in entry["numbers"].items():
            if is_number(value):
                short = entry["key"].split("/")[-1]
                name = f"icgdFinding{_camel(short)}{_camel(key)}"
                yield Quantity(name, f"finding {entry['key']} {key}", value, **rounding_of(key))
    for asked in document.get("questions", ()):
        for key, value in asked["numbers"].items():
            if is_number(value):
                name = f"icgdQuestion{_camel(asked['key'])}{_camel(key)}"
                yield Quantity(name, f"question {asked['key']} {key}", value, **rounding_of(key))


def _constants(theorem: str, part: TheoremDocument, prefix: str, shown: Set[str]) -> Iterator[Quantity]:
    """The constants of a part's bounds, but for letters of the problem and bounds, which have names already.

    shown: the keys of bounds of earlier parts.
    """
    problem = {**(part.get("problem") or {}), **(part.get("chosen") or {})}
    found: dict[str, dict[float, str]] = {}
    roundings: dict[tuple[str, float], Rounding] = {}
    for key, claim in part["bounds"].items():
        for name, constant in (claim.get("constants") or {}).items() if key not in shown else ():
            value = constant["value"]
            if is_number(value) and value not in (problem.get(letter_of(name)), claim["value"]):
                found.setdefault(name, {}).setdefault(value, key)
                of_bound = claim["relation"] == "<="
                roundings.setdefault(
                    (name, value), _rounding_of_constant(constant.get("meaning", ""), of_bound)
                )
    used: Counter[str] = Counter()
    for name, values in found.items():
        for value, key in values.items():
            of = key if len(values) > 1 else ""
            words = _camel(name.replace("'", " prime ").replace("*", " star "))
            # As in names of letters, the case of the first distinguishes c from C.
            start = name[:1] if name[:1].isascii() and name[:1].isalpha() else words[:1]
            macro = prefix + "Constant" + start + words[1:] + (f"In{_camel(of)}" if of else "")
            used[macro] += 1
            again = _camel(str(used[macro])) if used[macro] > 1 else ""  # Greek letters have no name of ours
            yield Quantity(macro + again, constant_place(theorem, name, of), value, **roundings[name, value])


def _rounding_of_constant(meaning: str, of_bound: bool) -> Rounding:
    """What an upper bound is made of bounds from above, too, unless it was chosen or is a lower end."""
    lower = meaning.startswith("lower end")
    return {"up": of_bound and not lower and not _CHOSEN.search(meaning), "down": of_bound and lower}


def letter_of(constant: str) -> str:
    """The letter of a problem that a constant of this name stands for, if there is one.

    >>> letter_of("d_{out}"), letter_of("epsilon")
    ('d_out', 'eps')
    """
    return {"epsilon": "eps"}.get(constant, re.sub(r"[{}]", "", constant))


def constant_place(theorem: str, name: str, bound: str = "") -> str:
    """The place of a constant in the document; bound: the claim it stands in, if several give it values."""
    return f"{theorem} constants {name}{f' in {bound}' if bound else ''}"


def place_of_constant(known: Container[str], theorem: str, name: str, bound: str) -> str:
    """The place of a constant of a bound among known places: its own in the bound, or the theorem's."""
    own = constant_place(theorem, name, bound)
    return own if own in known else constant_place(theorem, name)


def beginning_of(theorem: str) -> str:
    """The prefix of the names of a part's numbers.

    >>> beginning_of("relu-icgd/lean"), beginning_of("softmax-icgd")
    ('icgd', 'icgdSoftmaxIcgd')
    """
    return "icgd" + ("" if theorem == _FIRST else _camel(theorem.removeprefix("relu-icgd/")))


def is_number(value: object) -> TypeGuard[float]:
    """Whether the value is a number, and not a word such as "inf" or a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def exceeds(one: object, other: object) -> bool:
    """Whether both are numbers, and the first is larger."""
    return is_number(one) and is_number(other) and one > other


def _camel(words: str, *, also: bool = False) -> str:
    r"""A name of letters only.  also: prefix "Built", to distinguish it from the published bound.

    >>> _camel("theorem-1/loss"), _camel("B_v"), _camel("heads", also=True)
    ('TheoremOneLoss', 'BV', 'BuiltHeads')
    """
    parts = re.findall(r"[A-Za-z]+|\d", words)
    name = "".join(_DIGITS[int(p)] if p.isdigit() else p[0].upper() + p[1:] for p in parts)
    return f"Built{name}" if also else name
