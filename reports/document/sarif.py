"""Findings as SARIF 2.1.0, the format of results that code hosts and editors show beside lines of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icgd.reports.document.findings import headline
from icgd.reports.document.shape import FindingDocument, FindingsDocument
from icgd.verify import ledger
from icgd.verify.catalogue import theorems
from icgd.verify.ledger.entries import BEARINGS, Bearing, Severity
from icgd.verify.sweeps.release import release

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_PAPERS = "PAPERS"
"""The name of the address that numbers of papers follow; GitHub refuses a location that is itself a URL."""

_LEVELS: Mapping[Severity, str] = {
    "statement": "error",
    "proof": "warning",
    "constants": "warning",
    "wording": "note",
    "none": "none",
}
"""How loud a finding is shown; what needs no repair is no failure."""

_KINDS: Mapping[Bearing, str] = {"confirms": "pass", "sharper": "pass", "open": "open"}
"""What a finding without a level says: others are information."""


def sarif_log(found: FindingsDocument, here: Path | None = None) -> dict[str, Any]:
    """The findings as one run: a rule for each bearing, a result for each finding.

    here: the folder that paths are relative to, by default the current one.  A finding lies where the ledger
    records it, if that file is below this folder, and else at its paper, relative to https://arxiv.org/abs/.
    """
    root = (here or Path.cwd()).resolve()
    rules = [
        {"id": bearing, "shortDescription": {"text": f"{means[0].upper()}{means[1:]}."}}
        for bearing, means in BEARINGS.items()
    ]
    driver = {"name": "icgd", "version": release(), "rules": rules}
    results = [_result(one, root) for one in found["findings"]]
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "originalUriBaseIds": {_PAPERS: {"uri": "https://arxiv.org/abs/"}},
                "results": results,
            }
        ],
    }


def _result(one: FindingDocument, root: Path) -> dict[str, Any]:
    level = _LEVELS[one["severity"]] if one["reproduces"] else "error"
    kind = "fail" if level != "none" else _KINDS.get(one["bearing"], "informational")
    said = [headline(one), one["text"], f"Repair: {one['repair']}" if one["repair"] else "", one["replay"]]
    if not one["reproduces"]:
        said = [f"Not reproduced: {'; '.join(one['differences'])}", one["replay"]]
    return {
        "ruleId": one["bearing"],
        "ruleIndex": list(BEARINGS).index(one["bearing"]),
        "kind": kind,
        "level": level,
        "message": {"text": "\n".join(filter(None, said))},
        "locations": [
            {
                "physicalLocation": _recorded(one, root),
                "logicalLocations": [{"fullyQualifiedName": one["source"], "kind": "member"}],
            }
        ],
        "partialFingerprints": {"icgdFinding/v1": one["key"]},
        "properties": {
            name: one[name]
            for name in ("key", "theorem", "statement", "place", "severity", "numbers", "reproduces")
        },
    }


def _recorded(one: FindingDocument, root: Path) -> dict[str, Any]:
    """The line of the ledger that records the finding, or its paper."""
    number = one["key"].partition("/")[0]
    own = theorems()[one["theorem"]].findings
    for file in filter(None, (own, Path(str(ledger.__file__)).with_name(f"{number}.toml"))):
        path = Path(str(file)).resolve()
        if path.is_file() and path.is_relative_to(root):
            lines = path.read_text(encoding="utf-8").splitlines()
            wanted = f'key = "{one["key"]}"'
            line = next((place for place, text in enumerate(lines, start=1) if text.strip() == wanted), None)
            if line is not None:
                uri = path.relative_to(root).as_posix()
                return {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}
    return {"artifactLocation": {"uri": number, "uriBaseId": _PAPERS}}
