"""What every JSON document begins with: the version of its keys, and the release that computed it."""

from __future__ import annotations

from collections.abc import Mapping

from icgd.reports.document.shape import SCHEMA
from icgd.verify.sweeps.release import release


def headed(document: Mapping[str, object]) -> dict[str, object]:
    """The document with `schema` and `release` first: `Headed` in icgd.reports.document.command_shape."""
    return {"schema": SCHEMA, "release": release()} | dict(document)
