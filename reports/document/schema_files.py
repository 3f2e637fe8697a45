"""The JSON Schemas that ship with the package: which there are, and their text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from icgd.bounds.letters import ProblemError

SCHEMA_FOLDER = Path(__file__).parents[1] / "schemas"
"""One file NAME.json for each schema."""

SCHEMAS: Mapping[str, str] = {
    "audit": "what icgd audit --json writes: report.json, or one theorem",
    "report": "report.json of icgd audit, icgd report and icgd judge --report",
    "findings": "what icgd findings --json writes, with --questions, too",
    "verify": "what icgd verify --json writes, with --replay, too",
    "bounds": "what icgd bounds --json writes",
    "build": "what icgd build --json writes",
    "export": "what icgd export --json writes",
    "benchmark-set": "what icgd benchmark-set --json writes, with --judge, too",
    "zoo": "what icgd zoo --json writes",
    "check": "what icgd check --json writes",
    "judge": "what icgd judge --json writes, for every kind of file",
    "sweep": "what icgd sweep --json writes",
    "plot": "what icgd plot --json writes",
    "study": "what icgd study --json writes, and result.json of a study",
    "certificate": "certificate-*.json: a proof of the step error",
    "counterexample": "counterexample-*.json: a prompt on which a claim fails",
}
"""What each schema describes; those of commands have their names."""


def schema_text(name: str) -> str:
    """The text of a schema; raises ProblemError where there is none of this name."""
    if name not in SCHEMAS:
        raise ProblemError("schema", name, f"there is none of this name; there are {', '.join(SCHEMAS)}")
    return (SCHEMA_FOLDER / f"{name}.json").read_text(encoding="utf-8")
