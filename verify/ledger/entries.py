"""Entries of the ledger: what was found out about published statements, one file of data per paper.

An entry (verify/ledger/*.toml) quotes the statement that it judges, says what was found, how grave that is,
how to repair it and what it does not claim.  verify/ledger/settled.py computes its numbers again.
"""

from __future__ import annotations

import difflib
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, TypeVar

from icgd.bounds.letters import ProblemError
from icgd.verify.catalogue import theorems

EvidenceNumber = int | float | str | bool
Numbers = Mapping[str, EvidenceNumber]
Kind = Literal["certificate", "exact", "balls", "identity", "witness", "count", "sample"]
Bearing = Literal["error", "gap", "vacuous", "sharper", "reading", "confirms", "open"]
"""What a finding means for the paper; BEARINGS says it in words."""
Severity = Literal["statement", "proof", "constants", "wording", "none"]
"""How grave a finding is; SEVERITIES states the rule."""

BEARINGS: dict[Bearing, str] = {
    "error": "a published sentence, or a step of its proof, is false as written",
    "gap": "a hypothesis or a constant is missing, or in an experiment a baseline",
    "vacuous": "true, but it says nothing at practical sizes",
    "sharper": "true, and more is true: less suffices, or a better bound holds",
    "reading": "the words allow several readings, and one had to be chosen",
    "confirms": "right as written",
    "open": "neither confirmed nor refuted",
}
SEVERITIES: dict[Severity, str] = {
    "statement": "breaks the statement: a witness meets all its hypotheses, and it fails",
    "proof": "breaks the proof: a step, or an experiment, does not carry it; the statement is not refuted",
    "constants": "changes constants: the statement holds with other explicit constants or sizes",
    "wording": "wording: what a reader has to guess or correct in passing",
    "none": "nothing to repair",
}
KINDS: dict[Kind, str] = {
    "certificate": "a certificate that the checker accepts",
    "exact": "exact arithmetic",
    "balls": "ball arithmetic",
    "identity": "an identity in symbols",
    "witness": "one instance",
    "count": "counting",
    "sample": "sampling, from a seed",
}
"""What each kind of evidence is, after the word "by"."""
HEADLINE = 150
"""The most characters of a headline: two lines of a terminal."""
_ALLOWED: dict[Bearing, tuple[Severity, ...]] = {
    "error": ("statement", "proof", "constants", "wording"),
    "gap": ("proof", "constants", "wording"),
    "reading": ("wording",),
}


class LedgerError(ValueError):
    """An entry cannot be read; the message says which one and why."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper that the ledger speaks of.

    number: of arXiv.  version: which text was read.  read: how much of it: the full text, or the abstract
    and what other papers say of it.
    """

    number: str
    title: str
    authors: tuple[str, ...]
    version: str
    read: Literal["full text", "abstract"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One finding.

    key: arXiv number and a name, such as "2411.16549/relu-not-smooth".  theorem: its name in the catalogue.
    statement: what is judged, such as "Lemma 2".  place: sections and equations.  quotation: a few of its
    words.  claim: what it asserts, in our words.  bearing, severity: see BEARINGS and SEVERITIES.
    headline: the finding as one sentence that stands alone; empty: its claim and what was found.
    finding: what was found; {name} stands for a computed number.
    kind: certificate (the checker accepts one), exact or balls (rationals, or ball arithmetic, on given
    inputs), identity (symbols), witness (one instance), count (sizes, from formulas or tensors), sample
    (random prompts from a seed: never a proof).
    evidence: "module.function" of verify/ledger/evidence/, or the name of a function in the theorem's own
    `evidence`.
    given: arguments of that function.  expected: recorded numbers.  tolerance: relative, for floats;
    everything else must be equal.
    repair: the shortest change that makes the statement right; empty where there is nothing to repair.
    not_claimed: what the entry does not say.
    """

    key: str
    theorem: str
    statement: str
    place: str
    quotation: str
    claim: str
    bearing: Bearing
    severity: Severity
    finding: str
    kind: Kind
    evidence: str
    repair: str
    not_claimed: str
    expected: Numbers
    given: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    headline: str = ""

    @property
    def paper(self) -> str:
        """The number of the paper."""
        return self.key.partition("/")[0]

    @property
    def source(self) -> str:
        """The paper and the statement, such as "arXiv:2411.16549, Lemma 2"."""
        return f"arXiv:{self.paper}, {self.statement}"

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts entries: the gravest first."""
        return list(SEVERITIES).index(self.severity), list(BEARINGS).index(self.bearing)

    @property
    def replay(self) -> str:
        """The command that computes the finding again."""
        return f"icgd findings {self.key}"

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the computed numbers in its texts."""
        return placeholders_of(self.finding + self.repair + self.not_claimed)


def placeholders_of(words: str) -> frozenset[str]:
    """The names in braces, for which computed numbers are filled in."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(words) if name)


Made = TypeVar("Made")


def from_table(kind: type[Made], what: str, values: Mapping[str, Any], file: str, name: str) -> Made:
    """A dataclass from a table of a file; raises LedgerError for a field that is missing or that is none.

    what: the kind in words, such as "an entry".  name: which table it is.
    """
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    wanted = [one.name for one in known.values() if one.default is MISSING and one.default_factory is MISSING]
    for missing in (one for one in wanted if one not in values):
        raise LedgerError(f"{file}: {name}: {missing} is missing")
    for unknown in (one for one in values if one not in known):
        raise LedgerError(f"{file}: {name}: {unknown} is not a field of {what}")
    return kind(**values)


def _entry(values: Mapping[str, Any], file: str, paper: str | None) -> Entry:
    name = str(values.get("key", "an entry without a key"))
    entry = from_table(Entry, "an entry", values, file, name)

    def require(kept: bool, what: str) -> None:
        if not kept:
            raise LedgerError(f"{file}: {name}: {what}")

    about, _, rest = entry.key.partition("/")
    require(bool(rest) and paper in (None, about), "its key does not begin with the number of its paper")
    require(entry.theorem in theorems(), f"theorem is one of {', '.join(theorems())}")
    require(entry.bearing in BEARINGS, f"bearing is one of {', '.join(BEARINGS)}")
    require(entry.severity in SEVERITIES, f"severity is one of {', '.join(SEVERITIES)}")
    allowed = _ALLOWED.get(entry.bearing, ("none",))
    require(entry.severity in allowed, f"bearing {entry.bearing} takes severity {', '.join(allowed)}")
    require(bool(entry.repair) or entry.bearing not in ("error", "gap"), "its repair is empty")
    require(bool(entry.not_claimed), "not_claimed is empty")
    require("{" not in entry.claim, "its claim has a number to fill in")
    alone = len(entry.headline) <= HEADLINE and "{" not in entry.headline
    require(
        alone, f"its headline is one sentence of at most {HEADLINE} characters, without numbers to fill in"
    )
    require(entry.kind in KINDS, f"kind is one of {', '.join(KINDS)}")
    require(bool(entry.expected), "no number is expected")
    require(0 < entry.tolerance <= 0.1, "tolerance is a number up to 0.1")
    return entry


def entries() -> tuple[Entry, ...]:
    """All entries: our own by paper, then those of theorems from other packages and files."""
    return tuple(entry for _, found in _files() for entry in found)


def papers() -> dict[str, Paper]:
    """The papers that the ledger speaks of, by number."""
    return {paper.number: paper for paper, _ in _files()}


def _files() -> tuple[tuple[Paper, tuple[Entry, ...]], ...]:
    others = [one.findings for one in theorems().values() if one.findings is not None]
    return (*_ours(), *(parse_entries(file.read_text(encoding="utf-8"), file.name) for file in others))


@lru_cache(maxsize=1)
def _ours() -> tuple[tuple[Paper, tuple[Entry, ...]], ...]:
    folder = resources.files(__package__)
    named = (one for one in folder.iterdir() if re.fullmatch(r"\d{4}\.\d{5}\.toml", one.name))
    files = sorted(named, key=lambda one: one.name)
    return tuple(
        parse_entries(file.read_text(encoding="utf-8"), file.name, file.name.removesuffix(".toml"))
        for file in files
    )


def parse_entries(text: str, file: str, number: str | None = None) -> tuple[Paper, tuple[Entry, ...]]:
    """The paper of one file and its entries; with `number`, it must be that paper.  Raises LedgerError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"{file}: {error}") from None
    about = dict(document.get("paper", {}))
    about["authors"] = tuple(about.get("authors", ()))
    paper = from_table(Paper, "a paper", about, file, "[paper]")
    if paper.read not in ("full text", "abstract"):
        raise LedgerError(f"{file}: [paper]: read is full text or abstract")
    if number not in (None, paper.number):
        raise LedgerError(f"{file}: [paper]: number is not that of the file")
    found = tuple(_entry(values, file, paper.number) for values in document.get("finding", []))
    keys = [entry.key for entry in found]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise LedgerError(f"{file}: {', '.join(twice)} occurs twice")
    return paper, found


def select(
    found: Iterable[Entry],
    *,
    paper: str | None = None,
    theorem: str | None = None,
    bearing: str | None = None,
    severity: str | None = None,
) -> tuple[Entry, ...]:
    """The entries about one paper or theorem, of one bearing or severity, the gravest first.

    Raises ProblemError for a bearing or a severity that does not exist.

    >>> {one.severity for one in select(entries(), severity="statement")}
    {'statement'}
    """
    for name, value, allowed in (("bearing", bearing, BEARINGS), ("severity", severity, SEVERITIES)):
        if value is not None and value not in allowed:
            raise ProblemError(name, value, f"one of {', '.join(allowed)}")
    chosen = [
        one
        for one in found
        if paper in (None, one.paper)
        and theorem in (None, one.theorem)
        and bearing in (None, one.bearing)
        and severity in (None, one.severity)
    ]
    return tuple(sorted(chosen, key=lambda one: one.rank))


def find_entry(key: str) -> Entry:
    """The entry with this key, this name without the paper, or any unique part of them.

    Raises ProblemError, with the matching keys where there are several, such as all keys of a paper.

    >>> find_entry("relu-not-smooth").key, find_entry("not-smooth").key
    ('2411.16549/relu-not-smooth', '2411.16549/relu-not-smooth')
    """
    wanted = key.strip().casefold().removeprefix("ledger/").removeprefix("arxiv:")
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
    papers = sorted({one.partition("/")[0] for one, _ in names})
    if re.fullmatch(r"\d{4}\.\d{4,5}", wanted):
        raise ProblemError("key", key, f"no such paper; the ledger has {', '.join(papers)}")
    near = difflib.get_close_matches(wanted, [one for both in names for one in both[::-1]], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "icgd findings lists them"
    raise ProblemError("key", key, f"no finding, paper or theorem is called so; {hint}")
