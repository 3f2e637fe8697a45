"""What a check concluded: a claim, a status from a short list, and the evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["proved", "held", "failed", "inapplicable", "vacuous"]


@dataclass(frozen=True)
class Verdict:
    """The conclusion on one claim.

    status: `proved` (an independent checker accepted a certificate, or an exact identity or balls settle the
    claim as stated, on given inputs where it is about those), `held` (no counterexample in the
    search that `evidence` describes, or an exact comparison came out right), `failed` (see `replay`),
    `inapplicable` (a hypothesis fails: `evidence` says which), `vacuous` (true and useless: why).
    replay: the command that shows a failure again.
    """

    claim: str
    status: Status
    evidence: str
    replay: str | None = None

    def as_dict(self) -> dict[str, str]:
        plain = {"claim": self.claim, "verdict": self.status, "evidence": self.evidence}
        return plain | ({"replay": self.replay} if self.replay else {})


def with_replay(verdicts: Iterable[Verdict], command: str, *, of: str | None = None) -> tuple[Verdict, ...]:
    """The same verdicts, each failed one that has no command yet with the one that shows it again.

    of: the one claim that the command is about; none: all.
    """
    return tuple(
        replace(v, replay=command) if v.status == "failed" and not v.replay and of in (None, v.claim) else v
        for v in verdicts
    )


def any_failed(verdicts: Iterable[Verdict]) -> bool:
    """Whether a claim failed, which is what decides the exit code."""
    return any(verdict.status == "failed" for verdict in verdicts)
