"""Every finding about the published statements as a test: its recorded numbers are computed again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icgd.verify.ledger.entries import entries, find_entry
from icgd.verify.ledger.settled import settle
from icgd.verify.verdict import Verdict


@pytest.mark.parametrize("key", [entry.key for entry in entries()])
def test_finding(key: str, icgd_judge: Callable[[Verdict], None]) -> None:
    """The recorded numbers are reproduced; a failure says which ones are not, and how to replay it."""
    icgd_judge(settle(find_entry(key)).verdict())
