"""How a bound on the step error is named: certified only if a checker accepted its certificate."""

from __future__ import annotations

from collections.abc import Iterable

from icgd.reports.document.shape import TheoremDocument

UNCHECKED = "bound (prover, not checked)"

PLANNER = "the planner's interval bounds, which no checker has verified in this run"
"""What is trusted if no certificate was checked."""


def is_checked(part: TheoremDocument) -> bool:
    """Whether a checker accepted a certificate of this part's bound in this run.

    >>> is_checked({"verdicts": [{"claim": "softmax-icgd/step-error", "means": "certificate"}]})
    True
    >>> is_checked({"verdicts": [{"claim": "convergence/several-steps", "means": "certificate"}]})
    False
    """
    if "certificate" in part:
        return bool(part["certificate"] and part["certificate"]["accepted"])
    proved = (one["claim"] for one in part.get("verdicts") or () if one.get("means") == "certificate")
    return any(claim.endswith("/step-error") for claim in proved)


def is_bounded(part: TheoremDocument) -> bool:
    """Whether the part has a bound on its step error that holds for every prompt."""
    error = part.get("step_error")
    return error is not None and error.get("bound") is not None


def is_bounded_off_margin(part: TheoremDocument) -> bool:
    """Whether the part has a bound that covers only prompts outside the gate's margin."""
    error = part.get("step_error")
    return error is not None and error.get("bound_off_margin") is not None


def bound_key(part: TheoremDocument) -> str:
    """The key of the part's bound in the document: certified, or bound if it was not checked."""
    return "certified" if is_checked(part) else "bound"


def bound_name(part: TheoremDocument) -> str:
    """The printed name of the bound: certified, or UNCHECKED.

    >>> bound_name({"certificate": {"accepted": True}}), bound_name({"certificate": None})
    ('certified', 'bound (prover, not checked)')
    """
    return "certified" if is_checked(part) else UNCHECKED


def column_name(parts: Iterable[TheoremDocument]) -> str:
    """The heading of a column of such bounds; plain "bound" if only some of them were checked."""
    names = {bound_name(part) for part in parts if is_bounded(part) or is_bounded_off_margin(part)}
    return names.pop() if len(names) == 1 else "bound" if names else "certified"


def any_unchecked(parts: Iterable[TheoremDocument]) -> bool:
    """Whether any bound was not checked."""
    return any((is_bounded(part) or is_bounded_off_margin(part)) and not is_checked(part) for part in parts)


def excluded(part: TheoremDocument) -> tuple[int, int] | None:
    """How many random prompts the claim does not cover, and how many there are; None if it covers all."""
    search = part.get("search")
    if search is None or "admitted" not in search or search["admitted"] >= search["prompts"]:
        return None
    return search["prompts"] - search["admitted"], search["prompts"]


def exclusion(part: TheoremDocument) -> str | None:
    """A clause about the prompts that the claim does not cover, with their share; None if it covers all.

    >>> exclusion({"search": {"prompts": 2000, "admitted": 1060}})
    "47% of the random prompts (940 of 2,000) have a pre-activation in the gate's margin"
    """
    found = excluded(part)
    if found is None:
        return None
    out, prompts = found
    share = f"{100 * out / prompts:.2g}" if out < 0.995 * prompts else f"{100 * out / prompts:.4g}"
    return (
        f"{share}% of the random prompts ({out:,} of {prompts:,}) have a pre-activation in the gate's margin"
    )
