"""Entries of the ledger settled: their evidence computed again and compared with the recorded numbers."""

from __future__ import annotations

import importlib
import math
import re
import string
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from icgd.bounds.printable import Brief, in_groups, rounded
from icgd.verify.catalogue import theorems
from icgd.verify.ledger.entries import Entry, EvidenceNumber, Numbers
from icgd.verify.verdict import LEDGER, Means, Status, Verdict

_PROOFS: dict[str, Means] = {
    "certificate": "certificate",
    "exact": "exact",
    "balls": "balls",
    "identity": "exact",
}
"""The kinds of evidence that are proofs, and by what."""


@dataclass(frozen=True, repr=False)
class Settled(Brief):
    """An entry whose evidence was computed again.

    numbers: what the evidence returned.  differences: why the entry does not reproduce; empty if it does.
    """

    entry: Entry
    numbers: Numbers
    differences: tuple[str, ...]
    seconds: float

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> str:
        """The key of its entry."""
        return self.entry.key

    @property
    def said(self) -> str:
        """What it means for the paper, in a sentence; or that it is not reproduced."""
        what = self.entry.headline or self.entry.claim
        return f"{self.entry.bearing}: {what}" if self.reproduces else "NOT REPRODUCED"

    @property
    def detail(self) -> str:
        """What was found, with its numbers."""
        return self.text

    def as_row(self) -> dict[str, str]:
        """The finding as a row of a table."""
        entry = self.entry
        return {
            "finding": entry.key,
            "theorem": entry.theorem,
            "place": entry.place,
            "bearing": entry.bearing,
            "severity": entry.severity,
            "headline": entry.headline,
            "text": self.text,
            "repair": self.repair,
            "reproduces": "yes" if self.reproduces else "no",
        }

    @property
    def reproduces(self) -> bool:
        return not self.differences

    @property
    def text(self) -> str:
        """The finding with its numbers."""
        return fill(self.entry.finding, self.numbers)

    @property
    def repair(self) -> str:
        """What makes the statement right, with its numbers."""
        return fill(self.entry.repair, self.numbers)

    @property
    def not_claimed(self) -> str:
        """What the entry does not say, with its numbers."""
        return fill(self.entry.not_claimed, self.numbers)

    def verdict(self) -> Verdict:
        """The finding as a verdict: proved where the evidence is exact, failed if it is not reproduced."""
        entry = self.entry
        means = _PROOFS.get(entry.kind) if entry.bearing != "open" else None
        status: Status = "proved" if means else "held"
        if self.differences:
            found = "; ".join(self.differences)
            return Verdict(f"{LEDGER}{entry.key}", "failed", f"not reproduced: {found}", entry.replay)
        evidence = f"{entry.bearing}: {self.text}"
        return Verdict(f"{LEDGER}{entry.key}", status, evidence, entry.replay, means)


class _Words(string.Formatter):
    """Formats numbers for readers; an unknown number becomes a question mark."""

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        return kwargs.get(key, "?")

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, str):
            return in_groups(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if spec.startswith("up"):
            return _raised(rounded(value, int(spec[2:]), up=True))
        if spec or isinstance(value, float):
            return _raised(format(value, spec or ".4g"))
        return f"{value:,}"


RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _raised(number: str) -> str:
    """A number in scientific notation as m×10ⁿ, another with its thousands in groups."""
    if not (found := re.fullmatch(r"(-?[\d.]+)e([+-]\d+)", number)):
        return in_groups(number)
    power = "10" + str(int(found[2])).translate(RAISED)
    if found[1] == "1":
        return power
    return f"{float(number):,.0f}" if 0 < int(found[2]) < 7 else f"{found[1]}×{power}"


def fill(words: str, numbers: Numbers) -> str:
    """The words with each {name} replaced by its number; {name:up3} rounds up to three digits.

    >>> fill("{heads} heads at eps = {eps}", {"heads": 3726826744, "eps": 0.05})
    '3,726,826,744 heads at eps = 0.05'
    >>> fill("kappa <= {kappa:up4}, off by {off:.2g}", {"kappa": 2.70621, "off": 1.2e-7})
    'kappa <= 2.707, off by 1.2×10⁻⁷'
    """
    return _Words().vformat(words, (), numbers)


class Recorded(Protocol):
    """What has recorded numbers that its evidence computes again: an entry, or the answer to a question."""

    @property
    def theorem(self) -> str: ...
    @property
    def evidence(self) -> str: ...
    @property
    def given(self) -> Mapping[str, Any]: ...
    @property
    def expected(self) -> Numbers: ...
    @property
    def tolerance(self) -> float: ...
    @property
    def placeholders(self) -> Set[str]: ...


class Recomputed(NamedTuple):
    """What the evidence returned, and why it is not what was recorded; no differences if it is."""

    numbers: Numbers
    differences: tuple[str, ...]
    seconds: float


def _evidence(recorded: Recorded) -> Callable[..., Numbers]:
    own = theorems()[recorded.theorem].evidence
    if recorded.evidence in own:
        return own[recorded.evidence]
    module, _, function = recorded.evidence.partition(".")
    found: Callable[..., Numbers] = getattr(
        importlib.import_module(f"{__package__}.evidence.{module}"), function
    )
    return found


def settle(entry: Entry) -> Settled:
    """Compute the evidence of an entry again and compare it with the recorded numbers."""
    return Settled(entry, *recompute(entry))


def recompute(recorded: Recorded) -> Recomputed:
    """Compute the evidence again and compare what it returns with the recorded numbers."""
    began = time.perf_counter()
    try:
        numbers = dict(_evidence(recorded)(**recorded.given))
    except Exception as error:  # any failure means that it is not reproduced
        reason = f"the evidence cannot be computed: {type(error).__name__}: {error}"
        return Recomputed({}, (reason,), time.perf_counter() - began)
    shows = numbers.pop("shows", None)
    differences = [] if shows is True else ["the computation does not show it"]
    for name, value in recorded.expected.items():
        if name not in numbers:
            differences.append(f"{name} is not computed")
        elif not _same(numbers[name], value, recorded.tolerance):
            differences.append(f"{name} = {numbers[name]}, recorded {value}")
    differences += [f"{name} has no value" for name in sorted(recorded.placeholders - set(numbers))]
    return Recomputed(numbers, tuple(differences), time.perf_counter() - began)


def _same(found: EvidenceNumber, recorded: EvidenceNumber, tolerance: float) -> bool:
    if isinstance(found, float) or isinstance(recorded, float):
        both = isinstance(found, int | float) and isinstance(recorded, int | float)
        return both and math.isclose(float(found), float(recorded), rel_tol=tolerance)
    return type(found) is type(recorded) and found == recorded
