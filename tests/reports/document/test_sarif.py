"""SARIF of findings: what the standard requires, where a finding lies, and what it says."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import icgd.verify.ledger
from icgd import cli
from icgd.reports.document.document import findings_document
from icgd.reports.document.sarif import sarif_log
from icgd.verify.ledger.entries import BEARINGS, entries
from icgd.verify.ledger.settled import Settled

HERE = Path(icgd.verify.ledger.__file__).resolve().parent


@pytest.fixture(scope="module")
def document():
    """Every finding with the numbers that it records; the last one is not reproduced."""
    found = [Settled(one, one.expected, (), 0.0) for one in entries()]
    found[-1] = Settled(found[-1].entry, {}, ("heads = 2, recorded 3",), 0.0)
    return findings_document(found)


def results(log):
    """The results of a log, held against what SARIF 2.1.0 requires of it."""
    assert log["version"] == "2.1.0" and log["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "icgd" and [one["id"] for one in rules] == list(BEARINGS)
    for one in run["results"]:
        assert one["level"] in ("none", "note", "warning", "error") and one["message"]["text"]
        assert one["kind"] in ("pass", "open", "informational", "notApplicable", "review", "fail")
        assert (one["kind"] == "fail") == (one["level"] != "none")  # section 3.27.10 of the standard
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        for place in one["locations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert uri and not urlsplit(uri).scheme  # GitHub refuses a file that has one
    prints = [one["partialFingerprints"]["icgdFinding/v1"] for one in run["results"]]
    assert len(set(prints)) == len(prints)
    return run["results"]


def test_every_finding_is_a_result_as_grave_as_it_is(document):
    found = results(json.loads(json.dumps(sarif_log(document, HERE))))
    assert [one["properties"]["key"] for one in found] == [one["key"] for one in document["findings"]]
    levels = {}
    for one in found:
        if one["properties"]["reproduces"]:
            levels.setdefault(one["properties"]["severity"], set()).add(one["level"])
    assert levels == {
        "statement": {"error"}, "proof": {"warning"}, "constants": {"warning"}, "wording": {"note"},
        "none": {"none"},
    }  # fmt: skip
    assert {(one["ruleId"], one["kind"]) for one in found if one["level"] == "none"} == {
        ("confirms", "pass"), ("sharper", "pass"), ("open", "open"), ("vacuous", "informational"),
    }  # fmt: skip
    repaired = zip(found, document["findings"], strict=True)
    assert all(other["repair"] in one["message"]["text"] for one, other in repaired if other["reproduces"])
    (lost,) = (one for one in found if not one["properties"]["reproduces"])
    assert lost["level"] == "error" and "Not reproduced: heads = 2, recorded 3" in lost["message"]["text"]


def test_a_finding_lies_at_its_line_of_the_ledger_or_at_its_paper(document, tmp_path):
    for one in results(sarif_log(document, HERE.parent)):
        place, key = one["locations"][0]["physicalLocation"], one["properties"]["key"]
        lines = (HERE.parent / place["artifactLocation"]["uri"]).read_text(encoding="utf-8").splitlines()
        assert lines[place["region"]["startLine"] - 1] == f'key = "{key}"'
    log = sarif_log(document, tmp_path)
    for one in results(log):
        place, number = one["locations"][0]["physicalLocation"], one["properties"]["key"].partition("/")[0]
        base = log["runs"][0]["originalUriBaseIds"][place["artifactLocation"].pop("uriBaseId")]["uri"]
        assert place == {"artifactLocation": {"uri": number}} and base == "https://arxiv.org/abs/"


def test_the_command_writes_it_and_strict_says_what_is_open(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["findings", "2410.11268", "--sarif", "f.sarif"]) == cli.KEPT
    found = results(json.loads(Path("f.sarif").read_text(encoding="utf-8")))
    assert {one["ruleId"] for one in found} >= {"open"} and "wrote f.sarif" in capsys.readouterr().out
    assert cli.main(["findings", "2410.11268", "--strict"]) == cli.FAILED
    told = capsys.readouterr().out
    assert "--strict fails" in told and told.splitlines()[-1] == "  open ledger/2410.11268/omega-constant"
    assert cli.main(["findings", "2410.11268/examples-constant", "--strict"]) == cli.KEPT
    assert "strict" not in capsys.readouterr().out
    for option in (["--strict"], ["--sarif", "f.sarif"]):
        for instead in (["--questions"], ["--letter", "2410.11268"]):
            assert cli.main(["findings", *option, *instead]) == cli.BAD_INPUT
            assert "goes with neither --questions nor --letter" in capsys.readouterr().err
    small = ["verify", "looped", "--d", "2", "--T", "3", "--n"]
    assert cli.main([*small, "16", "--strict"]) == cli.main([*small, "4"]) == cli.KEPT
    assert cli.main([*small, "4", "--strict"]) == cli.FAILED
    assert "  vacuous looped/condition" in capsys.readouterr().out
    audit = ["audit", *small[1:], "16", "--no-report"]
    assert cli.main(audit) == cli.KEPT and cli.main([*audit, "--strict"]) == cli.FAILED
    assert "  open ledger/2410.11268/omega-constant" in capsys.readouterr().out
