"""Published statements counted by what the ledger found: how many hold, hold with a repair, or fail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Fate = Literal["fails", "repaired", "open", "holds"]
"""What became of a published statement, the gravest first; FATES says it in words."""

FATES: dict[Fate, tuple[str, str]] = {
    "holds": ("holds as written", "hold as written"),
    "repaired": ("holds with a repair", "hold with a repair"),
    "fails": ("fails as written", "fail as written"),
    "open": ("is open", "are open"),
}


class _Judged(Protocol):
    """What is counted: an entry of the ledger, or anything with these names."""

    @property
    def source(self) -> str: ...
    @property
    def bearing(self) -> str: ...
    @property
    def severity(self) -> str: ...


@dataclass(frozen=True)
class Tally:
    """How many published statements the ledger judged, by what became of them.

    fates: number of statements of each fate.  vacuous: how many of those that do not fail say nothing at
    practical sizes.  findings: number of entries.
    """

    fates: dict[Fate, int]
    vacuous: int
    findings: int

    @property
    def statements(self) -> int:
        return sum(self.fates.values())

    @property
    def sentence(self) -> str:
        """The counts as a sentence that a reader cannot mistake for counts of our own findings.

        >>> Tally({"holds": 3, "repaired": 1, "fails": 0, "open": 0}, 1, 6).sentence
        'Of 4 published statements checked, 3 hold as written and 1 holds with a repair; 1 of these 4 says \
nothing at practical sizes.'
        """
        counts = [
            f"{count} {FATES[fate][0 if count == 1 else 1]}"
            for fate in FATES
            if (count := self.fates.get(fate, 0))
        ]
        if not counts:
            return "No published statement was checked."
        listed = counts[0] if len(counts) == 1 else f"{', '.join(counts[:-1])} and {counts[-1]}"
        noun = "statement" if self.statements == 1 else "statements"
        verb = "says" if self.vacuous == 1 else "say"
        empty = (
            f"; {self.vacuous} of these {self.statements} {verb} nothing at practical sizes"
            if self.vacuous
            else ""
        )
        return f"Of {self.statements} published {noun} checked, {listed}{empty}."


def fate(judged: Iterable[_Judged]) -> Fate:
    """What became of one statement, from all findings about it: the gravest counts.

    A false sentence and a missing hypothesis need a repair, be it in the wording alone.
    """
    found = list(judged)
    if any(one.severity == "statement" for one in found):
        return "fails"
    if any(one.bearing in ("error", "gap") for one in found):
        return "repaired"
    return "open" if all(one.bearing == "open" for one in found) else "holds"


_ABOUT = re.compile(r"\b[Pp]roof of (?=[A-Z])| \((?:[^()]|\([^()]*\))*\)$")
AnyJudged = TypeVar("AnyJudged", bound=_Judged)


def statement_of(source: str) -> str:
    """The source of a statement, for a finding about its proof, a part of it, or its repaired form, too.

    >>> statement_of("arXiv:1, proof of Lemma 2"), statement_of("arXiv:1, Lemma 2 (with a hypothesis)")
    ('arXiv:1, Lemma 2', 'arXiv:1, Lemma 2')
    """
    return _ABOUT.sub("", source)


def by_statement(judged: Iterable[AnyJudged]) -> dict[str, list[AnyJudged]]:
    """Findings by the source of the statement that they judge.

    What is found about its proof, a part of it or its repaired form is found about the statement.

    >>> from collections import namedtuple
    >>> of = namedtuple("of", "source bearing severity")
    >>> list(by_statement([of("arXiv:1, Lemma 2", "", ""), of("arXiv:1, proof of Lemma 2", "", "")]))
    ['arXiv:1, Lemma 2']
    """
    found: dict[str, list[AnyJudged]] = {}
    for one in judged:
        found.setdefault(statement_of(one.source), []).append(one)
    return found


def count_statements(judged: Iterable[_Judged]) -> Tally:
    """The statements of these findings counted, each once; words that were only read are none."""
    every = by_statement(judged)
    statements = {name: found for name, found in every.items() if any(_asserts(one) for one in found)}
    fates: dict[Fate, int] = dict.fromkeys(FATES, 0)
    vacuous = 0
    for found in statements.values():
        became = fate(found)
        fates[became] += 1
        vacuous += became != "fails" and any(one.bearing == "vacuous" for one in found)
    return Tally(fates, vacuous, sum(map(len, every.values())))


def _asserts(one: _Judged) -> bool:
    return one.bearing != "reading"
