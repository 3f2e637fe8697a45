"""An audit of every theorem is one screen: whole words, a row for a theorem, the gravest findings."""

import copy
import io
import json
import re
from pathlib import Path

import pytest

from icgd.reports.command.console import Terminal
from icgd.reports.command.overview import show_overview
from icgd.reports.document.document import finding_document
from icgd.reports.document.overview import headlines, theorem_rows
from icgd.verify.ledger.entries import entries
from icgd.verify.ledger.settled import Settled

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())


@pytest.fixture(scope="module")
def document():
    """The document of an audit with all findings of the ledger; their numbers are none that were computed."""
    settled = [Settled(one, dict.fromkeys(one.placeholders, 1.5), (), 0.0) for one in entries()]
    return {**DOCUMENT, "findings": [finding_document(one) for one in settled]}


@pytest.mark.parametrize("width", [80, 160])
def test_an_audit_is_one_screen(document, width):
    console = Terminal(file=io.StringIO(), width=width, color_system=None)
    show_overview(console, document)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 36 and max(map(len, lines)) <= width
    for name in {part["theorem"] for part in document["theorems"].values()}:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    words = " ".join(" ".join(lines).split())
    for one in headlines(document):
        assert one.sentence in words and one.finding in words and "breaks the statement" in one.label


def test_every_count_stands_under_its_name_and_a_failure_with_its_replay(document):
    broken = {
        "claim": "looped/steps",
        "verdict": "failed",
        "evidence": "off by 2",
        "replay": f"icgd {'x' * 90}",
    }
    theorems = copy.deepcopy(document["theorems"])
    theorems["looped"]["verdicts"].append(broken)
    console = Terminal(file=io.StringIO(), width=80, color_system=None)
    show_overview(console, {**document, "theorems": theorems})
    head, _, *lines = console.file.getvalue().splitlines()
    assert f"replay: {broken['replay']}" in lines
    ends = {found[0]: found.end() for found in re.finditer(r"\S+", head)}
    for row in theorem_rows({**document, "theorems": theorems}):
        (line,) = (one for one in lines if one.startswith(f"{row.theorem} "))
        empty = row.claims.get("aside", 0) + row.claims.get("care", 0)
        counts = {"holds": row.published["holds"], "repair": row.published["repaired"],
                  "fails": row.published["fails"], "open": row.published["open"],
                  "proved": row.claims.get("good", 0), "held": row.claims.get("fair", 0), "empty": empty,
                  "failed": row.claims.get("bad", 0), "s": f"{row.seconds:.0f}"}  # fmt: skip
        for name, count in counts.items():
            start = max(len(row.theorem), *(end for end in ends.values() if end < ends[name]))
            assert line[start : ends[name]].split()[-1:] == [str(count)] * bool(count), (row.theorem, name)
        assert (row.strongest or "") == line[ends["failed"] : ends["s"]].removesuffix(counts["s"]).strip()
