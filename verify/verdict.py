"""What a check concluded: a claim, a status from a short list, and the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NotRequired, TypedDict

Status = Literal["proved", "held", "failed", "inapplicable", "vacuous"]
Tone = Literal["good", "fair", "aside", "care", "bad"]
"""How good the news is; each page gives every tone a colour."""


@dataclass(frozen=True)
class Meaning:
    """What a status says about a claim, and its tone."""

    words: str
    tone: Tone


STATUSES: Mapping[Status, Meaning] = {
    "proved": Meaning(
        "an exact identity, ball arithmetic or a checked certificate settles it on the stated inputs", "good"
    ),
    "held": Meaning(
        "the search or comparison that the evidence describes found nothing against it; this is no proof",
        "fair",
    ),
    "failed": Meaning("a counterexample was found; the replay command reproduces it", "bad"),
    "inapplicable": Meaning("a hypothesis of the claim fails here: the evidence says which", "aside"),
    "vacuous": Meaning("true, but useless here: the evidence says why", "care"),
}
"""Every status, in the order in which tables count them."""


class VerdictDocument(TypedDict):
    """A verdict as plain values, under the names that every document uses."""

    claim: str
    verdict: Status
    evidence: str
    replay: NotRequired[str]


@dataclass(frozen=True)
class Verdict:
    """The conclusion on one claim.

    status: one of `STATUSES`.  evidence: what settles it, or what was searched and how.
    replay: the command that reproduces a failure.
    """

    claim: str
    status: Status
    evidence: str
    replay: str | None = None

    def as_dict(self) -> VerdictDocument:
        plain: VerdictDocument = {"claim": self.claim, "verdict": self.status, "evidence": self.evidence}
        return {**plain, "replay": self.replay} if self.replay else plain


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
