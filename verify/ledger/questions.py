"""Questions that reviewers asked about a paper, each with an answer whose numbers are computed again."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

from icgd.verify.catalogue import theorems
from icgd.verify.ledger.entries import LedgerError, Numbers, from_table, placeholders_of
from icgd.verify.ledger.settled import Recomputed, fill, recompute


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question (verify/ledger/questions.toml).

    key: its name.  theorem: the one that it is about.  question: in our words.  asked_by: who asked it.
    answer: ours; {name} stands for a computed number.  claims: keys of the claims and findings that the
    numbers come from.  evidence, given, expected, tolerance: as in icgd.verify.ledger.entries.Entry.
    """

    key: str
    theorem: str
    question: str
    asked_by: str
    answer: str
    claims: tuple[str, ...]
    evidence: str
    expected: Numbers
    given: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of the computed numbers in its answer."""
        return placeholders_of(self.answer)


@dataclass(frozen=True)
class Answer:
    """A question whose numbers were computed again."""

    question: Question
    found: Recomputed

    @property
    def reproduces(self) -> bool:
        return not self.found.differences

    @property
    def text(self) -> str:
        """The answer with its numbers."""
        return fill(self.question.answer, self.found.numbers)


def questions(theorem: str | None = None) -> tuple[Question, ...]:
    """All questions, or those about one theorem.

    >>> {one.theorem for one in questions("relu-icgd")}, questions("looped")
    ({'relu-icgd'}, ())
    """
    return tuple(one for one in _questions() if theorem in (None, one.theorem))


@lru_cache(maxsize=1)
def _questions() -> tuple[Question, ...]:
    file = resources.files(__package__) / "questions.toml"
    return parse_questions(file.read_text(encoding="utf-8"), file.name)


def parse_questions(text: str, file: str) -> tuple[Question, ...]:
    """The questions of a file.  Raises LedgerError."""
    try:
        listed = tomllib.loads(text).get("question", [])
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"{file}: {error}") from None
    found: dict[str, Question] = {}
    for values in listed:
        name = str(values.get("key", "a question without a key"))
        table = {**values, "claims": tuple(values.get("claims", ()))}
        one = from_table(Question, "a question", table, file, name)
        for kept, what in (
            (one.theorem in theorems(), f"theorem is one of {', '.join(theorems())}"),
            (bool(one.expected), "no number is expected"),
            (bool(one.claims), "it names no claim that its numbers come from"),
            (one.key not in found, "it occurs twice"),
        ):
            if not kept:
                raise LedgerError(f"{file}: {name}: {what}")
        found[one.key] = one
    return tuple(found.values())


def answer(question: Question) -> Answer:
    """Compute the numbers of an answer again and compare them with the recorded ones."""
    return Answer(question, recompute(question))
