"""Every finding about the published statements as a test: its recorded numbers are computed again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icgd.verify.junit_suites import SUITE
from icgd.verify.ledger.entries import entries, find_entry
from icgd.verify.ledger.settled import settle
from icgd.verify.verdict import STRICT, Verdict

SLOW = {
    f"2411.16549/{name}"
    for name in ("heads-beyond-a-billion", "norm-constant", "study-averages", "study-constructed")
}
"""Findings that take more than four seconds each."""


@pytest.mark.parametrize(
    "key",
    [pytest.param(entry.key, marks=pytest.mark.slow if entry.key in SLOW else ()) for entry in entries()],
)
def test_finding(
    key: str, icgd_judge: Callable[[Verdict], None], icgd_strict: bool, request: pytest.FixtureRequest
) -> None:
    """The recorded numbers are reproduced; a failure says which ones are not, and how to replay it."""
    entry = find_entry(key)
    request.node.user_properties.append((SUITE, "findings"))
    icgd_judge(settle(entry).verdict())
    if icgd_strict and entry.bearing in STRICT:
        pytest.fail(f"{entry.bearing}: {entry.claim}", pytrace=False)
