"""The boxes of a first page: every paper once, the gravest findings first, each with its witness."""

import copy
import json
import re
from pathlib import Path

from icgd.reports.document.document import finding_document, papers_document
from icgd.reports.document.findings import SEVERITY_NAMES, tally_document
from icgd.reports.document.paper_boxes import paper_boxes
from icgd.verify.ledger.entries import entries, papers
from icgd.verify.ledger.settled import Settled
from icgd.verify.ledger.tally import fate, statement_of

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
        assert (
            ("abstract alone" in box.read) == (papers()[box.number].read == "abstract") == box.abstract_alone
        )
        places = [order.index(one.severity) for one in box.told]
        assert places == sorted(places) and 1 <= len(box.told) <= 3
        sources = {one["source"] for one in own if one["severity"] not in ("wording", "none")}
        if any(re.search("Theorem|Abstract", source) for source in sources):  # then one of them is told
            assert any(re.search("Theorem|Abstract", found[one.key]["source"]) for one in box.told)
        assert len({found[one.key]["statement"] for one in box.told}) == len(box.told)
        for one in box.told:
            assert one.headline == found[one.key]["headline"] and one.quotation == found[one.key]["quotation"]
            assert one.witness and len(one.witness) <= 270
    assert boxes[0].told[-1].key == "2411.16549/relu-not-smooth"


def test_a_box_names_every_statement_once_under_its_fate():
    settled = [Settled(one, dict.fromkeys(one.placeholders, 1.5), (), 0.0) for one in entries()]
    findings = [finding_document(one) for one in settled]
    judged = {}
    for entry in entries():
        judged.setdefault((entry.key.partition("/")[0], statement_of(entry.source)), []).append(entry)
    judged = {key: found for key, found in judged.items() if any(one.bearing != "reading" for one in found)}
    for box in paper_boxes({**DOCUMENT, "findings": findings}):
        fates = {source: fate(found) for (paper, source), found in judged.items() if paper == box.number}
        told = {one.fate: _expanded(one.names) for one in box.fates}
        for name in ("fails", "repaired", "open", "holds"):
            wanted = sorted(source.partition(", ")[2] for source, found in fates.items() if found == name)
            assert sorted(told.get(name, [])) == wanted, (box.number, name)
        assert [one.said.split()[0] for one in box.fates] == [str(len(names)) for names in told.values()]
        silent = [
            source.partition(", ")[2]
            for source, found in fates.items()
            if found != "fails" and any(one.bearing == "vacuous" for one in judged[box.number, source])
        ]
        assert sorted(_expanded(box.empty)) == sorted(silent)


def _expanded(names):
    """Lemmas 6, 7 as Lemma 6 and Lemma 7."""
    found = []
    for part in filter(None, names.split("; ")):
        kind, _, numbers = part.partition("s " if re.match(r"(?!Abstract)[A-Z][a-z]+s \d", part) else "\0")
        found += [f"{kind} {number}" for number in numbers.split(", ")] if numbers else [part]
    return found


def test_what_does_not_reproduce_is_not_told_and_an_old_report_has_its_number_for_a_title():
    document = copy.deepcopy(DOCUMENT)
    document["findings"] = [
        one | {"headline": "It is so.", "reproduces": False} for one in document["findings"]
    ]
    document.pop("papers", None)
    boxes = paper_boxes(document)
    assert boxes and all(box.told == () and box.title == f"arXiv:{box.number}" for box in boxes)
    assert paper_boxes({**document, "findings": []}) == ()
