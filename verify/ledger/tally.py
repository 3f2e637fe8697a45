"""Published statements counted by what the ledger found: how many hold, hold with a repair, or fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

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
        'Of 4 published statements checked, 3 hold as written and 1 holds with a repair; 1 of them says \
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
        empty = f"; {self.vacuous} of them {verb} nothing at practical sizes" if self.vacuous else ""
        return f"Of {self.statements} published {noun} checked, {listed}{empty}."


def fate(judged: Iterable[_Judged]) -> Fate:
    """What became of one statement, from all findings about it: the gravest counts."""
    found = list(judged)
    severities = {one.severity for one in found}
    if "statement" in severities:
        return "fails"
    if severities & {"proof", "constants"}:
        return "repaired"
    return "open" if all(one.bearing == "open" for one in found) else "holds"


def count_statements(judged: Iterable[_Judged]) -> Tally:
    """The statements of these findings counted: findings with one source are about one statement."""
    statements: dict[str, list[_Judged]] = {}
    count = 0
    for one in judged:
        statements.setdefault(one.source, []).append(one)
        count += 1
    fates: dict[Fate, int] = dict.fromkeys(FATES, 0)
    vacuous = 0
    for found in statements.values():
        became = fate(found)
        fates[became] += 1
        vacuous += became != "fails" and any(one.bearing == "vacuous" for one in found)
    return Tally(fates, vacuous, count)
