"""Contents of a report's first page: what was checked, the notable results, what is trusted and not shown."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from icgd.reports.document.findings import briefly, by_severity
from icgd.reports.document.numbers import digits, exceeds, is_number
from icgd.reports.document.shape import AuditDocument, CertificateDocument, FindingDocument, TheoremDocument
from icgd.reports.document.step_bound import (
    PLANNER,
    any_unchecked,
    exclusion,
    is_bounded,
    is_bounded_off_margin,
)
from icgd.verify.ledger.tally import statement_of
from icgd.verify.verdict import STATUSES, Status, Tone


@dataclass(frozen=True)
class Checked:
    """One theorem, with the number of its claims for each verdict."""

    theorem: str
    title: str
    source: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Notable:
    """A finding or a verdict that belongs on the first page.

    label: its bearing or its verdict, in one word.  part: the part that has the verdict; empty for a finding.
    replay: the command that reproduces a failure.
    """

    label: str
    about: str
    text: str
    part: str = ""
    replay: str = ""


def checked(document: AuditDocument) -> tuple[Checked, ...]:
    """Every theorem of the document, with its verdicts counted."""
    return tuple(
        Checked(name, part["title"], part["source"], Counter(one["verdict"] for one in part["verdicts"]))
        for name, part in document["theorems"].items()
    )


def verdict_counts(document: AuditDocument) -> Counter[str]:
    """How many claims of all theorems have each verdict."""
    return sum((Counter(one.counts) for one in checked(document)), Counter())


def failures_in_words(document: AuditDocument) -> str:
    """How many claims failed, in a sentence that tells them from published statements that fail."""
    counts = verdict_counts(document)
    made, failed = counts.total(), counts["failed"] or "none"
    said = f"Of {made} {'claim' if made == 1 else 'claims'} judged here by computation, {failed} failed"
    if document.get("findings"):
        said += "; published statements that fail as written are findings, and not among these claims"
    return f"{said}."


def urgent(document: AuditDocument) -> tuple[Notable, ...]:
    """What a first page must not leave out: claims that failed, and findings that do not reproduce."""
    found = [one for one in _ranked(document) if one.label in ("failed", "not reproduced")]
    return tuple(replace(one, text=whole_sentences(one.text, 400)) for one in found)


def notable(document: AuditDocument, *, most: int = 7, length: int = 400) -> tuple[Notable, ...]:
    """At most `most` notable results: failed claims, then findings and empty claims, the gravest first.

    length: in characters; a longer text is cut after the last sentence that fits.
    """
    chosen = list(_ranked(document))[:most]
    return tuple(replace(one, text=whole_sentences(one.text, length)) for one in chosen)


def whole_sentences(text: str, length: int, *, cut: bool = True) -> str:
    """The first sentences of a text, as many as fit; a first sentence that is too long is cut with " ...".

    cut: if False, a first sentence that is too long stays whole.

    >>> whole_sentences("It holds. It does not hold beyond 3.", 20), whole_sentences("word " * 9, 20)
    ('It holds.', 'word word word ...')
    """
    plain = " ".join(text.split())
    if len(plain) <= length:
        return plain
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s+[A-Z0-9(])", plain)]
    if fitting := [end for end in ends if end <= length]:
        return plain[: fitting[-1]]
    if not cut:
        return plain[: ends[0]] if ends else plain
    return textwrap.shorten(plain, length, placeholder=" ...")


def _in_turn(findings: Sequence[FindingDocument]) -> Iterator[Notable]:
    """One finding about each statement, of each theorem in turn, so that every theorem gets a place."""
    queues: dict[str, list[Notable]] = {}
    gravest = {statement_of(one["source"]): one for one in reversed(findings)}
    for one in (one for one in findings if gravest[statement_of(one["source"])] is one):
        queues.setdefault(one["theorem"], []).append(Notable(one["bearing"], one["key"], briefly(one)))
    while any(queues.values()):
        yield from [queue.pop(0) for queue in queues.values() if queue]


def _ranked(document: AuditDocument) -> Iterator[Notable]:
    findings = document.get("findings") or ()
    yield from _judged(document, "bad")
    for one in findings:
        if not one["reproduces"]:
            yield Notable("not reproduced", one["key"], briefly(one))
    groups = by_severity(one for one in findings if one["reproduces"])
    for group in groups:
        if group.severity not in ("wording", "none"):
            yield from _in_turn(group.entries)
    yield from _judged(document, "care")
    for group in groups:
        if group.severity in ("wording", "none"):
            yield from _in_turn(group.entries)
    yield from _judged(document, "aside")


def _judged(document: AuditDocument, tone: Tone) -> Iterator[Notable]:
    """The verdicts in one tone, each evidence once."""
    seen = set()
    for name, part in document["theorems"].items():
        for one in part["verdicts"]:
            status = one["verdict"]
            if STATUSES[status].tone == tone and (one["claim"], one["evidence"]) not in seen:
                seen.add((one["claim"], one["evidence"]))
                yield Notable(status, one["claim"], one["evidence"], name, one.get("replay") or "")


def trusted(document: AuditDocument) -> tuple[str, ...]:
    """What must be correct for the word `proved` to be justified."""
    parts = document["theorems"].values()
    found = [line for one in _certificates(document) for line in one.get("trusted", ())]
    lines = list(dict.fromkeys(found + [line for part in parts for line in part.get("trusted", ())]))
    lines += [PLANNER] if any_unchecked(parts) else []
    lines += ["for other proofs: sympy's polynomials, the rationals and the balls of python-flint"]
    if "heading" not in document:  # a judged transformer has no source
        lines += ["our reading of the sources: this report states their claims in its own words"]
    return tuple(lines)


def _certificates(document: AuditDocument) -> list[CertificateDocument]:
    return [one for part in document["theorems"].values() if (one := part.get("certificate"))]


def not_shown(document: AuditDocument) -> tuple[str, ...]:
    """What a reader might wrongly conclude from the report, a line each."""
    return tuple(_gaps(document))


def _in_tone(*tones: Tone) -> list[Status]:
    return [status for status, meaning in STATUSES.items() if meaning.tone in tones]


def _gaps(document: AuditDocument) -> Iterator[str]:
    parts, counts = document["theorems"], verdict_counts(document)
    for status in _in_tone("fair"):
        if counts[status]:
            yield f"{_are(counts[status], 'claim')} {status}, not proved: {STATUSES[status].words}"
    yield (
        "other sizes: numbers and certificates hold for the problems stated here; a claim that is proved "
        "for all letters says so in its evidence"
    )
    if any(name.startswith(("relu-icgd", "softmax-icgd")) for name in parts):
        yield "learning: the weights of relu-icgd and softmax-icgd are constructed, not reached by training"
    if any(isinstance(one.get("float32"), str) for one in _certificates(document)):
        yield "single precision: the certificates hold for the float64 weights, not in float32"
    built = [part for part in parts.values() if part.get("step_error")]
    for name, part in parts.items():
        if is_bounded_off_margin(part):
            yield _left_out(name, part)
    if any(not is_bounded(part) and not is_bounded_off_margin(part) for part in built):
        yield "every prompt: without a bound, the step error is known only on sampled and attacked prompts"
    elif any(map(is_bounded, built)):
        above = "the prover's unchecked bound" if any_unchecked(built) else "certified"
        yield f"the worst prompt: the true worst step error lies between attacked and {above}"
    lacking = dict.fromkeys(
        f"{one.get('statement') or one['name']}: {one['status']}"
        + (f" ({one['why']})" if one.get("why") else "")
        for part in parts.values()
        for one in part.get("hypotheses") or ()
        if one["status"] != "holds"
    )
    if lacking:
        yield f"the sources' statements as written, where a hypothesis is not met: {'; '.join(lacking)}"
    silent = _in_tone("aside", "care")
    if several := sum(counts[status] for status in silent):
        yield f"{_are(several, 'verdict')} {' or '.join(silent)}: the claim says nothing on this problem"
    if undecided := sum(one["bearing"] == "open" for one in document.get("findings") or ()):
        yield f"{_are(undecided, 'finding')} open: neither confirmed nor refuted"


def _left_out(name: str, part: TheoremDocument) -> str:
    """The prompts that a bound does not cover, and the largest error met on such prompts."""
    error, path = part.get("step_error"), part.get("trajectory")
    largest = max(filter(is_number, path["errors"] if path else ()), default=0.0)
    above = error is not None and exceeds(largest, error["allowed"])
    reached = f" (on the prompts followed they reach {digits(largest)})" if above else ""
    return (
        f"every prompt: {exclusion(part) or 'some prompts have a pre-activation in the margin of the gate'}; "
        f"the claim on the step error of {name} and the error table do not cover these, and errors on them "
        f"have no bound and may exceed what is allowed{reached}"
    )


def _are(count: int, noun: str) -> str:
    """The count with its noun and verb, such as "2 claims are"."""
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"
