"""An audit of every theorem is one screen: whole words, a row for a theorem, the gravest findings."""

import io
import json
from pathlib import Path

import pytest

from icgd.reports.command.console import Terminal
from icgd.reports.command.overview import show_overview
from icgd.reports.document.document import finding_document
from icgd.reports.document.overview import headlines
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
