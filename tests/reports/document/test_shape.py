"""The JSON of an audit has the types declared in reports/document/shape.py."""

import copy
import json
from dataclasses import replace

import pytest

from icgd.reports.command.audit import settle_findings, verify_one
from icgd.reports.document.document import audit_document, findings_document
from icgd.reports.document.shape import AuditDocument, FindingsDocument
from icgd.verify.catalogue import find_theorem
from icgd.verify.ledger.entries import find_entry
from icgd.verify.search.options import Search

RELU = "relu-icgd/lean"


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """An audit with all that can be there but a counterexample, as its file holds it."""
    search = Search(samples=200, effort=0.01, out=tmp_path_factory.mktemp("out"))
    relu = replace(find_theorem("relu-icgd"), survey=None)
    parts = [
        verify_one(relu, {"N": 1, "K": 2, "eps": 0.5}, search, certify=True, reported=True),
        verify_one(find_theorem("convergence"), {"N": 1, "K": 2}, Search()),
    ]
    theorems = {part.name: part.document for part in parts}
    settled = settle_findings([find_entry("2411.16549/zero-start")])
    made = audit_document(theorems, command="icgd audit", seed=0, seconds=1.0, findings=settled)
    return json.loads(json.dumps(made))


def test_an_audit_is_of_its_type(document, misfits):
    part = document["theorems"][RELU]
    assert part["certificate"]["accepted"] and part["stream"]["slots"] and document["findings"]
    assert any(one["plots"] for one in document["theorems"].values())
    assert list(misfits(document, AuditDocument)) == []


def test_findings_are_of_their_type(misfits):
    found = findings_document(settle_findings([find_entry("2411.16549/zero-start")]))
    assert list(misfits(found, FindingsDocument)) == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("theorems relu-icgd/lean plan terms r[1] share", "much", "is much"),
        ("theorems relu-icgd/lean step_error allowed", None, "is None"),
        ("theorems relu-icgd/lean step_error sampled", "inf", None),
        ("theorems relu-icgd/lean step_error extra", 1.0, "is no key"),
        ("theorems relu-icgd/lean verdicts 0 verdict", "sure", "is sure"),
        ("theorems convergence grids 0 rows 0", "a row", "is a row"),
        ("findings 0 bearing", ..., "is missing"),
        ("theorems relu-icgd/lean certificate", ..., None),
    ],
)
def test_what_is_not_is_named(place, value, said, document, misfits):
    changed = copy.deepcopy(document)
    *way, last = place.split()
    at = changed
    for key in way:
        at = at[int(key) if isinstance(at, list) else key]
    if value is ...:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    assert list(misfits(changed, AuditDocument)) == ([f"{place} {said}"] if said else [])
