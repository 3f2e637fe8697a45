"""What the page shows of each theorem: its claims, each once on the page, and what was computed for it."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from icgd.reports.document.numbers import exceeds
from icgd.reports.document.shape import AuditDocument, BoundDocument, TheoremDocument
from icgd.reports.document.step_bound import bound_key, bound_name, exclusion
from icgd.verify.verdict import STATUSES, Status, Tone, VerdictDocument

_URGENCY: tuple[Tone, ...] = ("bad", "care", "aside", "fair", "good")
BY_URGENCY = sorted(STATUSES, key=lambda status: _URGENCY.index(STATUSES[status].tone))
"""Every status of a verdict, the most urgent first."""

ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")
"""The number of a paper in the name of a source."""


@dataclass(frozen=True)
class ClaimShown:
    """A claim of a theorem, for the templates.

    bound, verdict: None if it has none.  named: the part under which its numbers have their names.
    built: the size that was counted, if the claim is about one.
    """

    key: str
    bound: BoundDocument | None
    verdict: VerdictDocument | None
    named: str
    built: object = None

    @property
    def is_exceeded(self) -> bool:
        """Whether the counted size exceeds the value of a source's claim."""
        bound = self.bound
        return bound is not None and bound["source"] != "icgd" and exceeds(self.built, bound["value"])


@dataclass(frozen=True)
class PagePart:
    """One theorem on one problem, for the templates.

    theorem: its part of the document.  alone: the document's command, if it has only one theorem.
    claims: those shown in this part.  elsewhere: those that another part shows, with its name.
    """

    name: str
    theorem: TheoremDocument
    figures: Sequence[Mapping[str, object]]
    alone: str | None
    claims: Sequence[ClaimShown]
    elsewhere: Mapping[str, str]

    @cached_property
    def title(self) -> str:
        construction = self.theorem.get("construction")
        title = self.theorem.get("title") or self.name
        return f"{title}: construction {construction}" if construction else title

    @cached_property
    def paper(self) -> str:
        """The number of the paper that the theorem is from, or an empty text."""
        found = ARXIV.search(self.theorem.get("source") or "")
        return found[1] if found else ""

    @cached_property
    def command(self) -> str:
        """The command that computes this part again; if none is recorded, one made from its problem."""
        if given := self.alone or self.theorem.get("command"):
            return str(given)
        words = ["icgd", "audit", str(self.theorem.get("theorem") or self.name)]
        line = f"{shlex.join(words)} {self.theorem.get('options') or ''}".rstrip()
        if self.theorem.get("construction"):
            line += f" --construction {shlex.quote(str(self.theorem['construction']))}"
        if self.theorem.get("certificate"):
            line += " --certify"
        return f"{line} --seed {shlex.quote(str(self.theorem.get('seed') or 0))}"

    @cached_property
    def counts(self) -> dict[Status, int]:
        counted = Counter(verdict["verdict"] for verdict in self.theorem.get("verdicts") or ())
        return {status: counted[status] for status in BY_URGENCY if counted[status]}

    @cached_property
    def steps(self) -> list[tuple[object, ...]]:
        """Rows from step 0 on: step, error, percentage of the allowed error, losses, distance."""
        run = self.theorem["trajectory"]
        allowed = self.errors.get("allowed")
        rows: list[tuple[object, ...]] = []
        for step, (loss, exact_loss, apart) in enumerate(
            zip(run["loss"], run["exact_loss"], run["apart"], strict=True)
        ):
            error = run["errors"][step - 1] if step else None
            part = _ratio(error, allowed)
            share = None if part is None else 100 * part
            rows.append((step, error, share, loss, exact_loss, apart))
        return rows

    @cached_property
    def bound_name(self) -> str:
        """The printed name of the bound on the step error: certified, or not checked."""
        return bound_name(self.theorem)

    @cached_property
    def bound_key(self) -> str:
        """The key of that bound in the document."""
        return bound_key(self.theorem)

    @cached_property
    def errors(self) -> Mapping[str, object]:
        """The document of the step error; empty if there is none."""
        return self.theorem.get("step_error") or {}

    @cached_property
    def exclusion(self) -> str | None:
        """A clause about the prompts that the step-error claim does not cover; None if it covers all."""
        return exclusion(self.theorem)

    @cached_property
    def slack(self) -> float | None:
        """bound / attacked: the gap between proof and attack."""
        return _ratio(self.errors.get("bound"), self.errors.get("attacked"))


def page_parts(
    document: AuditDocument, figures: Mapping[str, Sequence[Mapping[str, object]]]
) -> list[PagePart]:
    """The parts of a document in its order.

    figures: those of each part, by its name.  A claim that several parts state alike is shown in the first of
    them that judges it, or else in the first.
    """
    theorems = document["theorems"]
    names = {part.get("theorem") or name for name, part in theorems.items()}
    alone = document.get("command") if len(names) == 1 else None
    parts = []
    for name, theorem in theorems.items():
        claims = list(_claims(name, theorem, theorems))
        stated = theorem.get("bounds") or {}
        elsewhere = {key: _shows(key, name, theorems) for key in stated}
        elsewhere = {key: other for key, other in elsewhere.items() if other != name}
        parts.append(PagePart(name, theorem, figures.get(name, ()), alone, claims, elsewhere))
    return parts


def _claims(
    name: str, theorem: TheoremDocument, theorems: Mapping[str, TheoremDocument]
) -> Iterator[ClaimShown]:
    """The claims that a part shows: those with a verdict in the order of the verdicts, then the others."""
    stated, census = theorem.get("bounds") or {}, theorem.get("census") or {}
    verdicts = {verdict["claim"]: verdict for verdict in theorem.get("verdicts") or ()}
    for key in dict.fromkeys((*verdicts, *stated)):
        bound, verdict = stated.get(key), verdicts.get(key)
        if bound is None or _shows(key, name, theorems) == name:
            alike = (other for other, part in theorems.items() if bound and _stated(part, key) == bound)
            named = next(alike, name)
            built = census.get(bound["quantity"]) if bound and verdict else None
            yield ClaimShown(key, bound, verdict, named, built)


def _shows(key: str, name: str, theorems: Mapping[str, TheoremDocument]) -> str:
    """The part that shows a claim which the part of this name states."""
    stated = _stated(theorems[name], key)
    alike = [other for other, part in theorems.items() if _stated(part, key) == stated]
    judges = [
        other
        for other in alike
        if any(verdict["claim"] == key for verdict in theorems[other].get("verdicts") or ())
    ]
    if name in judges:
        return name
    return (judges or alike)[0]


def _stated(theorem: TheoremDocument, key: str) -> BoundDocument | None:
    return (theorem.get("bounds") or {}).get(key)


def _ratio(part: object, whole: object) -> float | None:
    """part / whole; None if either is not a float or whole is 0."""
    return part / whole if isinstance(part, float) and isinstance(whole, float) and whole else None
