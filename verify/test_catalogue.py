"""Every theorem of the catalogue at its default problem: no claim fails."""

from __future__ import annotations

import pytest

from verify.catalogue import THEOREMS


@pytest.mark.parametrize("theorem", sorted(THEOREMS))
def test_claims(theorem: str) -> None:
    """None of the theorem's claims was refuted; a failure prints each claim with its evidence."""
    chosen = THEOREMS[theorem]
    found = chosen.verify(chosen.letters())
    failed = [f"{v.claim}: {v.evidence}" for v in found.verdicts if v.status == "failed"]
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
