"""Entries of the ledger: reads findings about published statements, and checks that they still reproduce.

Entries are data (verify/ledger/*.toml, one file per paper); the evidence function that an entry names
computes the numbers in its text again, and they are compared with the recorded ones.
"""

from __future__ import annotations

import difflib
import importlib
import math
import re
import string
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, get_args

from icgd.bounds.letters import ProblemError
from icgd.verify.catalogue import theorems
from icgd.verify.results import Grid
from icgd.verify.verdict import Status, Verdict

EvidenceNumber = int | float | str | bool
Numbers = Mapping[str, EvidenceNumber]
Outcome = Literal["confirmed", "refuted", "open"]
Kind = Literal["certificate", "identity", "witness", "count"]
Bearing = Literal["contradicts", "gap", "vacuous", "sharper", "confirms", "reading", "open"]
"""What a finding means for the paper.

contradicts: a published statement is false as written.  gap: a hypothesis or a constant is missing.
vacuous: true, but it says nothing at practical sizes.  sharper: true, and more is true: less suffices, a
better bound holds, or there is more than is characterised.  confirms: true as stated, and its hypotheses are
needed.  reading: the statement is ambiguous, and a reading had to be chosen.  open: nothing is settled.
"""


class LedgerError(ValueError):
    """An entry cannot be read; the message says which one and why."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One finding.

    key: arXiv number and a name, such as "2411.16549/relu-not-smooth".  theorem: its name in the catalogue.
    source: where in the paper.  claim: what the paper asserts or omits.  candidate: the sentence that the
    finding confirms or refutes.  outcome: of the candidate; refuted only where the paper states or clearly
    implies it.  bearing: what this means for the paper.
    finding: what was found; {name} stands for a computed number.
    kind: certificate (balls or exact arithmetic on given inputs), identity (symbols), witness (one instance),
    count (sizes, from formulas or tensors).  evidence: "module.function" of verify/ledger/evidence/, or the
    name of a function in the theorem's own `evidence`.
    given: arguments of that function.  holds: what still holds.  expected: recorded numbers.
    tolerance: relative, for floats; everything else must be equal.  listed: its numbers in the first list of
    candidates.  headline: whether a summary must include it.
    """

    key: str
    theorem: str
    source: str
    claim: str
    candidate: str
    outcome: Outcome
    bearing: Bearing
    finding: str
    kind: Kind
    evidence: str
    holds: str
    expected: Numbers
    given: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    headline: bool = False
    listed: tuple[int, ...] = ()

    @property
    def replay(self) -> str:
        """The command that computes the finding again."""
        return f"icgd findings {self.key}"

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the computed numbers in the texts `finding` and `holds`."""
        words = string.Formatter().parse(self.finding + self.holds)
        return frozenset(name for _, name, _, _ in words if name)


@dataclass(frozen=True)
class Settled:
    """An entry whose evidence was computed again.

    numbers: what the evidence returned.  differences: why the entry does not reproduce; empty if it does.
    """

    entry: Entry
    numbers: Numbers
    differences: tuple[str, ...]
    seconds: float

    @property
    def reproduces(self) -> bool:
        return not self.differences

    @property
    def text(self) -> str:
        """The finding with its numbers."""
        return fill(self.entry.finding, self.numbers)

    @property
    def holds(self) -> str:
        """What still holds, with its numbers."""
        return fill(self.entry.holds, self.numbers)

    def verdict(self) -> Verdict:
        """The finding as a verdict: proved where the evidence is exact, failed if it is not reproduced."""
        entry = self.entry
        exact = entry.kind in ("certificate", "identity") and entry.outcome != "open"
        status: Status = "proved" if exact else "held"
        if self.differences:
            found = "; ".join(self.differences)
            return Verdict(f"ledger/{entry.key}", "failed", f"not reproduced: {found}", entry.replay)
        return Verdict(f"ledger/{entry.key}", status, f"{entry.outcome}: {self.text}", entry.replay)


class _Words(string.Formatter):
    """Formats numbers for readers; an unknown number becomes a question mark."""

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        return kwargs.get(key, "?")

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "yes" if value else "no"
        if spec.startswith("up"):
            digits = Context(prec=int(spec[2:]), rounding=ROUND_CEILING)
            return _raised(f"{float(digits.create_decimal(Decimal(value))):.{spec[2:]}g}")
        if spec or isinstance(value, float):
            return _raised(format(value, spec or ".4g"))
        return f"{value:,}"


RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _raised(number: str) -> str:
    """A number in scientific notation as m×10ⁿ."""
    if not (found := re.fullmatch(r"(-?[\d.]+)e([+-]\d+)", number)):
        return number
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


def _entry(values: Mapping[str, Any], file: str, paper: str | None) -> Entry:
    name = str(values.get("key", "an entry without a key"))

    def require(kept: bool, what: str) -> None:
        if not kept:
            raise LedgerError(f"{file}: {name}: {what}")

    known = {one.name: one for one in fields(Entry)}
    wanted = [one.name for one in known.values() if one.default is MISSING and one.default_factory is MISSING]
    for missing in (one for one in wanted if one not in values):
        require(False, f"{missing} is missing")
    for unknown in (one for one in values if one not in known):
        require(False, f"{unknown} is not a field of an entry")
    entry = Entry(**{**values, "listed": tuple(values.get("listed", ()))})
    about, _, rest = entry.key.partition("/")
    require(bool(rest) and paper in (None, about), "its key does not begin with the number of its paper")
    require(entry.theorem in theorems(), f"theorem is one of {', '.join(theorems())}")
    require(entry.outcome in get_args(Outcome), f"outcome is one of {', '.join(get_args(Outcome))}")
    require(entry.bearing in get_args(Bearing), f"bearing is one of {', '.join(get_args(Bearing))}")
    require((entry.bearing == "open") == (entry.outcome == "open"), "outcome and bearing are open together")
    require("{" not in entry.candidate, "its candidate has a number to fill in")
    require(entry.kind in get_args(Kind), f"kind is one of {', '.join(get_args(Kind))}")
    require(bool(entry.expected), "no number is expected")
    require(0 < entry.tolerance <= 0.1, "tolerance is a number up to 0.1")
    return entry


def entries() -> tuple[Entry, ...]:
    """All entries: our own by paper, then those of theorems from other packages and files."""
    files = [one.findings for one in theorems().values() if one.findings is not None]
    others = [entry for file in files for entry in parse_entries(file.read_text(encoding="utf-8"), file.name)]
    return (*_ours(), *others)


@lru_cache(maxsize=1)
def _ours() -> tuple[Entry, ...]:
    found: list[Entry] = []
    folder = resources.files(__package__)
    for file in sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda f: f.name):
        paper = file.name.removesuffix(".toml")
        found += parse_entries(file.read_text(encoding="utf-8"), file.name, paper)
    return tuple(found)


def parse_entries(text: str, file: str, paper: str | None = None) -> list[Entry]:
    """The entries of one file; with `paper`, all must be about that paper.  Raises LedgerError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"{file}: {error}") from None
    found = [_entry(values, file, paper) for values in document.get("finding", [])]
    keys = [entry.key for entry in found]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise LedgerError(f"{file}: {', '.join(twice)} occurs twice")
    return found


def find_entry(key: str) -> Entry:
    """The entry with this key, this name without the paper, or any unique part of them.

    Raises ProblemError, with the matching keys where there are several, such as all keys of a paper.

    >>> find_entry("relu-not-smooth").key, find_entry("not-smooth").key
    ('2411.16549/relu-not-smooth', '2411.16549/relu-not-smooth')
    """
    wanted = key.strip().casefold().removeprefix("arxiv:")
    named = {entry.key: entry for entry in entries()}
    names = [(one, one.partition("/")[2]) for one in named]
    exact = [one for one, name in names if wanted in (one, name)]
    begins = [one for one, name in names if one.startswith(wanted) or name.startswith(wanted)]
    holds = [one for one, _ in names if wanted in one]
    if wanted:
        for found in (exact, begins, holds):
            if len(found) == 1:
                return named[found[0]]
    if wanted and holds:
        whole = wanted.rstrip("/") in {one.partition("/")[0] for one in holds}
        hint = "this is a paper; its findings are" if whole else f"{len(holds)} findings match:"
        raise ProblemError("key", key, f"{hint} {', '.join(holds)}")
    near = difflib.get_close_matches(wanted, [one for both in names for one in both[::-1]], n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "icgd findings lists all keys"
    raise ProblemError("key", key, hint)


def _evidence(entry: Entry) -> Callable[..., Numbers]:
    own = theorems()[entry.theorem].evidence
    if entry.evidence in own:
        return own[entry.evidence]
    module, _, function = entry.evidence.partition(".")
    found: Callable[..., Numbers] = getattr(
        importlib.import_module(f"{__package__}.evidence.{module}"), function
    )
    return found


def settle(entry: Entry) -> Settled:
    """Compute the evidence of an entry again and compare it with the recorded numbers."""
    began = time.perf_counter()
    try:
        numbers = dict(_evidence(entry)(**entry.given))
    except Exception as error:  # any failure means that the entry is not reproduced
        reason = f"the evidence cannot be computed: {type(error).__name__}: {error}"
        return Settled(entry, {}, (reason,), time.perf_counter() - began)
    shows = numbers.pop("shows", None)
    differences = [] if shows is True else ["the computation does not show it"]
    for name, recorded in entry.expected.items():
        if name not in numbers:
            differences.append(f"{name} is not computed")
        elif not _same(numbers[name], recorded, entry.tolerance):
            differences.append(f"{name} = {numbers[name]}, recorded {recorded}")
    differences += [f"{name} has no value" for name in sorted(entry.placeholders - set(numbers))]
    return Settled(entry, numbers, tuple(differences), time.perf_counter() - began)


def _same(found: EvidenceNumber, recorded: EvidenceNumber, tolerance: float) -> bool:
    if isinstance(found, float) or isinstance(recorded, float):
        both = isinstance(found, int | float) and isinstance(recorded, int | float)
        return both and math.isclose(float(found), float(recorded), rel_tol=tolerance)
    return type(found) is type(recorded) and found == recorded


def summary(settled: Iterable[Settled]) -> Grid:
    """The table that `icgd findings` prints, one row per entry."""
    rows = tuple(
        (one.entry.key, one.entry.outcome, one.entry.bearing,
         f"{one.entry.candidate} {one.text}" if one.reproduces
         else f"NOT REPRODUCED: {'; '.join(one.differences)}")
        for one in settled
    )  # fmt: skip
    note = "outcome: of the first sentence; bearing: on the paper; all numbers were computed now"
    return Grid("Findings", ("key", "outcome", "bearing", "finding"), rows, note)
