"""Every claim of every theorem as a test, for the problem that the options pose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icgd.verify.plugin import ClaimTest
from icgd.verify.requests import Request
from icgd.verify.verdict import Verdict


def test_claim(
    icgd_claim: ClaimTest,
    icgd_found: Callable[[Request], dict[str, Verdict]],
    icgd_judge: Callable[[Verdict], None],
) -> None:
    """The claim was not refuted; a failure prints the evidence and the command that replays it."""
    missing = Verdict(icgd_claim.key, "inapplicable", "not judged for this problem")
    icgd_judge(icgd_found(icgd_claim.request).get(icgd_claim.key, missing))


def test_each_claim_is_tested(
    icgd_request: Request, icgd_found: Callable[[Request], dict[str, Verdict]]
) -> None:
    """Every judged claim is a test; at the default problem every test is a judged claim."""
    found = icgd_found(icgd_request)
    if all(verdict.status == "inapplicable" for verdict in found.values()):
        pytest.skip(f"{icgd_request.name}: no claim was judged")
    tested = set(icgd_request.claim_keys())
    is_default = icgd_request.problem == type(icgd_request.problem)()
    unlisted, unjudged = set(found) - tested, tested - set(found) if is_default else set()
    if unlisted or unjudged:
        why = f"judged but not listed by its Theorem: {sorted(unlisted)}; listed but not judged: "
        pytest.fail(f"{icgd_request.name}: {why}{sorted(unjudged)}", pytrace=False)
