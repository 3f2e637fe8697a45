"""What an area chair reads first: what was checked, what came of it, and what that does not show."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from icgd.reports.document.bearings import BEARINGS, briefly, label
from icgd.reports.document.numbers import digits, exceeds, is_number
from icgd.reports.document.shape import AuditDocument, CertificateDocument, TheoremDocument
from icgd.reports.document.step_bound import (
    PLANNER,
    any_unchecked,
    exclusion,
    is_bounded,
    is_bounded_off_margin,
)

_LABELS = tuple(dict.fromkeys((*BEARINGS, "refuted", "open", "confirmed")))
_AGAINST = ("contradicts", "refuted", "gap")


@dataclass(frozen=True)
class Checked:
    """One theorem and how many of its claims got which verdict."""

    theorem: str
    title: str
    source: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Notable:
    """A finding or a verdict that a reader must not miss.

    label: its bearing or its verdict, in one word.  part: where a verdict stands; empty for a finding.
    replay: the command that shows a failure again.
    """

    label: str
    about: str
    text: str
    part: str = ""
    replay: str = ""


def checked(document: AuditDocument) -> tuple[Checked, ...]:
    """The verdicts of every theorem, counted."""
    return tuple(
        Checked(name, part["title"], part["source"], Counter(one["verdict"] for one in part["verdicts"]))
        for name, part in document["theorems"].items()
    )


def notable(document: AuditDocument, *, most: int = 9, length: int = 460) -> tuple[Notable, ...]:
    """Failed claims first, then the ledger's headlines, what speaks against a source and vacuous claims.

    Of those that contradict a source or are refuted, at most `most` less 2, so that none of the other
    kinds goes unseen.  length: in characters; a longer text ends with the last sentence that fits.
    """
    ranked = list(_ranked(document))
    against = [one for one in ranked if one.label in ("contradicts", "refuted")]
    late = against[max(most - 2, 0) :]
    chosen = [one for one in ranked if one not in late] + late
    return tuple(replace(one, text=whole_sentences(one.text, length)) for one in chosen[:most])


def whole_sentences(text: str, length: int) -> str:
    """The sentences at the start of a text that fit; a sentence too long by itself is cut, and shown so.

    >>> whole_sentences("It holds. It does not hold beyond 3.", 20), whole_sentences("word " * 9, 20)
    ('It holds.', 'word word word ...')
    """
    plain = " ".join(text.split())
    if len(plain) <= length:
        return plain
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s+[A-Z0-9(])", plain) if found.end() <= length]
    return plain[: ends[-1]] if ends else textwrap.shorten(plain, length, placeholder=" ...")


def _in_turn(document: AuditDocument, word: str) -> Iterator[Notable]:
    """The findings under one label, a theorem at a time in turn, so that none crowds out the others."""
    queues: dict[str, list[Notable]] = {name.split("/")[0]: [] for name in document["theorems"]}
    for one in document.get("findings") or ():
        if label(one) == word and one.get("reproduces", True) and not one.get("headline"):
            queues.setdefault(one["theorem"], []).append(Notable(word, one["key"], briefly(one)))
    while any(queues.values()):
        yield from [queue.pop(0) for queue in queues.values() if queue]


def _ranked(document: AuditDocument) -> Iterator[Notable]:
    findings = document.get("findings") or ()
    yield from _judged(document, "failed")
    for one in findings:
        if not one.get("reproduces", True):
            yield Notable("not reproduced", one["key"], briefly(one))
    headlines = [one for one in findings if one.get("headline") and one.get("reproduces", True)]
    for one in headlines:
        yield Notable(label(one), one["key"], briefly(one))
    if headlines:
        yield from _judged(document, "vacuous")
    for word in (*_AGAINST, "", *(word for word in _LABELS if word not in _AGAINST)):
        if word:
            yield from _in_turn(document, word)
        elif not headlines:
            yield from _judged(document, "vacuous")
    yield from _judged(document, "inapplicable")


def _judged(document: AuditDocument, status: str) -> Iterator[Notable]:
    seen = set()
    for name, part in document["theorems"].items():
        for one in part["verdicts"]:
            if one["verdict"] == status and (one["claim"], one["evidence"]) not in seen:
                seen.add((one["claim"], one["evidence"]))
                yield Notable(status, one["claim"], one["evidence"], name, one.get("replay") or "")


def trusted(document: AuditDocument) -> tuple[str, ...]:
    """What has to be right for `proved` to mean what it says."""
    parts = document["theorems"].values()
    lines = list(dict.fromkeys(line for one in _certificates(document) for line in one.get("trusted", ())))
    lines += [PLANNER] if any_unchecked(parts) else []
    lines += ["what is proved elsewhere: sympy's polynomials, the rationals and the balls of python-flint"]
    lines += ["the reading of the sources: statements here are in this report's words"]
    return tuple(lines)


def _certificates(document: AuditDocument) -> list[CertificateDocument]:
    return [one for part in document["theorems"].values() if (one := part.get("certificate"))]


def not_shown(document: AuditDocument) -> tuple[str, ...]:
    """What a hurried reader could take this report for, and it is not."""
    return tuple(_gaps(document))


def _gaps(document: AuditDocument) -> Iterator[str]:
    parts = document["theorems"]
    counts: Counter[str] = sum((Counter(one.counts) for one in checked(document)), Counter())
    if counts["held"]:
        yield (
            f"{_are(counts['held'], 'claim')} held, not proved: an exact count or comparison came out right, "
            "or a search, described beside each, found no counterexample"
        )
    yield (
        "other sizes: numbers and certificates are about the problems stated here; where something is proved "
        "for all letters, its evidence says so"
    )
    if any(name.startswith(("relu-icgd", "softmax-icgd")) for name in parts):
        yield "learning: the weights of relu-icgd and softmax-icgd are constructed, not reached by training"
    if any(isinstance(one.get("float32"), str) for one in _certificates(document)):
        yield "single precision: the certificates are about float64 weights and do not carry over to float32"
    built = [part for part in parts.values() if part.get("step_error")]
    for name, part in parts.items():
        if is_bounded_off_margin(part):
            yield _left_out(name, part)
    if any(not is_bounded(part) and not is_bounded_off_margin(part) for part in built):
        yield "every prompt: without a bound the step error is known only where it was sampled or attacked"
    elif any(map(is_bounded, built)):
        above = "the prover's bound, which no checker has seen" if any_unchecked(built) else "certified"
        yield f"the worst prompt: the true worst step error lies between attacked and {above}"
    lacking = dict.fromkeys(
        f"{one['name']} {one['status']}" + (f" ({one['why']})" if one.get("why") else "")
        for part in parts.values()
        for one in part.get("hypotheses") or ()
        if one["status"] != "holds"
    )
    if lacking:
        yield f"the sources' statements as written, where a hypothesis is not met: {'; '.join(lacking)}"
    if counts["inapplicable"] or counts["vacuous"]:
        several = counts["inapplicable"] + counts["vacuous"]
        yield f"{_are(several, 'verdict')} inapplicable or vacuous: the claim says nothing on this problem"
    if undecided := sum(one["outcome"] == "open" for one in document.get("findings") or ()):
        yield f"{_are(undecided, 'finding')} open: neither confirmed nor refuted"


def _left_out(name: str, part: TheoremDocument) -> str:
    """That a bound is not about every prompt, and how far the others may err."""
    error, path = part.get("step_error"), part.get("trajectory")
    largest = max(filter(is_number, path["errors"] if path else ()), default=0.0)
    above = error is not None and exceeds(largest, error["allowed"])
    reached = f" (on the prompts followed they reach {digits(largest)})" if above else ""
    return (
        f"every prompt: {exclusion(part) or 'some prompts have a pre-activation in the margin of the gate'}; "
        f"the claim on the step error of {name} is not about those, the error table does not count them, and "
        f"errors there have no bound and may exceed what is allowed{reached}"
    )


def _are(count: int, noun: str) -> str:
    """The count of a noun, with its verb."""
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"
