"""What a check concluded: a claim, a status from a short list, and the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from icgd.bounds.listing import Described

Status = Literal["proved", "proved on given prompts", "counted", "held", "failed", "inapplicable", "vacuous"]
Means = Literal["certificate", "exact", "balls"]
Subject = Literal["paper", "repaired", "icgd", "given"]
"""Whose claim it is: a paper's as stated, a paper's as repaired or made explicit here, icgd's own, or about a
transformer that somebody handed in."""

VerdictNumber = int | float | str
"""A number of the evidence; a text where it is infinite or no number, or too large for a float."""

Tone = Literal["good", "fair", "aside", "care", "bad"]
"""How good the news is; each page gives every tone a colour."""


@dataclass(frozen=True)
class Meaning:
    """What a status says about a claim, and its tone."""

    words: str
    tone: Tone


@dataclass(frozen=True)
class Grounds:
    """What proves a claim: the phrase that follows the status, and what it stands for."""

    by: str
    words: str


STATUSES: Mapping[Status, Meaning] = {
    "proved": Meaning("settled for everything that the claim covers, by the means named beside it", "good"),
    "proved on given prompts": Meaning(
        "settled on the prompts that the evidence names; for other prompts this is no proof",
        "good",
    ),
    "counted": Meaning("an exact count of what was built is what the claim says", "good"),
    "held": Meaning(
        "the search or comparison that the evidence describes found nothing against it; this is no proof",
        "fair",
    ),
    "failed": Meaning("a counterexample was found; the replay command reproduces it", "bad"),
    "inapplicable": Meaning("a hypothesis of the claim fails here: the evidence says which", "aside"),
    "vacuous": Meaning("true, but useless here: the evidence says why", "care"),
}
"""Every status, in the order in which tables count them."""

MEANS: Mapping[Means, Grounds] = {
    "certificate": Grounds(
        "by certificate",
        "the independent checker accepted a certificate of the weights that were built, rounding included",
    ),
    "exact": Grounds("by exact arithmetic", "rationals, integers or polynomials, computed without rounding"),
    "balls": Grounds("by balls", "ball arithmetic, which encloses every rounding error"),
}
"""What a claim may be proved by, the strongest first; a proof names one of these."""

LEDGER = "ledger/"
"""What the key of a finding's verdict begins with: a finding is no claim, and is counted apart."""

STRICT = frozenset({"vacuous", "open"})
"""What fails a strict run, too: the status of a claim, or the bearing of a finding."""

_UNBOUNDED: Mapping[VerdictNumber, float] = {word: float(word) for word in ("inf", "-inf", "nan")}
"""The numbers that are words in `Verdict.numbers`."""

_PROOFS: tuple[Status, ...] = ("proved", "proved on given prompts")
"""The statuses of a proof."""

SUBJECTS: Mapping[Subject, tuple[str, str]] = {
    "paper": ("claim of the paper as stated", "claims of the papers as stated"),
    "repaired": (
        "claim of the paper as repaired or made explicit here",
        "claims of the papers as repaired or made explicit here",
    ),
    "icgd": (
        "claim of icgd about its own constructions and bounds",
        "claims of icgd about its own constructions and bounds",
    ),
    "given": ("claim about the given transformer", "claims about the given transformer"),
}
"""How claims of each kind are named, one and many, in the order in which they are counted."""


class VerdictDocument(TypedDict):
    """A verdict as plain values, under the names that every document uses."""

    claim: str
    verdict: Status
    about: NotRequired[Subject]
    means: NotRequired[Means]
    evidence: str
    numbers: NotRequired[dict[str, VerdictNumber]]
    replay: NotRequired[str]


@dataclass(frozen=True, repr=False)
class Verdict(Described):
    """The conclusion on one claim.

    claim: its key, which is that of its bound where it has one, such as "relu-icgd/lean/step-error".
    status: one of `STATUSES`.  evidence: what settles it, or what was searched and how.
    replay: the command that reproduces a failure.  means: what a proof rests on, one of `MEANS`.
    about: whose claim it is; `Theorem.judged_by` fills it in.
    numbers: those of the evidence by name, such as samples, largest, allowed; docs/verdicts.md lists them.
    Raises ValueError for a proof that does not say by what, and for means of what is no proof.

    >>> Verdict("demo/size", "counted", "7 of 7").said, Verdict("demo/step", "proved", "", means="exact").said
    ('counted', 'proved by exact arithmetic')
    """

    claim: str
    status: Status
    evidence: str
    replay: str | None = None
    means: Means | None = None
    about: Subject = "paper"
    numbers: Mapping[str, VerdictNumber] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.claim}: {self.status!r} is no status; they are {', '.join(STATUSES)}")
        if (self.status in _PROOFS) != (self.means is not None):
            if self.means:
                raise ValueError(f"{self.claim}: only a proof has means, and it is {self.status}")
            raise ValueError(f"{self.claim}: it is {self.status} by what? means is one of {', '.join(MEANS)}")

    @classmethod
    def proved_if(
        cls, kept: bool, claim: str, evidence: str, *, by: Means, otherwise: Status = "failed"
    ) -> Verdict:
        """Proved by these means if it is kept, or else `otherwise`, with the same evidence."""
        return cls(claim, "proved", evidence, means=by) if kept else cls(claim, otherwise, evidence)

    @property
    def key(self) -> str:
        """The key of its claim."""
        return self.claim

    @property
    def said(self) -> str:
        """The status, with the means of a proof: "proved by certificate"."""
        return in_words(self.status, self.means)

    @property
    def detail(self) -> str:
        """The evidence, and how a failure is reproduced."""
        return f"{self.evidence}; {self.replay}" if self.replay else self.evidence

    def as_row(self) -> dict[str, VerdictNumber]:
        """The verdict as a row of a table: the same columns for every status, and the numbers of its own."""
        return {
            "claim": self.claim,
            "verdict": self.status,
            "means": self.means or "",
            "about": self.about,
            "evidence": self.evidence,
            "replay": self.replay or "",
            **{name: _UNBOUNDED.get(value, value) for name, value in self.numbers.items()},
        }

    def as_dict(self) -> VerdictDocument:
        document: VerdictDocument = {"claim": self.claim, "verdict": self.status, "evidence": self.evidence}
        document["about"] = self.about
        if self.means:
            document["means"] = self.means
        if self.numbers:
            document["numbers"] = dict(self.numbers)
        if self.replay:
            document["replay"] = self.replay
        return document


def in_words(status: Status, means: Means | None) -> str:
    """A status with its means; reports of earlier versions name none.

    >>> in_words("proved on given prompts", "balls"), in_words("proved", None)
    ('proved on given prompts by balls', 'proved')
    """
    return f"{status} {MEANS[means].by}" if means else status


def count_claims(verdicts: Iterable[VerdictDocument]) -> tuple[str, ...]:
    """How many claims got which verdict, a line for each of `SUBJECTS` that occurs.

    >>> made = (
    ...     Verdict("a/b", "proved", "", means="exact"),
    ...     Verdict("a/c", "held", "", about="repaired"),
    ...     Verdict("a/d", "counted", "", about="icgd"),
    ... )
    >>> for line in count_claims([one.as_dict() for one in made]):
    ...     print(line)
    1 claim of the paper as stated: 1 proved by exact arithmetic
    1 claim of the paper as repaired or made explicit here: 1 held
    1 claim of icgd about its own constructions and bounds: 1 counted
    """
    lines = []
    found = list(verdicts)
    for subject, (one, many) in SUBJECTS.items():
        counts = Counter(
            in_words(v["verdict"], v.get("means")) for v in found if v.get("about", "paper") == subject
        )
        order = [in_words(status, means) for status in STATUSES for means in (*MEANS, None)]
        shown = ", ".join(f"{counts[words]} {words}" for words in order if counts[words])
        if total := counts.total():
            lines.append(f"{total} {one if total == 1 else many}: {shown}")
    return tuple(lines)


def with_replay(verdicts: Iterable[Verdict], command: str, *, of: str | None = None) -> tuple[Verdict, ...]:
    """The same verdicts; each failed one without a replay command gets this one.

    of: the only claim that the command reproduces; None: all.
    """
    return tuple(
        replace(v, replay=command) if v.status == "failed" and not v.replay and of in (None, v.claim) else v
        for v in verdicts
    )


def any_failed(verdicts: Iterable[Verdict]) -> bool:
    """Whether a claim failed; this decides the exit code."""
    return any(verdict.status == "failed" for verdict in verdicts)
