"""The boxes of a first page: every paper once, the gravest findings first, each with its witness."""

import copy
import json
from pathlib import Path

from icgd.reports.document.document import finding_document, papers_document
from icgd.reports.document.findings import SEVERITY_NAMES, tally_document
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.verify.ledger.entries import entries, papers
from icgd.verify.ledger.settled import Settled

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())


def test_each_paper_has_a_box_with_its_gravest_findings_each_about_another_statement():
    settled = [Settled(one, dict.fromkeys(one.placeholders, 1.5), (), 0.0) for one in entries()]
    findings = [finding_document(one) for one in settled]
    boxes = paper_boxes({**DOCUMENT, "findings": findings, "papers": papers_document(findings)})
    assert {box.number for box in boxes} == set(papers())
    assert [box.fails for box in boxes] == sorted((box.fails for box in boxes), reverse=True)
    order = list(SEVERITY_NAMES.values())
    found = {one["key"]: one for one in findings}
    for box in boxes:
        own = [one for one in findings if one["key"].startswith(box.number)]
        assert box.title == papers()[box.number].title and box.sentence == tally_document(own)["sentence"]
        assert ("abstract alone" in box.read) == (papers()[box.number].read == "abstract")
        places = [order.index(one.severity) for one in box.told]
        assert places == sorted(places) and 1 <= len(box.told) <= 3
        assert len({found[one.key]["statement"] for one in box.told}) == len(box.told)
        for one in box.told:
            assert one.headline == found[one.key]["headline"] and one.quotation == found[one.key]["quotation"]
            assert one.witness and len(one.witness) <= 270


def test_what_does_not_reproduce_is_not_told_and_an_old_report_has_its_number_for_a_title():
    document = copy.deepcopy(DOCUMENT)
    document["findings"] = [
        one | {"headline": "It is so.", "reproduces": False} for one in document["findings"]
    ]
    document.pop("papers", None)
    boxes = paper_boxes(document)
    assert boxes and all(box.told == () and box.title == f"arXiv:{box.number}" for box in boxes)
    assert paper_boxes({**document, "findings": []}) == ()
