"""Which certificate a file of weights was saved with: its digest in the metadata, written and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.weights import CERTIFICATE
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import certificate_text, posed_letters
from icgd.verify.certificate.proof import mismatch, refusal


def certificate_digest(found: Mapping[str, Any]) -> str:
    """SHA-256 of a certificate's file, as icgd writes it."""
    return hashlib.sha256(certificate_text(found).encode()).hexdigest()


def digest_for(block: Any, problem: Letters, found: Mapping[str, Any]) -> str:
    """The digest of a certificate that proves a bound for the problem, and whose program this block is.

    block: of the theorem with these letters.  Raises ProblemError with the first claim or entry that fails.
    """
    construction = str(getattr(block, "name", ""))
    if construction not in CONSTRUCTIONS or not isinstance(problem, Problem):
        why = f"it is about another transformer than this; only {', '.join(CONSTRUCTIONS)} have certificates"
        raise ProblemError("certificate", found.get("construction"), why)
    if reason := refusal(found, posed_letters(problem), construction):
        raise ProblemError(
            "certificate",
            found.get("construction"),
            f"it is refused, as it is not so that {reason}",
        )
    if apart := mismatch(found, block.literal()):
        raise ProblemError("certificate", found["weights"], f"it is about other matrices: {apart}")
    return certificate_digest(found)


def another_certificate(metadata: Mapping[str, str], found: Mapping[str, Any]) -> str | None:
    """What it means that a file of weights names another certificate than this; None if it names no other."""
    told, digest = metadata.get(CERTIFICATE), certificate_digest(found)
    if told is None or told == digest:
        return None
    return (
        f"its metadata name the certificate {told[:12]}, and this is {digest[:12]}: the file was saved with "
        "another certificate, or one of the two was edited since; its matrices alone decide whether this one "
        "is about them"
    )
